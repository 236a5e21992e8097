//! Where a select begins to look. The one place of this crate that draws lots for a select: in a simulated hub, by its seed.
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::hash::BuildHasher;
use std::hash::RandomState;

use crate::greenlet::hot::hot;
use crate::hub::sched;

thread_local! {
    /// 0: not seeded yet.
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// A number below `n`, which is not 0; each about as often as the others.
#[inline]
pub(super) fn first(n: usize) -> usize {
    if n == 1 {
        return 0;
    }
    if let Some(drawn) = sched::get(hot()).and_then(|hub| hub.draw(n as u32)) {
        return drawn as usize;
    }
    let mut x = STATE.get();
    if x == 0 {
        x = RandomState::new().hash_one(0) | 1;
    }
    // Marsaglia's xorshift with the shifts 13, 7, 17: never comes to 0.
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    STATE.set(x);
    // The upper half, scaled (Lemire): no division.
    (((x >> 32) * n as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use super::first;

    #[test]
    fn every_number_below_n_comes_up_and_no_other() {
        let mut seen = [0u32; 5];
        for _ in 0..10_000 {
            seen[first(5)] += 1;
        }
        assert!(seen.iter().all(|n| *n > 1000), "{seen:?}");
        assert_eq!(first(1), 0);
    }
}
