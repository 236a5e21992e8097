//! The benchmark `memory`: bytes of each parked task and greenlet, of many and of very many.
//!
//! ```text
//! bench --child memory                  asks, for each number:
//!  ├─ bench --child memory-tasks --n N          a process of its own for each, because memory that was used once is
//!  ├─ bench --child memory-greenlets --n N      kept for the next
//!  └─ bench --child memory-peer --peer P --n N
//! ```
//!
//! The limit is a page: a stack that runs anything has touched one.
#![forbid(unsafe_code)]

use std::io;

use crate::cli::Options;
use crate::peers::{self, Peer};
use crate::report::Row;
use crate::{cases, launch};

/// How many there are, up to the most that `--n` allows.
const NUMBERS: [u64; 3] = [10_000, 100_000, 1_000_000];

/// The least that a stack takes once it has run.
const PAGE: f64 = 4096.0;

/// Measures every number, beside a page or beside the peer.
pub(crate) fn rows(options: &Options) -> io::Result<Vec<Row>> {
    let mut numbers: Vec<u64> = NUMBERS.into_iter().filter(|&n| n <= options.n).collect();
    if numbers.is_empty() {
        numbers.push(options.n);
    }
    let mut rows = Vec::new();
    for n in numbers {
        let each = |of: &str, peer: Option<Peer>| {
            let alone = Options {
                n,
                ..options.clone()
            };
            let rows = launch::child(of, peer, &alone)?;
            Ok::<_, io::Error>(rows.first().and_then(|row| row.value))
        };
        let row = |kind: &str, value, reference| Row {
            bench: "memory".to_owned(),
            case: format!("{n} {kind}"),
            unit: "bytes each".to_owned(),
            value,
            reference,
            peer: options.peer.map(|peer| peer.name().to_owned()),
        };
        match options.peer {
            None => {
                rows.push(row("tasks", each("memory-tasks", None)?, Some(PAGE)));
                rows.push(row(
                    "greenlets",
                    each("memory-greenlets", None)?,
                    Some(PAGE),
                ));
            }
            Some(peer) => {
                let kind = match peer {
                    Peer::Generator | Peer::Corosensei => "greenlets",
                    _ => "tasks",
                };
                // Nothing from a peer that cannot have so many.
                if let Some(theirs) = each("memory-peer", Some(peer))? {
                    let ours = each(&format!("memory-{kind}"), None)?;
                    rows.push(row(kind, ours, Some(theirs)));
                }
            }
        }
    }
    Ok(rows)
}

/// One number, in this process: a row for [`rows`], which reads its value only.
pub(crate) fn one(name: &str, options: &Options) -> io::Result<Vec<Row>> {
    let n = usize::try_from(options.n).map_err(io::Error::other)?;
    let value = match (name, options.peer) {
        ("memory-tasks", _) => Some(cases::memory_of_tasks(n)?),
        ("memory-greenlets", _) => Some(cases::memory_of_greenlets(n)?),
        (_, Some(peer)) => peers::memory(peer, n)?,
        (_, None) => return Err(io::Error::other("memory of which peer?")),
    };
    Ok(vec![Row {
        bench: name.to_owned(),
        case: n.to_string(),
        unit: "bytes each".to_owned(),
        value,
        reference: None,
        peer: None,
    }])
}
