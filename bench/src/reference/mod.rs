//! The references: the same work on bare corosensei and bare epoll, with no scheduler and no safety.
//!
//! | benchmark | reference |
//! | --- | --- |
//! | switch (every case) | one `resume` + `suspend` pair of one coroutine, inlined |
//! | yield | a `VecDeque` of coroutines: take the first, resume it, put it back |
//! | spawn | a coroutine on a stack from a pool, run to its end, its stack given back |
//! | locks | std's `Mutex`; the load of an `AtomicBool` |
//! | select | crossbeam-channel's |
//! | queues | tokio's mpsc; between threads crossbeam-channel too |
//! | offload | a thread woken by a futex, which rings an eventfd; tokio's `spawn_blocking` |
//! | sleepers | tokio's current-thread runtime |
//! | echo | an edge-triggered epoll loop ([`echo`]) |
//!
//! All stacks are corosensei's own with [`STACK`] usable bytes, the size of a greenloom task's by default.
#![forbid(unsafe_code)]

mod batch;
pub(crate) mod echo;
mod locks;
mod offload;
mod pair;
mod queue;
mod queues;
mod sleepers;

use std::io;

use crate::cases::Slept;
use crate::measure::{Case, Side};

/// Usable bytes of a stack.
const STACK: usize = 64 * 1024;

/// Two mappings a stack, and the kernel's default allows 65,530 of them: above this, no reference.
const MOST_STACKS: usize = 20_000;

/// Calls `body` with the reference of `case`, or with `None` where there is none.
pub(crate) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::RootGreenlet | Case::GreenletGreenlet | Case::Ring(_) => {
            body(Some(&mut pair::resume_and_suspend()))
        }
        Case::Yield(tasks) => body(Some(&mut queue::round_robin(tasks))),
        Case::Spawn(batch) if batch <= MOST_STACKS => body(Some(&mut batch::create_and_run(batch))),
        Case::Spawn(_) => body(None),
        Case::Mutex => body(Some(&mut locks::mutex())),
        Case::Event => body(Some(&mut locks::flag())),
        Case::Select(n) => body(Some(&mut locks::select(n))),
        Case::Items128 => body(Some(&mut queues::bounded(128))),
        Case::Items => body(Some(&mut queues::unbounded())),
        Case::RoundTrip => body(Some(&mut queues::round_trips())),
        Case::TwoThreadsTokio => body(Some(&mut queues::two_threads_tokio())),
        Case::TwoThreadsCrossbeam => body(Some(&mut queues::two_threads_crossbeam())),
        Case::Offload => body(Some(&mut offload::futex_and_eventfd())),
        Case::OffloadTokio => body(Some(&mut offload::spawn_blocking())),
    }
}

/// `n` sleepers on tokio.
pub(crate) fn sleepers(n: usize) -> io::Result<Slept> {
    sleepers::sleep(n)
}

/// A stack of the size that all references use.
fn stack() -> corosensei::stack::DefaultStack {
    corosensei::stack::DefaultStack::new(STACK).expect("no memory for a reference's stack")
}
