//! Peers of other languages: small programs in `bench/peers`, run where their toolchain is found.
//!
//! | peer | program | needs | made by |
//! | --- | --- | --- | --- |
//! | go | `peers/go/main.go` | `go` | `go build` |
//! | greenlet, gevent | `peers/py/*.py` | Python 3 with that module; `BENCH_PYTHON` names another interpreter | – |
//! | boost-context | `peers/cpp/context.cpp` | `g++` and Boost.Context | `g++ -O2` |
//!
//! What a program is asked for, and what it prints on one line:
//!
//! ```text
//! PROGRAM switch|ring N|yield N|spawn N|items128|items|round-trip      ns X, the median of its own rounds
//! PROGRAM memory N                                          bytes X
//! PROGRAM timers N                                          slept CPU CPU_PARKED LATE LATEST      nanoseconds
//! PROGRAM echo SIZE                                         listening on ADDR, until SIGTERM
//! ```
//!
//! A program measures itself, in a process of its own, right after greenloom's side. It ends with this process.
#![forbid(unsafe_code)]

use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::Peer;
use crate::measure::Case;
use crate::sys;
use crate::timers::Slept;

/// Where the sources are.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/peers");

/// Whether `peer` can be run; if not, what is missing and how to get it. Compiles what must be.
pub(super) fn ready(peer: Peer) -> Result<(), String> {
    match peer {
        Peer::Go => {
            if !runs(Command::new("go").arg("version")) {
                return Err("no go (https://go.dev/dl, or apt install golang-go)".to_owned());
            }
            let mut build = Command::new("go");
            build
                .arg("build")
                .arg("-o")
                .arg(binary(peer)?)
                .arg("main.go");
            build.current_dir(Path::new(SOURCES).join("go"));
            compile(build)
        }
        Peer::Greenlet | Peer::Gevent => {
            let module = peer.name();
            if runs(Command::new(python()).args(["-c", &format!("import {module}")])) {
                return Ok(());
            }
            Err(format!(
                "no Python module {module} (python3 -m venv DIR; DIR/bin/pip install {module}; \
                 BENCH_PYTHON=DIR/bin/python)"
            ))
        }
        Peer::BoostContext => {
            if !runs(Command::new("g++").arg("--version")) {
                return Err("no g++ (apt install g++ libboost-context-dev)".to_owned());
            }
            let mut build = Command::new("g++");
            build.args(["-O2", "-std=c++17", "-o"]).arg(binary(peer)?);
            build.arg(Path::new(SOURCES).join("cpp/context.cpp"));
            build.arg("-lboost_context");
            compile(build)
                .map_err(|_| "no Boost.Context (apt install libboost-context-dev)".to_owned())
        }
        _ => Ok(()),
    }
}

/// The command that runs `peer`, with nothing asked of it yet; `None` if it is no program.
pub(crate) fn command(peer: Peer) -> io::Result<Option<Command>> {
    let script = match peer {
        Peer::Greenlet => "py/switching.py",
        Peer::Gevent => "py/waiting.py",
        Peer::Go | Peer::BoostContext => {
            let mut command = Command::new(binary(peer).map_err(io::Error::other)?);
            // One processor, as everything else here has one thread.
            command.env("GOMAXPROCS", "1");
            return Ok(Some(command));
        }
        _ => return Ok(None),
    };
    let mut command = Command::new(python());
    command.arg(Path::new(SOURCES).join(script));
    Ok(Some(command))
}

/// Nanoseconds for each operation of `case`, or `None` if the program has no such part.
pub(crate) fn ns(peer: Peer, case: Case) -> io::Result<Option<f64>> {
    // More would take minutes; `memory` has them.
    let most = if peer == Peer::Gevent {
        10_000
    } else {
        100_000
    };
    let (part, n) = match (peer, case) {
        (Peer::Greenlet | Peer::BoostContext, Case::RootGreenlet) => ("switch", None),
        (Peer::Greenlet, Case::GreenletGreenlet) => ("ring", Some(2)),
        (Peer::Greenlet, Case::Ring(n)) => ("ring", Some(n)),
        (Peer::Go | Peer::Gevent, Case::Yield(n)) if n <= most => ("yield", Some(n)),
        (Peer::Go | Peer::Gevent, Case::Spawn(n)) if n <= most => ("spawn", Some(n)),
        (Peer::BoostContext, Case::Spawn(n)) if n <= peer.most() => ("spawn", Some(n)),
        (Peer::Go | Peer::Gevent, Case::Items128) => ("items128", None),
        (Peer::Gevent, Case::Items) => ("items", None),
        (Peer::Go | Peer::Gevent, Case::RoundTrip) => ("round-trip", None),
        _ => return Ok(None),
    };
    Ok(Some(ask(peer, part, n, "ns")?[0]))
}

/// Bytes of each of `n` that are parked.
pub(super) fn memory(peer: Peer, n: usize) -> io::Result<Option<f64>> {
    match peer {
        Peer::Go | Peer::Gevent => Ok(Some(ask(peer, "memory", Some(n), "bytes")?[0])),
        _ => Ok(None),
    }
}

/// `n` sleepers.
pub(super) fn sleep(peer: Peer, n: usize) -> io::Result<Option<Slept>> {
    if !matches!(peer, Peer::Go | Peer::Gevent) {
        return Ok(None);
    }
    let answer = ask(peer, "timers", Some(n), "slept")?;
    let &[cpu, cpu_parked, late, latest] = &answer[..] else {
        return Err(io::Error::other(format!("{peer:?} slept {answer:?}")));
    };
    let time = |ns: f64| Duration::from_nanos(ns as u64);
    Ok(Some(Slept {
        cpu: time(cpu),
        cpu_parked: time(cpu_parked),
        late: time(late),
        latest: time(latest),
    }))
}

/// Runs the program and reads the numbers behind `word`: one at least.
fn ask(peer: Peer, part: &str, n: Option<usize>, word: &str) -> io::Result<Vec<f64>> {
    let mut command = command(peer)?.ok_or_else(|| io::Error::other("it is no program"))?;
    command.arg(part).args(n.map(|n| n.to_string()));
    sys::end_with_us(&mut command);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    numbers(&text, word)
        .ok_or_else(|| io::Error::other(format!("{} {part} printed {text:?}", peer.name())))
}

/// The numbers behind `word` on the one line.
fn numbers(text: &str, word: &str) -> Option<Vec<f64>> {
    let mut words = text.split_whitespace();
    if words.next()? != word {
        return None;
    }
    let numbers: Vec<f64> = words.map(|word| word.parse().ok()).collect::<Option<_>>()?;
    (!numbers.is_empty()).then_some(numbers)
}

fn python() -> String {
    std::env::var("BENCH_PYTHON").unwrap_or("python3".to_owned())
}

/// Where a program is compiled to: beside this one.
fn binary(peer: Peer) -> Result<PathBuf, String> {
    let ours = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(ours.with_file_name(format!("peer-{}", peer.name())))
}

fn runs(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
    quiet
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn compile(mut command: Command) -> Result<(), String> {
    let output = command.stdin(Stdio::null()).output();
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_understood() {
        assert_eq!(numbers("ns 12.5\n", "ns"), Some(vec![12.5]));
        assert_eq!(
            numbers("slept 1 2 3 4\n", "slept"),
            Some(vec![1.0, 2.0, 3.0, 4.0])
        );
        for wrong in ["", "ns", "ns x", "bytes 4"] {
            assert_eq!(numbers(wrong, "ns"), None, "{wrong:?}");
        }
    }

    #[test]
    fn only_programs_have_a_command() {
        for peer in Peer::ALL {
            let is_some = command(peer).unwrap().is_some();
            assert_eq!(is_some, peer.is_program(), "{peer:?}");
        }
    }
}
