//! One launch: which cases each benchmark has, and the rows they make.
//!
//! greenloom's side, the reference's and a peer's are each handed to the duel by a `with_side` (in `cases`, `reference`
//! and `peers`), because some sides only exist inside a scope.
#![forbid(unsafe_code)]

use std::io;

use crate::cli::Options;
use crate::measure::{Case, Measured, duel};
use crate::peers::{self, Peer, programs};
use crate::report::Row;
use crate::{cases, echo, foreign, memory, reference, servers, spin, timers};

/// Alternate rounds of a launch, unless the command line says otherwise.
const ROUNDS: usize = 9;

/// Measures benchmark `name` once and prints its rows for the parent.
pub(crate) fn run_child(name: &str, options: &Options) -> io::Result<()> {
    let rows = match name {
        "switch" | "values" | "yield" | "spawn" | "locks" | "queues" | "select" | "offload" => {
            duels(name, &list(name, options.n), options)?
        }
        "memory" => memory::rows(options)?,
        "memory-tasks" | "memory-greenlets" | "memory-peer" => memory::one(name, options)?,
        "timers" => timers::rows(options)?,
        "echo" => echo::rows(options)?,
        "idle" => servers::idle(options)?,
        "two-hubs" => servers::two_hubs(options)?,
        "http" => foreign::http(options)?,
        "redis" => foreign::redis(options)?,
        "spin" => spin::rows(options)?,
        "parked" => cases::parked_connections(options.n)?,
        "million" => cases::million(options.n)?,
        "million-tasks" => cases::million_tasks(options.n)?,
        _ => return Err(io::Error::other(format!("no benchmark {name:?}"))),
    };
    for row in rows {
        println!("{}", row.to_line());
    }
    Ok(())
}

/// The cases of a benchmark that is made of duels; those with numbers of tasks have at most `n`.
fn list(name: &str, n: u64) -> Vec<(String, Case)> {
    let fixed: &[(&str, Case)] = match name {
        "switch" => &[
            ("root_greenlet", Case::RootGreenlet),
            ("greenlet_greenlet", Case::GreenletGreenlet),
            ("ring10", Case::Ring(10)),
            ("ring1000", Case::Ring(1000)),
        ],
        "values" => &[
            ("0 bytes", Case::Values(0)),
            ("8 bytes", Case::Values(8)),
            ("64 bytes", Case::Values(64)),
            ("1024 bytes", Case::Values(1024)),
        ],
        "locks" => &[
            ("mutex, lock and unlock", Case::Mutex),
            ("event, is_set", Case::Event),
        ],
        "select" => &[
            ("2 queues, one ready", Case::Select(2)),
            ("64 queues, one ready", Case::Select(64)),
        ],
        "queues" => &[
            ("capacity 128", Case::Items128),
            ("unbounded", Case::Items),
            ("round trip, capacity 0", Case::RoundTrip),
            ("two threads", Case::TwoThreads),
        ],
        "offload" => &[("round trip", Case::Offload)],
        _ => &[],
    };
    if !fixed.is_empty() {
        return fixed
            .iter()
            .map(|&(name, case)| (name.to_owned(), case))
            .collect();
    }
    let numbers: &[usize] = &[1, 2, 10, 100, 1000, 10_000, 100_000, 1_000_000];
    let numbers = numbers.iter().copied().filter(|&number| number as u64 <= n);
    match name {
        "yield" => numbers
            .map(|n| {
                let s = if n == 1 { "" } else { "s" };
                (format!("{n} task{s}"), Case::Yield(n))
            })
            .collect(),
        _ => numbers
            .filter(|&batch| batch != 2)
            .map(|batch| (format!("batch {batch}"), Case::Spawn(batch)))
            .collect(),
    }
}

/// Alternate rounds of a case: of what fills a round by itself many times over there are fewer.
fn rounds_of(case: Case, options: &Options) -> usize {
    match case {
        Case::Yield(n) | Case::Spawn(n) if n > 100_000 => options.rounds_or(3, 1),
        Case::Yield(n) | Case::Spawn(n) if n > 10_000 => options.rounds_or(5, 2),
        _ => options.rounds_or(ROUNDS, 3),
    }
}

/// Measures every case of a benchmark that is made of duels: beside its limit and the peers that are always beside it, or
/// beside the one peer that was asked for.
fn duels(bench: &str, list: &[(String, Case)], options: &Options) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (name, case) in list {
        let case = *case;
        let rounds = rounds_of(case, options);
        let beside = |peer: Peer| -> io::Result<Option<Row>> {
            let measured = if peer.is_program() {
                programs::ns(peer, case)?.map(|reference| Measured {
                    reference: Some(reference),
                    ..cases::with_side(case, |value| duel(rounds, value, None))
                })
            } else {
                peers::with_side(peer, case, |reference| {
                    let reference = reference?;
                    Some(cases::with_side(case, |value| {
                        duel(rounds, value, Some(reference))
                    }))
                })
            };
            Ok(measured.map(|measured| Row {
                bench: bench.to_owned(),
                case: name.clone(),
                unit: "ns".to_owned(),
                value: measured.value,
                reference: measured.reference,
                peer: Some(peer.name().to_owned()),
            }))
        };
        let stand_ins = peers::stand_ins(case);
        match options.peer {
            Some(peer) if stand_ins.contains(&peer) => {}
            Some(peer) => rows.extend(beside(peer)?),
            None => {
                if reference::has(case) || stand_ins.is_empty() {
                    let measured = reference::with_side(case, |reference| {
                        cases::with_side(case, |value| duel(rounds, value, reference))
                    });
                    rows.extend(rows_of(bench, name, measured));
                }
                for &peer in stand_ins {
                    rows.extend(beside(peer)?);
                }
            }
        }
    }
    Ok(rows)
}

/// The rows of one duel: time, and for switches and yields the allocations, which must be none.
fn rows_of(bench: &str, case: &str, measured: Measured) -> Vec<Row> {
    let row = |case: String, unit: String, value, reference| Row {
        bench: bench.to_owned(),
        case,
        unit,
        value,
        reference,
        peer: None,
    };
    let mut rows = vec![row(
        case.to_owned(),
        "ns".to_owned(),
        measured.value,
        measured.reference,
    )];
    if matches!(bench, "switch" | "values" | "yield") {
        rows.push(row(
            format!("{case}, allocations"),
            match bench {
                "yield" => "allocations/yield".to_owned(),
                _ => "allocations/switch".to_owned(),
            },
            measured.allocations,
            None,
        ));
    }
    rows
}
