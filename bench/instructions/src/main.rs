//! Performs so many operations of one kind and nothing else, for a profiler that counts instructions.
//!
//! ```text
//! instructions --list        the kinds whose counts are kept in bench/instructions.json
//! instructions KIND N        performs about N operations, and prints how many it were
//! ```
//!
//! The loops are those of the benchmarks, from the same files, compiled as a user's program is by default. A package of
//! its own, because what a compiler inlines hangs on what else is in a crate: among the benchmarks, a spawn was counted
//! 5 % higher after peers had been added that it has nothing to do with. Keep it small.

#[path = "../../src/alloc.rs"]
mod alloc;
#[path = "../../src/measure.rs"]
#[allow(
    dead_code,
    reason = "nothing is timed here: of the meter only the form is used"
)]
mod measure;
#[path = "../../src/reference/pair.rs"]
#[allow(dead_code, reason = "one case of the file is counted")]
mod pair;
mod parks;
#[path = "../../src/cases/queues.rs"]
mod queues;
#[path = "../../src/cases/spawn.rs"]
mod spawn;
#[path = "../../src/cases/switch.rs"]
mod switch;
#[path = "../../src/cases/yields.rs"]
mod yields;

use std::process::ExitCode;

use greenloom::queue::Queue;

use crate::measure::Side;

/// The kinds that are counted, and that a change is checked by.
const KINDS: [&str; 10] = [
    "raw-pair",
    "root-greenlet",
    "greenlet-greenlet",
    "yield",
    "spawn-1",
    "spawn-1000",
    "park",
    "parked-read",
    "round-trip",
    "queue-item",
];

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args[..] {
        ["--list"] => {
            KINDS.iter().for_each(|kind| println!("{kind}"));
            return ExitCode::SUCCESS;
        }
        [kind, n] => n.parse().ok().and_then(|n| perform(kind, n)),
        _ => None,
    };
    match done {
        Some(operations) => {
            println!("{operations} operations");
            ExitCode::SUCCESS
        }
        None => {
            let kinds = KINDS.join("|");
            eprintln!("usage: instructions --list\n       instructions {kinds}|two-hubs N");
            ExitCode::from(2)
        }
    }
}

/// Performs about `n` operations of a kind, and says how many it were; `None` if there is no such kind.
fn perform(kind: &str, n: u64) -> Option<u64> {
    let run = |side: Option<Side<'_>>| side.map(|side| side(n).operations);
    match kind {
        "raw-pair" => run(Some(&mut pair::resume_and_suspend())),
        "root-greenlet" => switch::root_greenlet(run),
        "greenlet-greenlet" => switch::ring(2, run),
        "yield" => run(Some(&mut yields::among(2))),
        "spawn-1" => run(Some(&mut spawn::batches_of(1))),
        "spawn-1000" => run(Some(&mut spawn::batches_of(1000))),
        "park" => run(Some(&mut parks::rounds())),
        "parked-read" => run(Some(&mut parks::reads())),
        "round-trip" => run(Some(&mut queues::round_trips())),
        "queue-item" => run(Some(&mut queues::items(|| Queue::bounded(128)))),
        // Not in the list: two threads take their turns otherwise on every run.
        "two-hubs" => run(Some(&mut queues::two_threads())),
        _ => None,
    }
}

/// A stack for a reference, of the size that it has in the benchmarks.
fn stack() -> corosensei::stack::DefaultStack {
    corosensei::stack::DefaultStack::new(64 * 1024).expect("no memory for a reference's stack")
}
