//! The parent: launches this binary as children and prints the medians of what they measured.
//!
//! ```text
//! case: launch 1   limits | peer A | peer B | …      each a process of its own
//!       launch 2   limits | peer A | peer B | …
//! ```
//!
//! Launches run one after the other, never side by side: they would measure each other.
//! A child that fails ends the run with its name; numbers of a run that failed in part are not printed. A peer that
//! fails is named and left out, because it is not ours to mend.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::about::About;
use crate::cli::{CASES, Json, Options};
use crate::peers::Peer;
use crate::plot;
use crate::report::{self, Row};

/// Runs benchmark `case` (or `all`) and prints its table, or JSON lines where they are wanted.
pub(crate) fn run(case: &str, options: &Options) -> io::Result<()> {
    let cases: Vec<&str> = match case {
        "all" => CASES.to_vec(),
        one => vec![one],
    };
    let about = About::this_run();
    if let Some(folder) = &options.svg {
        // Before the first measurement: a folder that cannot be made costs nobody an hour.
        fs::create_dir_all(folder)?;
    }
    let mut lines: Option<Box<dyn Write>> = match &options.json {
        Json::No => None,
        Json::Printed => Some(Box::new(io::stdout())),
        // Made before the first measurement: a file that cannot be written costs nobody an hour.
        Json::Into(file) => Some(Box::new(File::create(file)?)),
    };
    if let Some(lines) = &mut lines {
        writeln!(lines, "{}", about.json())?;
    }
    let mut ready: Vec<Peer> = Vec::new();
    if options.peers {
        ready.extend(Peer::ALL);
        ready.retain(|&peer| cases.iter().any(|case| peer.plays(case)) && can_run(peer));
    }
    let mut all = Vec::new();
    for case in cases {
        let mut peers: Vec<Peer> = ready
            .iter()
            .copied()
            .filter(|peer| peer.plays(case))
            .collect();
        let mut rows = Vec::new();
        for launch in 1..=options.launches {
            eprintln!("{case}: launch {launch} of {}", options.launches);
            rows.extend(child(case, None, options)?);
            if case == "million" {
                // A process of its own: the greenlets leave their stacks in the pool, warm and counted.
                rows.extend(child("million-tasks", None, options)?);
            }
            peers.retain(|&peer| {
                eprintln!("{case}: launch {launch}, beside {}", peer.name());
                match child(case, Some(peer), options) {
                    Ok(more) => {
                        rows.extend(more);
                        true
                    }
                    Err(error) => {
                        eprintln!("skipped: {case} beside {}: {error}", peer.name());
                        false
                    }
                }
            });
        }
        let summaries = report::summarise(&rows);
        if let Some(lines) = &mut lines {
            for summary in &summaries {
                writeln!(lines, "{}", report::json(summary))?;
            }
        }
        all.extend(summaries);
    }
    if options.json != Json::Printed {
        print!("{}", report::table(&all));
    }
    let lines = std::iter::once(about.json()).chain(all.iter().map(report::json));
    draw(&lines.collect::<Vec<_>>().join("\n"), options)
}

/// Draws the results of an earlier run, from the file that `--json` made.
pub(crate) fn plot(file: &str, options: &Options) -> io::Result<()> {
    draw(&read(file)?, options)
}

/// Prints the results in `file` as a Markdown table.
pub(crate) fn sum_up(file: &str) -> io::Result<()> {
    print!("{}", plot::markdown(&read(file)?)?);
    Ok(())
}

fn read(file: &str) -> io::Result<String> {
    fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))
}

/// Draws lines of results, if that is wanted, and says where.
fn draw(lines: &str, options: &Options) -> io::Result<()> {
    if let Some(folder) = &options.svg {
        for file in plot::write(Path::new(folder), lines)? {
            eprintln!("drawn: {}", file.display());
        }
    }
    Ok(())
}

/// Whether what the peer needs is here. If not, says so, and how to get it.
fn can_run(peer: Peer) -> bool {
    match peer.ready() {
        Ok(()) => true,
        Err(missing) => {
            eprintln!("skipped: {}: {missing}", peer.name());
            false
        }
    }
}

/// One launch: its rows.
pub(crate) fn child(case: &str, peer: Option<Peer>, options: &Options) -> io::Result<Vec<Row>> {
    let output = Command::new(std::env::current_exe()?)
        .args(options.for_child(case, peer))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!(
            "the launch of {case} failed: {}",
            output.status
        )));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().filter_map(Row::from_line).collect())
}
