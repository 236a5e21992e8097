//! The benchmarks `http` and `redis`: two of the examples, under load by other people's programs.
//!
//! | benchmark | value | reference | load |
//! | --- | --- | --- | --- |
//! | `http` | the example `http_hello` | an epoll loop that answers every read and parses nothing | wrk |
//! | `redis` | the example `redis_like` | redis-server, without persistence | redis-benchmark |
//!
//! Servers are pinned to core 0, the load to core 1; both servers live through all rounds, and the one that is not asked
//! sleeps. Their CPU time is read from outside, from `/proc`. What is not installed, or not built, is named, and the
//! benchmark has no rows then: it is no failure.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use crate::cli::Options;
use crate::measure::median;
use crate::report::Row;
use crate::{processes, sys};

/// Rounds of a launch: each is a second or more.
const ROUNDS: usize = 3;

/// Connections under way.
const HTTP_CONNECTIONS: usize = 64;
const REDIS_CONNECTIONS: usize = 50;

/// Seconds of an HTTP round.
const SECONDS: u32 = 2;

/// Looks for a server to listen for so many times a hundredth of a second.
const TRIES: u32 = 1000;

/// Measures HTTP.
pub(crate) fn http(options: &Options) -> io::Result<Vec<Row>> {
    let Some(example) = example("http_hello") else {
        return Ok(Vec::new());
    };
    if !installed("wrk", "--version") {
        return Ok(Vec::new());
    }
    let mut bare = Command::new(env::current_exe()?);
    bare.args(["--serve", "bare-http", "--port", "0", "--core", "0"]);
    let mut ours = Command::new(example);
    ours.args(["--addr", "127.0.0.1:0"]);
    let mut sides = [Side::announced(ours)?, Side::announced(bare)?];
    let seconds = if options.quick { 1 } else { SECONDS };
    rounds(&mut sides, options, |side| {
        side.round(&|addr| wrk(addr, seconds))
    })?;
    Ok(rows(
        "http",
        &format!("{HTTP_CONNECTIONS} connections"),
        "request",
        sides,
    ))
}

/// Measures Redis.
pub(crate) fn redis(options: &Options) -> io::Result<Vec<Row>> {
    let Some(example) = example("redis_like") else {
        return Ok(Vec::new());
    };
    if !installed("redis-server", "--version") || !installed("redis-benchmark", "--version") {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for (pipelined, requests) in [(1, 100_000), (16, 1_000_000)] {
        let requests = if options.quick {
            requests / 5
        } else {
            requests
        };
        for test in ["get", "set"] {
            let mut ours = Command::new(&example);
            ours.args(["--addr", "127.0.0.1:0"]);
            let mut sides = [Side::announced(ours)?, Side::redis_server()?];
            let load = |addr| redis_benchmark(addr, test, pipelined, requests);
            rounds(&mut sides, options, |side| side.round(&load))?;
            let case = format!("{test}, {pipelined} at a time");
            all.extend(rows("redis", &case, "command", sides));
        }
    }
    Ok(all)
}

/// An example's binary, beside this one's.
fn example(name: &str) -> Option<PathBuf> {
    let path = env::current_exe()
        .ok()?
        .parent()?
        .join("examples")
        .join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: the example {name} is not built (cargo build --release --examples)");
    None
}

fn installed(program: &str, argument: &str) -> bool {
    let mut command = Command::new(program);
    command.arg(argument).stdin(Stdio::null());
    // wrk prints its version and fails.
    if command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok()
    {
        return true;
    }
    eprintln!("skipped: {program} is not installed");
    false
}

/// Requests answered, and how many in a second.
type Load = (f64, f64);

/// A server, and what its rounds have measured.
struct Side {
    child: Child,
    addr: SocketAddr,
    cpu_us: Vec<f64>,
    rate: Vec<f64>,
}

impl Side {
    fn start(mut command: Command, output: Stdio) -> io::Result<Side> {
        sys::at_start(&mut command, 0);
        let child = command.stdin(Stdio::null()).stdout(output).spawn()?;
        Ok(Side {
            child,
            addr: SocketAddr::from(([127, 0, 0, 1], 0)),
            cpu_us: Vec::new(),
            rate: Vec::new(),
        })
    }

    /// A server that says where it listens.
    fn announced(command: Command) -> io::Result<Side> {
        // Made first, so that a server that says something else is ended all the same.
        let mut side = Side::start(command, Stdio::piped())?;
        let output = side
            .child
            .stdout
            .take()
            .expect("stdout was asked to be a pipe");
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let addr = line.trim_end().strip_prefix("listening on ");
        side.addr = addr
            .and_then(|addr| addr.parse().ok())
            .ok_or_else(|| io::Error::other(format!("a server said {line:?}")))?;
        Ok(side)
    }

    fn redis_server() -> io::Result<Side> {
        // A port that is free now, as it cannot say which one it took.
        let addr = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let mut command = Command::new("redis-server");
        command.args(["--port", &addr.port().to_string()]);
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
        let mut side = Side::start(command, Stdio::null())?;
        side.addr = addr;
        for _ in 0..TRIES {
            if TcpStream::connect(addr).is_ok() {
                return Ok(side);
            }
            thread::sleep(Duration::from_millis(10));
        }
        Err(io::Error::other("redis-server does not listen"))
    }

    fn cpu_ns(&self) -> io::Result<f64> {
        Ok(processes::cpu_ns(self.child.id())? as f64)
    }

    fn round(&mut self, load: &dyn Fn(SocketAddr) -> io::Result<Load>) -> io::Result<()> {
        let before = self.cpu_ns()?;
        let (requests, rate) = load(self.addr)?;
        let cpu_ns = self.cpu_ns()? - before;
        self.cpu_us.push(cpu_ns / 1000.0 / requests);
        self.rate.push(rate);
        Ok(())
    }
}

impl Drop for Side {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rounds(
    sides: &mut [Side; 2],
    options: &Options,
    mut round: impl FnMut(&mut Side) -> io::Result<()>,
) -> io::Result<()> {
    for n in 0..options.rounds_or(ROUNDS, 1) {
        let order = if n % 2 == 0 { [0, 1] } else { [1, 0] };
        for at in order {
            round(&mut sides[at])?;
        }
    }
    Ok(())
}

fn rows(bench: &str, case: &str, what: &str, sides: [Side; 2]) -> Vec<Row> {
    let mut medians = sides.map(|mut side| {
        let cpu = median(std::mem::take(&mut side.cpu_us));
        (cpu, median(std::mem::take(&mut side.rate)))
    });
    let [value, reference] = &mut medians;
    let row = |name: &str, unit: String, value, reference| Row {
        bench: bench.to_owned(),
        case: format!("{case}, {name}"),
        unit,
        value,
        reference,
        peer: (bench == "redis").then(|| "redis-server".to_owned()),
    };
    vec![
        row("server CPU", format!("us/{what}"), value.0, reference.0),
        row("rate", format!("{what}s/s"), value.1, reference.1),
    ]
}

/// Runs a load program on core 1 and returns what it printed.
fn run(mut command: Command) -> io::Result<String> {
    sys::at_start(&mut command, 1);
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("{command:?}: {}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn wrk(addr: SocketAddr, seconds: u32) -> io::Result<Load> {
    let mut command = Command::new("wrk");
    command.args(["-t", "1", "-c", &HTTP_CONNECTIONS.to_string()]);
    command.args(["-d", &format!("{seconds}s"), &format!("http://{addr}/")]);
    let text = run(command)?;
    wrk_load(&text).ok_or_else(|| io::Error::other(format!("wrk printed {text}")))
}

/// `N requests in 2.00s, …` and `Requests/sec: R`; with errors it is no measurement.
fn wrk_load(text: &str) -> Option<Load> {
    if text.contains("Socket errors") || text.contains("Non-2xx") {
        return None;
    }
    let number = |line: &str, word: usize| line.split_whitespace().nth(word)?.parse().ok();
    let requests = text.lines().find(|line| line.contains(" requests in "))?;
    let rate = text
        .lines()
        .find(|line| line.starts_with("Requests/sec:"))?;
    Some((number(requests, 0)?, number(rate, 1)?))
}

fn redis_benchmark(
    addr: SocketAddr,
    test: &str,
    pipelined: u32,
    requests: u32,
) -> io::Result<Load> {
    let mut command = Command::new("redis-benchmark");
    command.args(["-p", &addr.port().to_string(), "-t", test, "--csv"]);
    for (option, value) in [
        ("-c", REDIS_CONNECTIONS as u32),
        ("-P", pipelined),
        ("-n", requests),
        ("-r", 10_000),
    ] {
        command.args([option, &value.to_string()]);
    }
    let text = run(command)?;
    let rate = redis_rate(&text);
    let rate = rate.ok_or_else(|| io::Error::other(format!("redis-benchmark printed {text}")))?;
    Ok((f64::from(requests), rate))
}

/// The second column of the last line: `"SET","83752.09",…`.
fn redis_rate(text: &str) -> Option<f64> {
    let field = text.lines().last()?.split(',').nth(1)?;
    field.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loads_words_are_understood() {
        let good =
            "Running 2s test\n  12345 requests in 2.00s, 1.5MB read\nRequests/sec:   6172.50\n";
        assert_eq!(wrk_load(good), Some((12345.0, 6172.5)));
        assert_eq!(wrk_load(&format!("{good}  Socket errors: connect 1")), None);
        assert_eq!(wrk_load("unable to connect"), None);
        let csv = "\"test\",\"rps\"\n\"GET\",\"83752.09\",\"0.3\"\n";
        assert_eq!(redis_rate(csv), Some(83752.09));
        assert_eq!(redis_rate("Could not connect"), None);
    }
}
