//! Where and when a run's numbers were taken, and by which command: without that they are nobody's numbers.
//!
//! Written once per run, as a line of its own before the rows:
//!
//! ```json
//! {"machine":"…","date":"2026-01-31 12:00 UTC","commit":"0123abc","command":"cargo run --release -p bench -- …"}
//! ```
//!
//! What cannot be found out is "unknown": a benchmark does not fail for want of a caption.
#![forbid(unsafe_code)]

use std::fs;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::report::json_text;

/// What a caption says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct About {
    /// Processor, number of cores, memory, kernel.
    pub(crate) machine: String,
    /// When the run began, in UTC.
    pub(crate) date: String,
    /// Of the source, with a plus sign if there were changes beside it.
    pub(crate) commit: String,
    /// What repeats the run.
    pub(crate) command: String,
}

impl About {
    /// This run.
    pub(crate) fn this_run() -> About {
        let args: Vec<String> = std::env::args().skip(1).map(|arg| quoted(&arg)).collect();
        About {
            machine: machine(),
            date: date(
                SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .map_or(0, |since| since.as_secs()),
            ),
            commit: commit().unwrap_or_else(unknown),
            command: format!("cargo run --release -p bench -- {}", args.join(" ")),
        }
    }

    /// The line before the rows.
    pub(crate) fn json(&self) -> String {
        format!(
            "{{\"machine\":{},\"date\":{},\"commit\":{},\"command\":{}}}",
            json_text(&self.machine),
            json_text(&self.date),
            json_text(&self.commit),
            json_text(&self.command)
        )
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// As one would type it.
fn quoted(arg: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=,./:+@%".contains(c);
    if !arg.is_empty() && arg.chars().all(plain) {
        arg.to_owned()
    } else {
        format!("'{}'", arg.replace('\'', r"'\''"))
    }
}

fn machine() -> String {
    let field = |file: &str, name: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let processor =
        field("/proc/cpuinfo", "model name").unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal")
        .and_then(|kib| kib.strip_suffix(" kB")?.parse::<f64>().ok())
        .map_or_else(unknown, |kib| format!("{:.0} GiB", kib / 1024.0 / 1024.0));
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")
        .map_or_else(|_| unknown(), |text| text.trim().to_owned());
    let s = if cores == 1 { "" } else { "s" };
    format!("{processor}, {cores} core{s}, {memory}, Linux {kernel}")
}

/// The commit of the folder that the program runs in.
fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(args)
            .stdin(Stdio::null())
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changed = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changed.is_empty() {
        commit
    } else {
        format!("{commit}+changes")
    })
}

/// A count of seconds since 1970 as a date and a time.
fn date(seconds: u64) -> String {
    let (mut days, minutes) = (seconds / 86_400, seconds % 86_400 / 60);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    let (hour, minute) = (minutes / 60, minutes % 60);
    format!(
        "{year}-{month:02}-{:02} {hour:02}:{minute:02} UTC",
        days + 1
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_at_the_ends_of_months_and_years() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (951_868_800, "2000-03-01 00:00 UTC"),
            (1_735_689_599, "2024-12-31 23:59 UTC"),
            (1_735_689_600, "2025-01-01 00:00 UTC"),
            (4_107_542_400, "2100-03-01 00:00 UTC"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }

    #[test]
    fn arguments_are_quoted_where_a_shell_would_split_them() {
        assert_eq!(quoted("--n=10"), "--n=10");
        assert_eq!(quoted("a b"), "'a b'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
