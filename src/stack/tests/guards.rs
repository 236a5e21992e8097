//! The ladder: each rung, falling from one to the next, and its end.

use std::io::ErrorKind;

use super::super::guard::{self, Budget, Rung};
use super::super::{Arena, Slot, StackSize, sys};
use super::{alone, died_of, in_child, open, overflow, part, readable, shown, stack_start};

const RUNGS: [Rung; 3] = [Rung::ProcessMadvise, Rung::Madvise, Rung::Mprotect];

#[test]
fn every_rung_stops_an_overflow() {
    if let Some(part) = part() {
        let (rung, size) = part.split_once(' ').unwrap();
        let rung = RUNGS[rung.parse::<usize>().unwrap()];
        let mut arena = Arena::with(Some(rung), &guard::PROCESS);
        let slots: Vec<Slot> = (0..5)
            .map(|_| {
                arena
                    .alloc(StackSize::ALL[size.parse::<usize>().unwrap()])
                    .unwrap()
            })
            .collect();
        // Only the last rung makes mappings, unless those before it are missing here.
        assert_eq!(
            arena.mprotected() > 0,
            !(guard::supported(rung) && rung < Rung::Mprotect)
        );
        open(slots[2], 9);
        overflow(slots[2]);
        unreachable!("the stack was larger than it is");
    }
    for rung in 0..RUNGS.len() {
        for size in 0..StackSize::ALL.len() {
            let output = in_child(
                "guards::every_rung_stops_an_overflow",
                &format!("{rung} {size}"),
            );
            let text = shown(&output);
            assert!(died_of(&output, libc::SIGABRT), "{text}");
            assert!(
                text.contains("greenloom: stack overflow in unnamed task (id 9)"),
                "{text}"
            );
            assert!(
                text.contains(["is 64 KiB", "is 256 KiB", "is 1024 KiB"][size]),
                "{text}"
            );
        }
    }
}

#[test]
fn every_slot_has_a_guard_on_every_rung() {
    static BUDGET: Budget = Budget::of(1000);
    for rung in RUNGS {
        let mut arena = Arena::with(Some(rung), &BUDGET);
        for _ in 0..300 {
            let slot = arena.alloc(StackSize::K64).unwrap();
            assert!(
                !readable(slot.limit())
                    && !readable(stack_start(slot) - 1)
                    && readable(stack_start(slot))
            );
        }
    }
}

/// Page by page: the guard is where it should be, and nothing else is guarded, neighbours included.
#[test]
fn each_rung_guards_the_right_pages() {
    static BUDGET: Budget = Budget::of(1000);
    for rung in RUNGS {
        let mut arena = Arena::with(Some(rung), &BUDGET);
        for size in StackSize::ALL {
            let slots: Vec<Slot> = (0..20).map(|_| arena.alloc(size).unwrap()).collect();
            for slot in slots {
                let end = slot.limit() + size.stride();
                let guarded: Vec<usize> = (slot.limit()..end)
                    .step_by(sys::page_size())
                    .filter(|&page| !readable(page))
                    .collect();
                let wanted: Vec<usize> = (slot.limit()..stack_start(slot))
                    .step_by(sys::page_size())
                    .collect();
                assert_eq!(guarded, wanted, "{rung:?} {size:?}");
            }
        }
    }
}

#[test]
fn beyond_the_cap_is_an_error_that_names_the_setting() {
    static BUDGET: Budget = Budget::of(100);
    let mut arena = Arena::with(Some(Rung::Mprotect), &BUDGET);
    let slots: Vec<Slot> = (0..100)
        .map(|_| arena.alloc(StackSize::K64).unwrap())
        .collect();
    assert!(slots.iter().all(|slot| !readable(slot.limit())));
    for size in StackSize::ALL {
        let error = arena.alloc(size).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
        assert!(error.to_string().contains("vm.max_map_count"), "{error}");
        assert!(error.get_ref().unwrap().is::<guard::GuardLimit>());
    }
    // What there is goes on being used.
    // SAFETY: nothing runs on the slot.
    unsafe { arena.free(slots[50]) };
    assert_eq!(arena.alloc(StackSize::K64).unwrap(), slots[50]);
    // The budget is the process's, not the arena's; an arena that ends gives its part back.
    let mut other = Arena::with(Some(Rung::Mprotect), &BUDGET);
    assert!(other.alloc(StackSize::K64).is_err());
    for &slot in &slots {
        // SAFETY: as above.
        unsafe { arena.free(slot) };
    }
    drop(arena);
    assert_eq!(BUDGET.used(), 0);
    other.alloc(StackSize::K64).unwrap();
}

/// The kernel puts no markers into locked pages.
#[test]
#[cfg(not(feature = "sanitizer"))] // which makes mlockall do nothing
fn locked_memory_falls_to_the_last_rung() {
    alone("guards::locked_memory_falls_to_the_last_rung", || {
        let mut arena = Arena::new();
        let early = arena.alloc(StackSize::K64).unwrap();
        // SAFETY: no memory is involved. On fault: locks what is touched, not the whole slab.
        if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE | libc::MCL_ONFAULT) } != 0
        {
            return; // not permitted here
        }
        let slots: Vec<Slot> = (0..200)
            .map(|_| arena.alloc(StackSize::K64).unwrap())
            .collect();
        assert!(
            slots
                .iter()
                .chain([&early])
                .all(|slot| !readable(slot.limit()) && readable(stack_start(*slot)))
        );
        assert!(arena.mprotected() > 0);
        // Locked pages cannot be given back, which is no error.
        for slot in slots {
            // SAFETY: nothing runs on the slot.
            unsafe { arena.free(slot) };
        }
        assert_eq!(arena.trim_to(StackSize::K64, 0), 0);
        assert_eq!(arena.live(), 1);
        arena.alloc(StackSize::K64).unwrap();
    });
}

/// Without a descriptor to spare there is no pidfd.
#[test]
#[cfg(not(feature = "sanitizer"))] // whose leak check needs descriptors at the end
fn no_descriptor_left_is_no_obstacle() {
    alone("guards::no_descriptor_left_is_no_obstacle", || {
        let none = libc::rlimit {
            rlim_cur: 0,
            rlim_max: 0,
        };
        // SAFETY: `none` is a valid request.
        let set = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const none) };
        assert_eq!(set, 0);
        let mut arena = Arena::new();
        for _ in 0..200 {
            assert!(!readable(arena.alloc(StackSize::K64).unwrap().limit()));
        }
    });
}

/// A descriptor of the parent would put the child's guards into the parent.
#[test]
fn guards_stay_and_new_ones_come_after_a_fork() {
    let mut arena = Arena::new();
    let before: Vec<Slot> = (0..10)
        .map(|_| arena.alloc(StackSize::K64).unwrap())
        .collect();
    // SAFETY: the child only allocates stacks, makes system calls and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut good = before.iter().all(|slot| !readable(slot.limit()));
        for _ in 0..500 {
            good &= arena
                .alloc(StackSize::K64)
                .is_ok_and(|slot| !readable(slot.limit()));
        }
        // SAFETY: ends the child without running anything of the parent's.
        unsafe { libc::_exit(if good { 0 } else { 1 }) };
    }
    let mut status = -1;
    // SAFETY: `status` is written.
    let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert_eq!((waited, status), (child, 0));
}
