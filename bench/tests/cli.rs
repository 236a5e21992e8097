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
    assert_eq!(timed.len(), 4, "{text}");
    for (line, case) in
        timed
            .iter()
            .zip(["root_greenlet", "greenlet_greenlet", "ring10", "ring1000"])
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
fn echo_has_a_row_for_each_size_and_none_for_connections_that_are_not_allowed() {
    let mut command = bench(&["echo", "--json", "--quick", "--rounds", "1"]);
    command.args(["--connections", "2,100000000", "--requests", "50"]);
    let output = command.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("\"2 connections, server CPU\""), "{text}");
    assert!(
        text.contains("\"2 connections, 16384 bytes, rate\""),
        "{text}"
    );
    assert!(!text.contains("\"100000000 connections"), "{text}");
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("skipped: echo on 100000000 connections"),
        "{told}"
    );
}

#[test]
fn json_goes_into_the_named_file_and_the_table_is_printed_beside_it() {
    let file = std::env::temp_dir().join(format!("bench-{}.jsonl", std::process::id()));
    let mut command = bench(&["values", "--quick", "--rounds", "1", "--json"]);
    let output = command.arg(&file).output().unwrap();
    let lines = std::fs::read_to_string(&file);
    std::fs::remove_file(&file).unwrap();
    assert!(output.status.success());
    let lines = lines.unwrap();
    let table = String::from_utf8(output.stdout).unwrap();
    for case in ["0 bytes", "8 bytes", "64 bytes", "1024 bytes"] {
        let line = lines.lines().find(|line| {
            line.contains(&format!("\"case\":\"{case}\"")) && line.contains("\"unit\":\"ns\"")
        });
        let line = line.expect(case);
        assert!(field(line, "ratio").unwrap() > 0.0, "{line}");
        assert!(line.contains("\"peer\":null"), "{line}");
        assert!(table.contains(case), "{table}");
    }
    assert!(!table.contains('{'), "{table}");
}

#[test]
fn a_file_that_cannot_be_written_fails_before_anything_is_measured() {
    let output = run(&["all", "--json", "/no/such/directory/out.jsonl"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stderr).contains("launch 1"));
}

#[test]
fn memory_is_measured_in_processes_of_its_own() {
    let output = run(&["memory", "--json", "--quick", "--n", "500"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for kind in ["500 tasks", "500 greenlets"] {
        let line = text.lines().find(|line| line.contains(kind)).expect(kind);
        // A stack that has run has a page of its own.
        assert!(field(line, "value").unwrap() >= 4096.0, "{line}");
        assert_eq!(field(line, "reference"), Some(4096.0), "{line}");
    }
}

/// The rows of one launch in its smallest form, as fields.
fn rows_of(bench: &str) -> Vec<Vec<String>> {
    let output = run(&[
        "--child",
        bench,
        "--quick",
        "--rounds",
        "1",
        "--n",
        "20",
        "--requests",
        "50",
    ]);
    assert!(output.status.success(), "{bench}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("row\t"))
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

#[test]
fn what_waits_has_a_limit_as_well() {
    for (bench, limits) in [
        ("timers", 4),
        ("queues", 3),
        ("select", 2),
        ("offload", 1),
        ("spin", 2),
    ] {
        let rows = rows_of(bench);
        let limit = |row: &&Vec<String>| row[5] == "-" && row[4].parse::<f64>().is_ok();
        assert_eq!(rows.iter().filter(limit).count(), limits, "{rows:?}");
    }
}

#[test]
fn parked_connections_are_weighed() {
    let rows = rows_of("parked");
    let cases: Vec<&str> = rows.iter().map(|row| &*row[1]).collect();
    assert_eq!(
        cases,
        [
            "20 connections, beyond the stack's page",
            "20 connections, of that heap",
            "20 connections, page tables"
        ]
    );
    assert!(
        rows.iter().all(|row| row[3].parse::<f64>().is_ok()),
        "{rows:?}"
    );
}

/// Every peer that needs nothing but this crate, in everything it plays, in its smallest form.
#[test]
fn peers_in_rust_have_their_rows() {
    for (bench, n, peers) in [
        ("switch", "1", &["generator"][..]),
        ("values", "1", &["generator"]),
        ("yield", "10", &["may", "tokio", "smol", "std"]),
        ("spawn", "10", &["generator", "may", "tokio", "smol", "std"]),
        ("queues", "1", &["may", "smol", "std", "crossbeam"]),
        ("timers", "20", &["may", "smol", "std"]),
        (
            "memory",
            "20",
            &["generator", "may", "tokio", "smol", "std", "corosensei"],
        ),
    ] {
        for peer in peers {
            let output = run(&[
                "--child", bench, "--peer", peer, "--quick", "--rounds", "1", "--n", n,
            ]);
            assert!(output.status.success(), "{bench} beside {peer}");
            let text = String::from_utf8(output.stdout).unwrap();
            let mut rows = text
                .lines()
                .filter(|line| line.starts_with("row\t"))
                .peekable();
            assert!(rows.peek().is_some(), "{bench} beside {peer}: {text}");
            for row in rows {
                let fields: Vec<&str> = row.split('\t').collect();
                assert_eq!(fields[6], *peer, "{row}");
                assert!(fields[5].parse::<f64>().is_ok(), "{row}");
            }
        }
    }
}

#[test]
fn peers_in_rust_serve_echoes() {
    for peer in ["may", "tokio", "smol", "std"] {
        let mut command = bench(&["--child", "echo", "--peer", peer, "--connections", "3"]);
        command.args(["--sizes", "64,16384", "--requests", "60", "--rounds", "1"]);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{peer}");
        let text = String::from_utf8(output.stdout).unwrap();
        assert_eq!(text.lines().count(), 4, "{peer}: {text}");
    }
}

#[test]
fn a_program_that_cannot_run_is_named_with_the_way_to_get_it() {
    let mut command = bench(&["switch", "--peers", "--quick", "--rounds", "1"]);
    let output = command
        .env("BENCH_PYTHON", "/no/such/python")
        .output()
        .unwrap();
    assert!(output.status.success());
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        told.contains("skipped: greenlet: no Python module greenlet"),
        "{told}"
    );
    assert!(told.contains("pip install greenlet"), "{told}");
    let table = String::from_utf8(output.stdout).unwrap();
    assert!(
        table.lines().any(|line| line.contains("generator")),
        "{table}"
    );
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
