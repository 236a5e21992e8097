//! The ladder of ways to put a guard at the low end of slots. A slot without one is never handed out.
//!
//! ```text
//! rung              system calls    mappings   needs
//! ProcessMadvise    3 per batch     0          Linux 6.13, not valgrind, pages not locked
//! Madvise           1 per slot      0          Linux 6.13, pages not locked
//! Mprotect          1 per slot      2          room below vm.max_map_count, for all threads together
//! ```
//!
//! The rung to start from is found once per process, by trying on a page of its own. A batch that is refused (locked
//! pages: `mlockall` may come at any time; no file descriptor left for the pidfd) goes on from the next rung, for this
//! batch only. The first two mark page-table entries: such a guard survives `MADV_DONTNEED` and `fork`, and the slab
//! stays one mapping. The third splits the slab, twice per slot, so it is counted against a budget: a process that has
//! used up its mappings can no longer even allocate memory.
//!
//! Guards go in before the first touch of a slot, and are never taken out: a slot is a slot until its slab is unmapped.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU8, AtomicUsize};
use std::{error, fmt};

use super::size::StackSize;
use super::sys;

/// A way to install guards, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rung {
    /// Many slots with one system call.
    ProcessMadvise = 1,
    /// One system call per slot.
    Madvise = 2,
    /// One system call and two mappings per slot.
    Mprotect = 3,
}

/// Mappings that are left to everybody else: libraries, thread stacks, the allocator, files.
const MAPPINGS_OF_OTHERS: usize = 9_530;

/// What `vm.max_map_count` is where it cannot be read: the kernel's default.
const DEFAULT_MAP_COUNT: usize = 65_530;

/// `mprotect` is slow and its guards are scarce: take no more than this at once.
const MPROTECT_BATCH: usize = 64;

/// How many guards may be mappings of their own.
pub(crate) struct Budget {
    used: AtomicUsize,
    /// 0: not yet known.
    cap: AtomicUsize,
}

/// The budget of the process: about 28,000 guards by default.
pub(crate) static PROCESS: Budget = Budget {
    used: AtomicUsize::new(0),
    cap: AtomicUsize::new(0),
};

impl Budget {
    /// A budget of `cap` guards, for tests.
    #[cfg(test)]
    pub(super) const fn of(cap: usize) -> Budget {
        Budget {
            used: AtomicUsize::new(0),
            cap: AtomicUsize::new(cap),
        }
    }

    fn cap(&self) -> usize {
        match self.cap.load(Relaxed) {
            0 => {
                let max = max_map_count();
                // Two mappings per guard. A system with a tiny limit still gets half of it.
                let cap = (max.saturating_sub(MAPPINGS_OF_OTHERS).max(max / 2) / 2).max(1);
                self.cap.store(cap, Relaxed);
                cap
            }
            cap => cap,
        }
    }

    fn take(&self) -> Result<(), GuardLimit> {
        let cap = self.cap();
        self.used
            .try_update(Relaxed, Relaxed, |used| (used < cap).then_some(used + 1))
            .map(drop)
            .map_err(|used| GuardLimit { guards: used })
    }

    /// Gives `n` guards back, whose slab is unmapped.
    pub(super) fn give_back(&self, n: usize) {
        self.used.fetch_sub(n, Relaxed);
    }

    pub(super) fn used(&self) -> usize {
        self.used.load(Relaxed)
    }
}

/// No further stack can be guarded on this kernel with its settings.
#[derive(Debug)]
pub(crate) struct GuardLimit {
    guards: usize,
}

impl fmt::Display for GuardLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "no mapping left to guard another stack after {}: raise vm.max_map_count, or use linux 6.13 or later, \
             whose guards need no mapping",
            self.guards
        )
    }
}

impl error::Error for GuardLimit {}

impl From<GuardLimit> for io::Error {
    fn from(limit: GuardLimit) -> io::Error {
        io::Error::new(io::ErrorKind::OutOfMemory, limit)
    }
}

/// What a batch came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Installed {
    /// Slots guarded, from the first on: at least one.
    pub(super) slots: usize,
    /// How many of those by a mapping of their own.
    pub(super) mprotected: usize,
}

/// Bytes of guard in a slot of this class: whole pages.
pub(super) fn len(size: StackSize) -> usize {
    size.guard().next_multiple_of(sys::page_size())
}

/// Guards up to `count` slots of class `size` from `first` on, starting at `rung`.
///
/// # Errors
///
/// If not even one could be guarded: a [`GuardLimit`] inside, or what the system said.
///
/// # Safety
///
/// The slots lie in a slab of the caller's, and nobody uses them yet.
pub(super) unsafe fn install(
    first: usize,
    size: StackSize,
    count: usize,
    rung: Rung,
    budget: &Budget,
) -> io::Result<Installed> {
    let (stride, guard) = (size.stride(), len(size));
    let mut slots = 0;
    if rung <= Rung::ProcessMadvise {
        // SAFETY: as the caller promises; the guards are the low ends of its slots.
        slots =
            unsafe { sys::advise_strided(first, stride, guard, count, sys::MADV_GUARD_INSTALL) };
    }
    if rung <= Rung::Madvise {
        while slots < count {
            // SAFETY: as above.
            let done =
                unsafe { sys::advise(first + slots * stride, guard, sys::MADV_GUARD_INSTALL) };
            if done.is_err() {
                break;
            }
            slots += 1;
        }
    }
    let mut mprotected = 0;
    let mut refused: Option<io::Error> = None;
    while slots < count && mprotected < MPROTECT_BATCH {
        if let Err(limit) = budget.take() {
            refused = Some(limit.into());
            break;
        }
        // SAFETY: as above.
        if let Err(error) = unsafe { sys::protect(first + slots * stride, guard) } {
            budget.give_back(1);
            // The kernel's own limit came first: others use many mappings too.
            refused = Some(match error.kind() {
                io::ErrorKind::OutOfMemory => GuardLimit {
                    guards: budget.used(),
                }
                .into(),
                _ => error,
            });
            break;
        }
        slots += 1;
        mprotected += 1;
    }
    match refused {
        Some(error) if slots == 0 => Err(error),
        _ => Ok(Installed { slots, mprotected }),
    }
}

/// The best rung that this kernel has.
pub(super) fn best() -> Rung {
    static BEST: AtomicU8 = AtomicU8::new(0);
    match BEST.load(Relaxed) {
        1 => Rung::ProcessMadvise,
        2 => Rung::Madvise,
        3 => Rung::Mprotect,
        _ => {
            let best = if supported(Rung::ProcessMadvise) {
                Rung::ProcessMadvise
            } else if supported(Rung::Madvise) {
                Rung::Madvise
            } else {
                Rung::Mprotect
            };
            // Two threads that probe at once find the same.
            BEST.store(best as u8, Relaxed);
            best
        }
    }
}

/// Whether a rung works here, found by trying it on a page.
pub(super) fn supported(rung: Rung) -> bool {
    let page = sys::page_size();
    let Ok(start) = sys::map(page) else {
        return false;
    };
    // SAFETY: the page was mapped just now and is known to nobody else.
    let works = unsafe {
        match rung {
            Rung::ProcessMadvise => {
                sys::advise_strided(start, page, page, 1, sys::MADV_GUARD_INSTALL) == 1
            }
            Rung::Madvise => sys::advise(start, page, sys::MADV_GUARD_INSTALL).is_ok(),
            Rung::Mprotect => sys::protect(start, page).is_ok(),
        }
    };
    // SAFETY: as above.
    unsafe { sys::unmap(start, page) };
    works
}

fn max_map_count() -> usize {
    std::fs::read_to_string("/proc/sys/vm/max_map_count")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(DEFAULT_MAP_COUNT)
}
