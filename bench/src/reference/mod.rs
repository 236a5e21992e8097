//! The references: the same work on bare corosensei and bare epoll, with no scheduler and no safety.
//!
//! | benchmark | reference |
//! | --- | --- |
//! | switch (every case) | one `resume` + `suspend` pair of one coroutine, inlined |
//! | switch (rings, as a peer) | as many coroutines as greenlets, resumed in turn |
//! | yield | a `VecDeque` of coroutines: take the first, resume it, put it back |
//! | spawn | a coroutine on a stack from a pool, run to its end, its stack given back |
//! | locks | std's `Mutex`; the load of an `AtomicBool` |
//! | values | such a pair that carries the bytes both ways, by corosensei's own types |
//! | memory | a page (and, as a peer, a suspended coroutine) |
//! | offload | a thread woken by a futex, which rings an eventfd |
//! | queues | a `VecDeque` that a coroutine fills, 128 items at a time; for the round trip a pair; between threads none |
//! | select | a look at one `VecDeque` after the other |
//! | timers | a heap of moments with a coroutine for each |
//! | echo | an edge-triggered epoll loop ([`echo`]) |
//!
//! All stacks are corosensei's own with [`STACK`] usable bytes, the size of a greenloom task's by default; but for those of
//! `timers`, which are too many for it ([`crate::slots`]).
#![forbid(unsafe_code)]

mod batch;
pub(crate) mod echo;
mod locks;
mod offload;
mod pair;
mod queue;
mod queues;
mod ring;
mod sleepers;

use std::io;

use corosensei::Coroutine;

use crate::cases::Memory;
use crate::measure::{Case, Side};
use crate::timers::Slept;

/// Usable bytes of a stack.
pub(crate) const STACK: usize = 64 * 1024;

/// Two mappings a stack, and the kernel's default allows 65,530 of them: above this, no reference.
pub(crate) const MOST_STACKS: usize = 20_000;

/// Calls `body` with the reference of `case`, or with `None` where there is none.
pub(crate) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::RootGreenlet | Case::GreenletGreenlet | Case::Ring(_) => {
            body(Some(&mut pair::resume_and_suspend()))
        }
        Case::Values(0) => body(Some(&mut pair::carrying::<0>())),
        Case::Values(8) => body(Some(&mut pair::carrying::<8>())),
        Case::Values(64) => body(Some(&mut pair::carrying::<64>())),
        Case::Values(1024) => body(Some(&mut pair::carrying::<1024>())),
        Case::Values(_) => body(None),
        Case::Yield(tasks) if tasks <= MOST_STACKS => body(Some(&mut queue::round_robin(tasks))),
        Case::Yield(_) => body(None),
        Case::Spawn(batch) if batch <= MOST_STACKS => body(Some(&mut batch::create_and_run(batch))),
        Case::Spawn(_) => body(None),
        Case::Mutex => body(Some(&mut locks::mutex())),
        Case::Event => body(Some(&mut locks::flag())),
        Case::Offload => body(Some(&mut offload::futex_and_eventfd())),
        Case::Select(n) => body(Some(&mut queues::scan(n))),
        Case::Items128 | Case::Items => body(Some(&mut queues::items())),
        Case::RoundTrip => body(Some(&mut pair::resume_and_suspend())),
        Case::TwoThreads => body(None),
    }
}

/// Calls `body` with so many raw coroutines in turn, for a case that is a ring.
pub(crate) fn with_ring<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::Ring(size) => match ring::of(size) {
            Ok(mut side) => body(Some(&mut side)),
            Err(_) => body(None),
        },
        _ => body(None),
    }
}

/// Whether there is a limit.
pub(crate) fn has(case: Case) -> bool {
    !matches!(case, Case::TwoThreads)
}

/// Measures `n` sleeping coroutines.
pub(crate) fn sleep(n: usize) -> io::Result<Slept> {
    sleepers::sleep(n)
}

/// Bytes of each of `n` raw coroutines that are suspended, or `None` if their stacks' mappings do not allow so many.
pub(crate) fn memory(n: usize) -> io::Result<Option<f64>> {
    if n > MOST_STACKS {
        return Ok(None);
    }
    let before = Memory::now()?;
    let mut suspended: Vec<Coroutine<(), (), ()>> = Vec::with_capacity(n);
    for _ in 0..n {
        let mut coroutine = Coroutine::with_stack(stack(), |yielder, ()| yielder.suspend(()));
        coroutine.resume(());
        suspended.push(coroutine);
    }
    Ok(Some(Memory::now()?.bytes_since(&before) / n as f64))
}

/// A stack of the size that all references use.
fn stack() -> corosensei::stack::DefaultStack {
    corosensei::stack::DefaultStack::new(STACK).expect("no memory for a reference's stack")
}
