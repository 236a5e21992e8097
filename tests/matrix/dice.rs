//! Numbers that look like chance, from a seed: what a program is made of. Not the hub's own, which order its greenlets.
#![forbid(unsafe_code)]

use std::cell::Cell;

/// A generator by Marsaglia (Xorshift RNGs, 2003), begun well away from zero.
#[derive(Debug)]
pub(crate) struct Dice(Cell<u64>);

impl Dice {
    /// Neighbouring seeds are first driven apart.
    pub(crate) fn new(seed: u64) -> Self {
        let dice = Self(Cell::new(
            seed.wrapping_mul(0xd134_2543_de82_ef95) ^ 0x9e37_79b9_7f4a_7c15,
        ));
        for _ in 0..8 {
            dice.next();
        }
        dice
    }

    fn next(&self) -> u64 {
        let mut x = self.0.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        self.0.set(x);
        x
    }

    /// A number below `n`.
    pub(crate) fn below(&self, n: u64) -> u64 {
        (self.next() >> 16) % n
    }

    /// A number below `n`, to choose from what has so many.
    pub(crate) fn pick(&self, n: usize) -> usize {
        self.below(n as u64) as usize
    }

    /// Heads.
    pub(crate) fn coin(&self) -> bool {
        self.below(2) == 0
    }
}
