//! The results as a Markdown table: a row for each case, what it is held against beside it.
//!
//! ```text
//! | benchmark | case | unit | greenloom | limit | ratio | others       |
//! | queues    | …    | ns   | 108       | 3.55  | 30.41 | tokio 175    |
//! ```
//!
//! greenloom's number is that beside the limit; if there is none, beside the first of the others. The ratio is the launches'
//! median, as in the printed table, and only there if there is a limit. Rows that count allocations are left out: they have
//! to be 0, and are named if they are not.
#![forbid(unsafe_code)]

use std::fmt::Write as _;
use std::io;

use super::record::{self, Record};
use super::{Panel, panels};
use crate::report::short;

/// The table of all that `text`, lines of JSON, has, below a line that says where it comes from.
pub(crate) fn markdown(text: &str) -> io::Result<String> {
    let (about, records) = record::read(text).map_err(io::Error::other)?;
    if records.is_empty() {
        return Err(io::Error::other("no rows to sum up"));
    }
    let mut out = String::new();
    if let Some(about) = about {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "```sh\n{}\n```\n", about.command);
        let _ = writeln!(
            out,
            "{}; {}; commit {}.\n",
            about.machine, about.date, about.commit
        );
    }
    let (allocations, timed): (Vec<Record>, Vec<Record>) = records
        .into_iter()
        .partition(|record| record.unit.starts_with("allocations/"));
    for record in allocations {
        if record.value != Some(0.0) {
            let (bench, case) = (record.bench, record.case);
            let _ = writeln!(out, "{bench}, {case}: {}\n", short(record.value));
        }
    }
    out.push_str("| benchmark | case | unit | greenloom | limit | ratio | others |\n");
    out.push_str("| --- | --- | --- | ---: | ---: | ---: | --- |\n");
    let mut benches: Vec<&str> = Vec::new();
    for record in &timed {
        if !benches.contains(&record.bench.as_str()) {
            benches.push(&record.bench);
        }
    }
    for bench in benches {
        let of_bench = || timed.iter().filter(|record| record.bench == bench);
        for Panel { unit, cases } in panels(of_bench()) {
            for case in cases {
                let ratio = of_bench()
                    .find(|r| r.case == case.name && r.unit == unit && r.peer.is_none())
                    .and_then(|record| record.ratio);
                let others: Vec<String> = case
                    .peers
                    .iter()
                    .map(|(peer, number)| format!("{peer} {}", short(Some(*number))))
                    .collect();
                let _ = writeln!(
                    out,
                    "| {bench} | {} | {unit} | {} | {} | {} | {} |",
                    case.name,
                    short(case.ours),
                    short(case.limit),
                    ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
                    others.join(", "),
                );
            }
        }
    }
    Ok(out)
}
