//! greenloom's own side of every benchmark, written as a user of the crate would write it.
//!
//! | file | measures |
//! | --- | --- |
//! | `switch.rs` | one call of `Current::switch`, between root and greenlet, two greenlets, a ring |
//! | `values.rs` | the same with so many bytes |
//! | `yields.rs` | one `yield_now` among so many tasks |
//! | `spawn.rs` | one task from `spawn` to the return of its `join` |
//! | `echo.rs` | an echo server with a task per connection |
//! | `locks.rs` | a lock that is free, a look at an event |
//! | `selects.rs` | a select over queues, one of them ready |
//! | `queues.rs` | one item, one round trip, within a hub and between two |
//! | `offload.rs` | one call on a thread of the pool, and its result back |
//! | `sleepers.rs` | CPU time and lateness of many sleeping tasks |
//! | `parked.rs` | memory of parked tasks and greenlets |
//! | `connections.rs` | memory of parked connections |
//! | `million.rs`, `million_tasks.rs` | memory and time of a million parked greenlets, and tasks |
//!
//! Only public API is used.
#![forbid(unsafe_code)]

mod connections;
mod echo;
mod locks;
mod memory;
mod million;
mod million_tasks;
mod offload;
mod parked;
mod queues;
mod selects;
mod sleepers;
mod spawn;
mod switch;
mod values;
mod yields;

use std::io;
use std::time::Duration;

pub(crate) use self::memory::Memory;
use crate::measure::{Case, Side};
use crate::report::Row;
use crate::timers::Slept;
use greenloom::queue::Queue;

/// Calls `body` with greenloom's side of `case`.
pub(crate) fn with_side<R>(case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    match case {
        Case::RootGreenlet => switch::root_greenlet(body),
        Case::GreenletGreenlet => switch::ring(2, body),
        Case::Ring(greenlets) => switch::ring(greenlets, body),
        Case::Values(0) => values::carrying::<0, _>(body),
        Case::Values(8) => values::carrying::<8, _>(body),
        Case::Values(64) => values::carrying::<64, _>(body),
        Case::Values(1024) => values::carrying::<1024, _>(body),
        Case::Values(_) => body(None),
        Case::Yield(tasks) => body(Some(&mut yields::among(tasks))),
        Case::Spawn(batch) => body(Some(&mut spawn::batches_of(batch))),
        Case::Mutex => body(Some(&mut locks::mutex())),
        Case::Event => body(Some(&mut locks::event())),
        Case::Select(2) => body(Some(&mut selects::of_two())),
        Case::Select(n) => body(Some(&mut selects::of_many(n))),
        Case::Items128 => body(Some(&mut queues::items(|| Queue::bounded(128)))),
        Case::Items => body(Some(&mut queues::items(Queue::unbounded))),
        Case::RoundTrip => body(Some(&mut queues::round_trips())),
        Case::TwoThreads => body(Some(&mut queues::two_threads())),
        Case::Offload => body(Some(&mut offload::round_trips())),
    }
}

/// Measures `n` sleeping tasks.
pub(crate) fn sleep(n: usize) -> io::Result<Slept> {
    sleepers::sleep(n)
}

/// Bytes of each of `n` parked tasks.
pub(crate) fn memory_of_tasks(n: usize) -> io::Result<f64> {
    parked::tasks(n)
}

/// Bytes of each of `n` parked greenlets.
pub(crate) fn memory_of_greenlets(n: usize) -> io::Result<f64> {
    parked::greenlets(n)
}

/// Measures `n` parked greenlets.
pub(crate) fn million(n: u64) -> io::Result<Vec<Row>> {
    million::rows(usize::try_from(n).map_err(io::Error::other)?)
}

/// Measures `n` parked tasks.
pub(crate) fn million_tasks(n: u64) -> io::Result<Vec<Row>> {
    million_tasks::rows(usize::try_from(n).map_err(io::Error::other)?)
}

/// Serves echoes on loopback, of requests of `size` bytes, until a signal ends the process; with a hub that spins for so long.
pub(crate) fn serve_echo(port: u16, size: usize, spin: Duration) -> io::Result<()> {
    echo::serve(port, size, spin)
}

/// Measures what `n` parked connections take, or as many as are usual.
pub(crate) fn parked_connections(n: u64) -> io::Result<Vec<Row>> {
    connections::rows(usize::try_from(n).map_err(io::Error::other)?)
}

/// The same on two threads with a hub each.
pub(crate) fn serve_two_hubs(port: u16) -> io::Result<()> {
    echo::serve_on_two(port)
}
