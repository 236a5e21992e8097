//! Handing out, taking back, trimming and tearing down.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::io::ErrorKind;
use std::num::NonZeroU64;
use std::panic::{AssertUnwindSafe, Location, catch_unwind};
use std::ptr::NonNull;

use super::super::arena::{self, MemoryStats};
use super::super::guard::{self, Rung};
use super::super::header::SlotHeader;
use super::super::{Arena, Slot, SlotStack, StackSize, registry, run_on, sys};
use super::{
    Random, alone, byte, dirty, limit_address_space, mappings, open, readable, stack_start,
};

use StackSize::{K64, K256, M1};

/// Frees a slot of which the test keeps no other copy in use.
fn free(arena: &mut Arena, slot: Slot) {
    // SAFETY: the tests run nothing on their slots, and afterwards only compare copies of the handle.
    unsafe { arena.free(slot) };
}

#[test]
fn sizes_are_found_by_need() {
    for (need, size) in [
        (0, K64),
        (1, K64),
        (65_536, K64),
        (65_537, K256),
        (262_145, M1),
        (1 << 20, M1),
    ] {
        assert_eq!(StackSize::at_least(need).unwrap(), size);
        assert!(size.bytes() >= need);
    }
    let error = StackSize::at_least((1 << 20) + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().contains("M1"), "{error}");
    assert!(K64 < K256 && K256 < M1 && StackSize::default() == K64);
}

#[test]
fn slots_are_guarded_and_found_from_any_address_inside() {
    let mut arena = Arena::new();
    for size in StackSize::ALL {
        for _ in 0..70 {
            let slot = arena.alloc(size).unwrap();
            assert_eq!(slot.size(), size);
            assert_eq!(slot.limit() % sys::page_size(), 0);
            assert_eq!(slot.top() % 64, 0);
            assert_eq!(slot.header().addr(), slot.top());
            assert!(slot.top() + 64 <= slot.limit() + size.stride());
            assert!(
                slot.top() + 16 * 64 >= slot.limit() + size.stride(),
                "the pad is at most 15 lines"
            );
            for address in [slot.limit(), slot.top(), slot.limit() + size.stride() - 1] {
                let place = registry::find(address).unwrap();
                assert_eq!((place.size, place.limit), (size, slot.limit()));
            }
            assert!(
                slot.id().is_none()
                    && slot.site().is_none()
                    && slot.with_name(|name| name.is_none())
            );
            assert!(
                !readable(slot.limit()) && !readable(stack_start(slot) - 1),
                "the guard is missing"
            );
            assert!(readable(stack_start(slot)), "the guard is too long");
            let header = NonNull::new(slot.header()).unwrap();
            // SAFETY: the header of the live slot above.
            assert_eq!(unsafe { Slot::from_header(header, size) }, slot);
        }
    }
}

#[test]
fn neighbours_differ_in_the_sets_of_caches_and_of_translation_buffers() {
    for (size, slots) in StackSize::ALL.into_iter().zip([256, 256, 64]) {
        let mut arena = Arena::new();
        let tops: Vec<usize> = (0..slots)
            .map(|_| arena.alloc(size).unwrap().top())
            .collect();
        // In a slab, the order of allocation is that of the addresses.
        let runs: Vec<Vec<usize>> = arena
            .slabs()
            .into_iter()
            .map(|(base, len)| {
                let inside = |top: &usize| (base..base + len).contains(top);
                tops.iter().copied().filter(inside).collect()
            })
            .collect();
        assert!(runs.iter().any(|run| run.len() >= 32), "{size:?}");
        for neighbours in runs.iter().flat_map(|run| run.windows(16)) {
            let page = |top: &usize| top / sys::page_size();
            let pages: HashSet<usize> = neighbours.iter().map(|top| page(top) % 16).collect();
            assert_eq!(pages.len(), 16, "{size:?}");
            let lines: HashSet<usize> = neighbours.iter().map(|top| top % 4096).collect();
            assert!(lines.len() >= 15, "{size:?}: {} colours", lines.len());
        }
    }
}

#[test]
fn all_stacks_of_a_class_are_equally_deep() {
    for size in StackSize::ALL {
        let mut arena = Arena::new();
        let depths: Vec<usize> = (0..400)
            .map(|_| arena.alloc(size).unwrap())
            .map(|slot| slot.top() - stack_start(slot))
            .collect();
        let pages: HashSet<usize> = depths
            .iter()
            .map(|depth| depth / sys::page_size())
            .collect();
        assert_eq!(pages.len(), 1, "{size:?}");
        let (least, most) = (depths.iter().min().unwrap(), depths.iter().max().unwrap());
        assert!(most - least < 1024, "{size:?}: {least} to {most} bytes");
        // One page is the guard's in the smallest class, which so has its full size.
        let wanted = size.bytes() + sys::page_size() - guard::len(size);
        assert!(
            *least > wanted - 2048 && *most < wanted,
            "{size:?}: {least} to {most}"
        );
    }
    assert_eq!(K64.stride() - guard::len(K64), K64.bytes());
}

#[test]
fn the_latest_freed_slot_is_handed_out_first() {
    let mut arena = Arena::new();
    let slots: Vec<Slot> = (0..10).map(|_| arena.alloc(K64).unwrap()).collect();
    for &slot in &slots {
        free(&mut arena, slot);
    }
    let again: Vec<Slot> = (0..10).map(|_| arena.alloc(K64).unwrap()).collect();
    assert!(again.iter().eq(slots.iter().rev()));
    // Classes do not mix.
    free(&mut arena, again[0]);
    assert_eq!(arena.alloc(K256).unwrap().size(), K256);
    assert_eq!(arena.alloc(K64).unwrap(), again[0]);
}

#[test]
fn promised_slots_are_there_whatever_is_allocated_in_between() {
    let mut arena = Arena::new();
    for n in 0..300 {
        arena.promise(K64).unwrap();
        assert!(
            arena.stats().free > n,
            "every promise has a slot of its own"
        );
    }
    assert_eq!(arena.live(), 0);
    assert_eq!(arena.stats().promised_bytes, 300 * K64.bytes());
    // More than there were free: none of these is a promised one.
    let others: Vec<Slot> = (0..2000).map(|_| arena.alloc(K64).unwrap()).collect();
    assert!(arena.stats().free >= 300);
    let mut seen: HashSet<usize> = others.iter().map(|s| s.top()).collect();
    for _ in 0..200 {
        assert!(seen.insert(arena.alloc_promised(K64).top()));
    }
    arena.forget_promises(K64, 100);
    assert_eq!(arena.stats().promised_bytes, 0);
    assert_eq!(arena.live(), 2200);
    assert!(catch_unwind(AssertUnwindSafe(|| arena.alloc_promised(K64))).is_err());
}

#[test]
fn a_promise_takes_the_slot_that_was_freed_last() {
    let mut arena = Arena::new();
    let slots: Vec<Slot> = (0..3).map(|_| arena.alloc(K64).unwrap()).collect();
    for _ in 0..5 {
        arena.promise(K64).unwrap();
    }
    free(&mut arena, slots[1]);
    assert_eq!(arena.alloc_promised(K64), slots[1]);
    free(&mut arena, slots[1]);
    assert_eq!(arena.alloc_promised(K64), slots[1]);
    arena.trim_to(K64, 0);
    for _ in 0..3 {
        arena.alloc_promised(K64);
    }
    assert_eq!(arena.stats().promised_bytes, 0);
}

#[test]
fn a_header_tells_what_was_written_until_the_slot_is_freed() {
    let mut arena = Arena::new();
    let slot = arena.alloc(K256).unwrap();
    let site = Location::caller();
    slot.open(NonZeroU64::new(77).unwrap(), site);
    // SAFETY: the name is static.
    unsafe { slot.set_name("väder") };
    assert_eq!(slot.id().unwrap().get(), 77);
    assert_eq!(slot.site(), Some(site));
    slot.with_name(|name| assert_eq!(name, Some("väder")));
    free(&mut arena, slot);
    let slot = arena.alloc(K256).unwrap();
    assert!(slot.id().is_none() && slot.site().is_none() && slot.with_name(|name| name.is_none()));
    open(slot, 78);
    assert!(
        slot.with_name(|name| name.is_none()),
        "the name of the slot's last greenlet"
    );
}

/// Slots of many slabs come back from the lists as the ones that went in.
#[test]
fn a_slot_keeps_its_place_through_the_lists() {
    let mut arena = Arena::new();
    let mut slots: Vec<Slot> = (0..1000).map(|_| arena.alloc(K64).unwrap()).collect();
    let before: HashSet<usize> = slots.iter().map(|slot| slot.top()).collect();
    assert_eq!(before.len(), 1000);
    for round in 0..4 {
        for slot in slots.drain(..) {
            free(&mut arena, slot);
        }
        // Given back, a header reads as zeros: what it knew is noted anew.
        arena.trim_to(K64, 300 * round);
        slots.extend((0..1000).map(|_| arena.alloc(K64).unwrap()));
        assert_eq!(arena.live(), 1000);
        assert!(slots.iter().all(|slot| before.contains(&slot.top())));
        assert_eq!(
            slots.iter().map(|slot| slot.top()).collect::<HashSet<_>>(),
            before
        );
    }
}

#[test]
fn slabs_are_refused_that_free_lists_cannot_number() {
    const HALF: usize = 1 << 31;
    let first = 0x7_f000_0000;
    let origin = arena::origin(first);
    for (pages, good) in [
        (first..=first, true),
        (first - HALF..=first, true),
        (first - HALF - 1..=first, false),
        (first..=first + HALF - 1, true),
        (first..=first + HALF, false),
    ] {
        assert_eq!(
            arena::within_reach(pages.clone(), origin),
            good,
            "{pages:x?}"
        );
    }
    // A first slab at a low address, too.
    assert!(arena::within_reach(17..=1000, arena::origin(17)));
}

#[test]
fn no_slot_is_found_where_there_is_none() {
    let mut arena = Arena::new();
    for size in StackSize::ALL {
        let slot = arena.alloc(size).unwrap();
        assert!(registry::find(slot.limit()).is_some());
    }
    for (base, len) in arena.slabs() {
        let place = registry::find(base).unwrap();
        assert_eq!(place.limit, base);
        let stride = place.size.stride();
        // Past the last slot lies less than one more, to the end of the slab.
        let slots = len / stride;
        let last = registry::find(base + slots * stride - 1).unwrap();
        assert_eq!(last.limit, base + (slots - 1) * stride);
        if len % stride > 0 {
            assert_eq!(registry::find(base + slots * stride), None);
            assert_eq!(registry::find(base + len - 1), None);
        }
    }
}

#[test]
fn only_open_greenlets_are_listed() {
    let mut arena = Arena::new();
    let slots: Vec<Slot> = (0..200)
        .map(|i| arena.alloc(StackSize::ALL[i % 3]).unwrap())
        .collect();
    for (&slot, id) in slots.iter().zip(1..).take(150) {
        open(slot, id);
    }
    slots[0].open_auxiliary(NonZeroU64::new(1).unwrap(), Location::caller());
    free(&mut arena, slots[1]);
    let mut seen = HashMap::new();
    arena.for_each_live(|slot| assert!(seen.insert(slot.id().unwrap().get(), slot).is_none()));
    assert_eq!(seen.len(), 148);
    assert!((3..=150).all(|id| seen[&id] == slots[id as usize - 1]));
    assert_eq!(arena.live(), 199);
}

#[test]
fn freeing_needs_no_room() {
    let mut arena = Arena::new();
    let slots: Vec<Slot> = (0..5000).map(|_| arena.alloc(K64).unwrap()).collect();
    let room = arena.room(K64);
    assert!(room.0 >= 5000 && room.1 >= 5000);
    for slot in slots {
        free(&mut arena, slot);
    }
    arena.trim_to(K64, 0);
    assert_eq!(arena.room(K64), room);
}

#[test]
fn trimmed_slots_read_zero_and_keep_their_guards() {
    for rung in [None, Some(Rung::Madvise), Some(Rung::Mprotect)] {
        let mut arena = Arena::with(rung, &guard::PROCESS);
        for size in StackSize::ALL {
            let slots: Vec<Slot> = (0..40).map(|_| arena.alloc(size).unwrap()).collect();
            for (&slot, id) in slots.iter().zip(1..) {
                dirty(slot);
                open(slot, id);
            }
            for &slot in &slots[..30] {
                free(&mut arena, slot);
            }
            assert_eq!(arena.trim_to(size, 10), 20);
            for (i, &slot) in slots.iter().enumerate() {
                let expected = if i < 20 { 0 } else { 0xa5 };
                assert_eq!(byte(stack_start(slot)), expected, "slot {i}");
                assert!(
                    !readable(slot.limit()) && !readable(stack_start(slot) - 1),
                    "slot {i} lost its guard"
                );
            }
            assert!(
                slots[30..].iter().all(|slot| slot.id().is_some()),
                "a live slot was trimmed"
            );
            // The latest freed is still first, and the trimmed ones come back after the warm ones.
            assert_eq!(arena.alloc(size).unwrap(), slots[29]);
            let next: HashSet<usize> = (0..29)
                .map(|_| arena.alloc(size).unwrap().limit())
                .collect();
            assert!(slots[..29].iter().all(|slot| next.contains(&slot.limit())));
        }
    }
}

#[test]
fn trim_leaves_what_a_burst_needs() {
    let mut arena = Arena::new();
    let slots: Vec<Slot> = (0..3000).map(|_| arena.alloc(K64).unwrap()).collect();
    for slot in slots {
        free(&mut arena, slot);
    }
    assert_eq!(
        arena.trim_some(100),
        100,
        "of many, as many as there is time for"
    );
    let before = arena.stats();
    let given = arena.trim();
    assert!(given > 0 && given < 3000);
    assert_eq!(
        arena.stats(),
        MemoryStats {
            warm: before.warm - given,
            ..before
        }
    );
    assert_eq!(arena.trim(), 0, "there is nothing left above the watermark");
    assert_eq!(arena.trim_some(100), 0);
}

#[test]
fn a_hundred_thousand_stacks_are_few_mappings() {
    let mut arena = Arena::new();
    for _ in 0..100_000 {
        arena.alloc(K64).unwrap();
    }
    let stats = arena.stats();
    assert_eq!((stats.live, stats.live_bytes), (100_000, 100_000 << 16));
    if arena.mprotected() == 0 {
        assert!(
            mappings(&arena.slabs()) <= 16,
            "{} mappings",
            mappings(&arena.slabs())
        );
    }
}

#[test]
fn a_slab_with_a_live_slot_outlives_the_arena() {
    alone("arena::a_slab_with_a_live_slot_outlives_the_arena", || {
        let mut arena = Arena::new();
        // Three slabs of 64, 128 and 256 slots, a live slot in the second.
        let slots: Vec<Slot> = (0..64 + 128 + 1)
            .map(|_| arena.alloc(K64).unwrap())
            .collect();
        let slabs = arena.slabs();
        assert_eq!(slabs.len(), 3);
        let live = slots[100];
        open(live, 5);
        dirty(live);
        for &slot in slots.iter().filter(|&&slot| slot != live) {
            free(&mut arena, slot);
        }
        drop(arena);
        let registered: Vec<bool> = slabs
            .iter()
            .map(|&(base, _)| registry::find(base).is_some())
            .collect();
        let mapped: Vec<bool> = slabs.iter().map(|&slab| mappings(&[slab]) > 0).collect();
        assert_eq!(registered, [false, true, false]);
        assert_eq!(mapped, [false, true, false]);
        assert_eq!(
            (live.id().unwrap().get(), byte(stack_start(live))),
            (5, 0xa5)
        );
        assert!(!readable(live.limit()));
    });
}

#[test]
fn a_slot_that_was_never_opened_counts_as_live() {
    alone("arena::a_slot_that_was_never_opened_counts_as_live", || {
        let mut arena = Arena::new();
        let slot = arena.alloc(M1).unwrap();
        drop(arena);
        dirty(slot);
        assert_eq!(registry::find(slot.top()).unwrap().size, M1);
    });
}

#[test]
#[cfg(not(feature = "sanitizer"))] // which takes terabytes of address space
fn no_memory_is_an_error_and_the_arena_goes_on() {
    alone("arena::no_memory_is_an_error_and_the_arena_goes_on", || {
        let mut arena = Arena::new();
        arena.alloc(K64).unwrap();
        limit_address_space(600 << 20);
        let mut slots = Vec::new();
        let error = loop {
            match arena.alloc(M1) {
                Ok(slot) => slots.push(slot),
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), ErrorKind::OutOfMemory, "{error}");
        assert!(
            slots.len() > 64,
            "smaller slabs were not tried: {} slots",
            slots.len()
        );
        let slot = slots.pop().unwrap();
        free(&mut arena, slot);
        assert_eq!(arena.alloc(M1).unwrap(), slot);
        assert_eq!(arena.alloc(M1).unwrap_err().kind(), ErrorKind::OutOfMemory);
        assert_eq!(
            arena.promise(M1).unwrap_err().kind(),
            ErrorKind::OutOfMemory
        );
        arena.alloc(K64).unwrap();
    });
}

#[test]
fn threads_have_arenas_of_their_own() {
    let threads: Vec<_> = (0..4)
        .map(|_| {
            std::thread::spawn(|| {
                let mut arena = Arena::new();
                let slots: Vec<Slot> = (0..300).map(|_| arena.alloc(K64).unwrap()).collect();
                assert!(
                    slots
                        .iter()
                        .all(|slot| registry::find(slot.limit()).unwrap().size == K64)
                );
                for (&slot, id) in slots.iter().zip(1..) {
                    open(slot, id);
                }
                let mut ids = 0;
                arena.for_each_live(|slot| ids += slot.id().unwrap().get());
                assert_eq!(ids, 300 * 301 / 2);
                for slot in slots {
                    free(&mut arena, slot);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}

#[test]
fn a_closure_runs_on_a_slot_and_its_panic_comes_back() {
    let mut arena = Arena::new();
    let slot = arena.alloc(K256).unwrap();
    // Unless AddressSanitizer keeps locals elsewhere.
    let inside = |address: usize| {
        cfg!(feature = "sanitizer") || (slot.limit()..slot.top()).contains(&address)
    };
    let calls = Cell::new(0);
    // SAFETY: the slot is used by this call alone.
    let answer = unsafe {
        run_on(slot, || {
            calls.set(calls.get() + 1);
            let local = 0_u8;
            (inside((&raw const local).addr()), "text".to_string())
        })
    };
    assert_eq!(answer, (true, "text".to_string()));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as above.
        unsafe { run_on(slot, || std::panic::resume_unwind(Box::new(17_i32))) }
    }));
    assert_eq!(*panicked.unwrap_err().downcast::<i32>().unwrap(), 17);
    assert_eq!(calls.get(), 1);
}

#[test]
fn a_coroutine_runs_below_the_control_block() {
    let mut arena = Arena::new();
    let slot = arena.alloc(K64).unwrap();
    let base = std::num::NonZeroUsize::new(slot.top() - 512).unwrap();
    // SAFETY: the slot is live until the coroutine below is done; nobody else uses it.
    let stack = unsafe { SlotStack::new(slot, base) };
    let mut coroutine = corosensei::Coroutine::with_stack(
        stack,
        |yielder: &corosensei::Yielder<u32, u32>, first| {
            let local = first;
            let second = yielder.suspend(local + 1);
            (second, (&raw const local).addr())
        },
    );
    assert_eq!(coroutine.resume(1).as_yield(), Some(2));
    let (second, address) = coroutine.resume(5).as_return().unwrap();
    assert_eq!(second, 5);
    assert!(cfg!(feature = "sanitizer") || (slot.limit()..base.get()).contains(&address));
    drop(coroutine);
    free(&mut arena, slot);
}

/// Random calls against the simplest thing that could be right: a stack of freed slots and a set of live ones.
#[test]
fn random_calls_agree_with_a_model() {
    for seed in 1..=8 {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut arena = Arena::new();
        let mut live: Vec<(Slot, u64)> = Vec::new();
        let mut freed: HashMap<StackSize, Vec<Slot>> = HashMap::new();
        let mut next_id = 1;
        for _ in 0..4000 {
            match random.below(100) {
                0..50 => {
                    let size = StackSize::ALL[[0, 0, 0, 0, 1, 2][random.below(6)]];
                    let slot = arena.alloc(size).unwrap();
                    if let Some(expected) = freed.entry(size).or_default().pop() {
                        assert_eq!(slot, expected);
                    }
                    assert!(
                        live.iter().all(|&(other, _)| other.limit() != slot.limit()),
                        "handed out twice"
                    );
                    assert!(slot.id().is_none());
                    open(slot, next_id);
                    live.push((slot, next_id));
                    next_id += 1;
                }
                50..98 if !live.is_empty() => {
                    let (slot, id) = live.swap_remove(random.below(live.len()));
                    assert_eq!(slot.id().unwrap().get(), id);
                    free(&mut arena, slot);
                    freed.get_mut(&slot.size()).unwrap().push(slot);
                }
                98 => {
                    let keep = random.below(20);
                    arena.trim_to(K64, keep);
                    let warm = freed.entry(K64).or_default();
                    warm.drain(..warm.len().saturating_sub(keep));
                }
                _ => {
                    let mut seen = HashSet::new();
                    arena.for_each_live(|slot| {
                        assert!(seen.insert((slot.limit(), slot.id().unwrap().get())))
                    });
                    let expected: HashSet<_> =
                        live.iter().map(|&(slot, id)| (slot.limit(), id)).collect();
                    assert_eq!(seen, expected);
                }
            }
            let stats = arena.stats();
            assert_eq!((stats.live, arena.live()), (live.len(), live.len()));
            assert_eq!(
                stats.live_bytes,
                live.iter()
                    .map(|(slot, _)| slot.size().bytes())
                    .sum::<usize>()
            );
            assert_eq!(stats.warm, freed.values().map(Vec::len).sum::<usize>());
        }
    }
}

// The header is what the layers above agree upon with the fault handler.
const _: () = assert!(size_of::<SlotHeader>() == 64 && size_of::<Slot>() == size_of::<usize>());
