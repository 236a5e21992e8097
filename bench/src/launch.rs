//! The parent: launches this binary as children and prints the medians of what they measured.
//!
//! Launches of one benchmark run one after the other, never side by side: they would measure each other.
//! A child that fails ends the run with its name; numbers of a run that failed in part are not printed.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::about::About;
use crate::cli::{CASES, Options};
use crate::plot;
use crate::report::{self, Row};

/// Runs benchmark `case` (or `all`) and prints its table or JSON lines.
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
    if options.json {
        println!("{}", about.json());
    }
    let mut all = Vec::new();
    for case in cases {
        let mut rows = Vec::new();
        for launch in 1..=options.launches {
            eprintln!("{case}: launch {launch} of {}", options.launches);
            rows.extend(child(case, options)?);
            if case == "million" {
                // A process of its own: the greenlets leave their stacks in the pool, warm and counted.
                rows.extend(child("million-tasks", options)?);
            }
        }
        let summaries = report::summarise(&rows);
        if options.json {
            for summary in &summaries {
                println!("{}", report::json(summary));
            }
        }
        all.extend(summaries);
    }
    if !options.json {
        print!("{}", report::table(&all));
    }
    let lines = std::iter::once(about.json()).chain(all.iter().map(report::json));
    draw(&lines.collect::<Vec<_>>().join("\n"), options)
}

/// Draws the results of an earlier run, from the file that `--json` made.
pub(crate) fn plot(file: &str, options: &Options) -> io::Result<()> {
    let text = fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("{file}: {error}")))?;
    draw(&text, options)
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

/// One launch: its rows.
fn child(case: &str, options: &Options) -> io::Result<Vec<Row>> {
    let output = Command::new(std::env::current_exe()?)
        .args(options.for_child(case))
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
