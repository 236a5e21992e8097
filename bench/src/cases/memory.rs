//! What the kernel says about this process's memory, and an order in which to visit it at random.
//!
//! The numbers come from `/proc/self`, read as text: no system call gives the size of the page tables.
#![forbid(unsafe_code)]

use std::fs;
use std::io;

/// The process's memory at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident set in bytes.
    resident: u64,
    /// Page tables in bytes.
    tables: u64,
    /// Lines of the memory map.
    pub(crate) mappings: usize,
}

impl Memory {
    /// Reads it now.
    pub(crate) fn now() -> io::Result<Memory> {
        let status = fs::read_to_string("/proc/self/status")?;
        let bytes = |name: &str| {
            status
                .lines()
                .find_map(|line| {
                    let kib = line.strip_prefix(name)?.strip_prefix(':')?;
                    kib.trim().strip_suffix(" kB")?.parse::<u64>().ok()
                })
                .map(|kib| kib * 1024)
                .ok_or_else(|| io::Error::other(format!("no {name} in /proc/self/status")))
        };
        Ok(Memory {
            resident: bytes("VmRSS")?,
            tables: bytes("VmPTE")?,
            mappings: fs::read_to_string("/proc/self/maps")?.lines().count(),
        })
    }

    /// Growth of the resident set alone.
    pub(crate) fn resident_since(&self, before: &Memory) -> f64 {
        self.resident as f64 - before.resident as f64
    }

    /// Growth of the resident set and of the page tables since `before`.
    pub(crate) fn bytes_since(&self, before: &Memory) -> f64 {
        (self.resident + self.tables) as f64 - (before.resident + before.tables) as f64
    }
}

/// The numbers below `n` in an order that no prefetcher guesses, the same in every run.
pub(super) fn random_order(n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0u32..).take(n).collect();
    // Xorshift and Fisher-Yates: a bias in the last digit does not matter here.
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for last in (1..n).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_is_a_permutation_and_not_the_identity() {
        let order = random_order(1000);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert!(sorted.into_iter().eq(0..1000));
        let in_place = (0u32..).zip(&order).filter(|(i, at)| i == *at).count();
        assert!(in_place < 20, "{in_place} of 1000 stayed in place");
    }

    #[test]
    fn touched_pages_are_seen() {
        const BYTES: usize = 64 << 20;
        let before = Memory::now().unwrap();
        let touched = std::hint::black_box(vec![1u8; BYTES]);
        let after = Memory::now().unwrap();
        // Half, because tests beside this one may give memory back meanwhile.
        assert!(after.bytes_since(&before) > (BYTES / 2) as f64);
        drop(touched);
    }
}
