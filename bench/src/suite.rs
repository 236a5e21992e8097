//! One launch: which cases each benchmark has, and the rows they make.
//!
//! greenloom's side and the reference's are each handed to the duel by a `with_side` (in `cases` and in
//! `reference`), because some sides only exist inside a scope.
#![forbid(unsafe_code)]

use std::io;

use crate::cli::Options;
use crate::measure::{Case, Measured, duel};
use crate::report::Row;
use crate::{cases, echo, foreign, reference, servers};

/// Alternate rounds of a launch, unless the command line says otherwise.
const ROUNDS: usize = 9;

/// More than this many sleepers are not all parked when the first is due.
const MOST_SLEEPERS: u64 = 100_000;

/// Measures benchmark `name` once and prints its rows for the parent.
pub(crate) fn run_child(name: &str, options: &Options) -> io::Result<()> {
    let rounds = options.rounds.unwrap_or(ROUNDS);
    let rows = match name {
        "switch" => duels(
            rounds,
            "switch",
            &[
                ("root_greenlet", Case::RootGreenlet),
                ("greenlet_greenlet", Case::GreenletGreenlet),
                ("ring10", Case::Ring(10)),
            ],
        ),
        "yield" => duels(
            rounds,
            "yield",
            &[
                ("2 tasks", Case::Yield(2)),
                ("100 tasks", Case::Yield(100)),
                ("10000 tasks", Case::Yield(10_000)),
            ],
        ),
        "spawn" => duels(
            rounds,
            "spawn",
            &[
                ("batch 1", Case::Spawn(1)),
                ("batch 1000", Case::Spawn(1000)),
                ("batch 100000", Case::Spawn(100_000)),
            ],
        ),
        "locks" => duels(
            rounds,
            "locks",
            &[
                ("mutex, lock and unlock", Case::Mutex),
                ("event, is_set", Case::Event),
            ],
        ),
        "select" => duels(
            rounds,
            "select",
            &[
                ("2 queues, one ready", Case::Select(2)),
                ("64 queues, one ready", Case::Select(64)),
            ],
        ),
        "queues" => duels(
            rounds,
            "queues",
            &[
                ("capacity 128", Case::Items128),
                ("unbounded", Case::Items),
                ("round trip, capacity 0", Case::RoundTrip),
                ("two threads, beside tokio", Case::TwoThreadsTokio),
                ("two threads, beside crossbeam", Case::TwoThreadsCrossbeam),
            ],
        ),
        "offload" => duels(
            rounds,
            "offload",
            &[
                ("round trip, beside bare threads", Case::Offload),
                ("round trip, beside tokio", Case::OffloadTokio),
            ],
        ),
        "sleepers" => cases::sleepers(options.n.min(MOST_SLEEPERS))?,
        "echo" => echo::rows(options)?,
        "idle" => servers::idle(options)?,
        "two-hubs" => servers::two_hubs(options)?,
        "http" => foreign::http(options)?,
        "redis" => foreign::redis(options)?,
        "million" => cases::million(options.n)?,
        "million-tasks" => cases::million_tasks(options.n)?,
        _ => return instructions(name, options.n),
    };
    for row in rows {
        println!("{}", row.to_line());
    }
    Ok(())
}

/// Measures every case of a benchmark that is made of duels.
fn duels(rounds: usize, bench: &str, list: &[(&str, Case)]) -> Vec<Row> {
    let mut rows = Vec::new();
    for &(name, case) in list {
        let measured = reference::with_side(case, |reference| {
            cases::with_side(case, |value| duel(rounds, value, reference))
        });
        rows.extend(rows_of(bench, name, measured));
    }
    rows
}

/// The rows of one duel: time, and for switches and yields the allocations, which must be none.
fn rows_of(bench: &str, case: &str, measured: Measured) -> Vec<Row> {
    let row = |case: String, unit: String, value, reference| Row {
        bench: bench.to_owned(),
        case,
        unit,
        value,
        reference,
    };
    let mut rows = vec![row(
        case.to_owned(),
        "ns".to_owned(),
        measured.value,
        measured.reference,
    )];
    if matches!(bench, "switch" | "yield") {
        rows.push(row(
            format!("{case}, allocations"),
            format!("allocations/{bench}"),
            measured.allocations,
            None,
        ));
    }
    rows
}

/// Performs `n` operations of one kind and nothing else, for a profiler that counts instructions.
fn instructions(name: &str, n: u64) -> io::Result<()> {
    let run = |side: Option<crate::measure::Side<'_>>| {
        side.map(|side| println!("{} operations", side(n).operations))
    };
    let done = match name {
        "instructions-raw-pair" => reference::with_side(Case::RootGreenlet, run),
        "instructions-root-greenlet" => cases::with_side(Case::RootGreenlet, run),
        "instructions-greenlet-greenlet" => cases::with_side(Case::GreenletGreenlet, run),
        "instructions-yield" => cases::with_side(Case::Yield(2), run),
        "instructions-spawn-1" => cases::with_side(Case::Spawn(1), run),
        "instructions-spawn-1000" => cases::with_side(Case::Spawn(1000), run),
        "instructions-park" => run(Some(&mut cases::parks())),
        "instructions-parked-read" => run(Some(&mut cases::parked_reads())),
        "instructions-round-trip" => cases::with_side(Case::RoundTrip, run),
        "instructions-two-hubs" => cases::with_side(Case::TwoThreadsTokio, run),
        "instructions-queue-item" => cases::with_side(Case::Items128, run),
        _ => return Err(io::Error::other(format!("no benchmark {name:?}"))),
    };
    done.ok_or_else(|| io::Error::other("the case has no such side"))
}
