//! The binary as its users run it: rows come out, servers start, answer and end.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

/// How long a test waits for what must come: only ever waited out by a test that fails.
const PATIENCE: Duration = Duration::from_secs(30);

fn bench(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_bench"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    bench(args).output().expect("the binary starts")
}

/// A number of a JSON line by its key.
fn field(line: &str, key: &str) -> Option<f64> {
    let rest = line.split_once(&format!("\"{key}\":"))?.1;
    rest.split([',', '}']).next()?.parse().ok()
}

#[test]
fn every_timed_switch_row_has_a_reference() {
    let output = run(&["switch", "--json", "--launches", "2", "--rounds", "1"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    let timed: Vec<&str> = text
        .lines()
        .filter(|line| line.contains("\"unit\":\"ns\""))
        .collect();
    // One line per case, however many launches.
    assert_eq!(timed.len(), 3, "{text}");
    for (line, case) in timed
        .iter()
        .zip(["root_greenlet", "greenlet_greenlet", "ring10"])
    {
        assert!(line.contains(&format!("\"case\":\"{case}\"")), "{line}");
        assert!(field(line, "reference").unwrap() > 0.0, "{line}");
    }
}

#[test]
fn echo_measures_cpu_and_rate_of_the_bare_server() {
    let output = run(&[
        "echo",
        "--json",
        "--launches",
        "1",
        "--rounds",
        "2",
        "--connections",
        "3,20",
        "--requests",
        "500",
    ]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for part in ["3 connections, server CPU", "20 connections, rate"] {
        let line = text.lines().find(|line| line.contains(part)).expect(part);
        assert!(field(line, "reference").unwrap() > 0.0, "{line}");
    }
}

#[test]
fn a_failing_launch_fails_the_run() {
    let output = run(&["--child", "no-such-benchmark"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-such-benchmark"));
    assert_eq!(run(&["no-such-benchmark"]).status.code(), Some(2));
}

/// A bare server that ends with the test.
struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    address: String,
}

impl Server {
    fn start() -> Server {
        let mut child = bench(&["--serve", "bare", "--port", "0", "--for", "60"])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line
            .trim()
            .strip_prefix("listening on ")
            .unwrap()
            .to_owned();
        Server {
            child,
            output,
            address,
        }
    }

    /// A connection to it. A server that forgets its client fails the test instead of hanging it.
    fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(&self.address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.set_write_timeout(Some(PATIENCE)).unwrap();
        client
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Our own child, not waited for yet (or already ended: then both do nothing).
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_bare_server_echoes_to_the_last_byte_of_a_client_that_reads_late() {
    let server = Server::start();
    let mut client = server.connect();
    // More than the sockets buffer. The client reads only when it cannot write, and then little, so that in
    // the end both directions are full and the server can go on by nothing but the room that reading makes.
    let sent: Vec<u8> = (0..32_000_000u32).map(|i| (i % 251) as u8).collect();
    let mut received = Vec::new();
    let mut rest = &sent[..];
    while !rest.is_empty() {
        client.set_nonblocking(true).unwrap();
        match client.write(rest) {
            Ok(n) => rest = &rest[n..],
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::WouldBlock);
                client.set_nonblocking(false).unwrap();
                let mut piece = [0; 16 * 1024];
                client.read_exact(&mut piece).unwrap();
                received.extend(piece);
            }
        }
    }
    client.set_nonblocking(false).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client.read_to_end(&mut received).unwrap();
    assert!(received == sent, "{} bytes came back", received.len());
}

#[test]
fn data_and_end_in_one_packet_are_answered_and_closed() {
    let server = Server::start();
    for _ in 0..200 {
        let mut client = server.connect();
        client.write_all(b"last words").unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        assert_eq!(answer, b"last words");
    }
}

#[test]
fn sigterm_prints_totals_and_ends_the_server() {
    let mut server = Server::start();
    let load = run(&[
        "--load",
        &server.address,
        "--connections",
        "4",
        "--requests",
        "90",
        "--warmup",
        "10",
    ]);
    assert!(load.status.success());
    let kill = Command::new("kill")
        .arg(server.child.id().to_string())
        .status();
    assert!(kill.unwrap().success());
    let mut line = String::new();
    server.output.read_line(&mut line).unwrap();
    assert!(line.starts_with("total requests=100 cpu_ns="), "{line}");
    assert!(server.child.wait().unwrap().success());
}
