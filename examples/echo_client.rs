//! Many clients of `echo_server` at once, on one thread, each of which checks every reply.
//!
//! ```sh
//! cargo run --release --example echo_server        # in one terminal
//! cargo run --release --example echo_client        # in another
//! cargo run --release --example echo_client -- --addr 127.0.0.1:8080 --clients 500 --messages 100
//! ```
//!
//! ```text
//! 500 clients got 50000 replies, 0 failed
//! rate:    … replies/s
//! latency: p50 … us, p90 … us, p99 … us, max … us
//! ```
//!
//! A client sends a line, waits for the reply, compares, and sends the next. The server may run with `--upper`:
//! the reply may be the line or the line in upper case. The exit code is 1 if any client failed.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::{Duration, Instant};
use std::{env, error};

use greenloom::net::TcpStream;
use greenloom::{join_all, spawn};

struct Args {
    addr: String,
    clients: usize,
    messages: usize,
}

impl Args {
    fn parse() -> Result<Self, Box<dyn error::Error>> {
        let mut args = Self {
            addr: "127.0.0.1:8080".to_owned(),
            clients: 500,
            messages: 100,
        };
        let mut words = env::args().skip(1);
        while let Some(option) = words.next() {
            let value = words
                .next()
                .ok_or_else(|| format!("{option} needs a value"))?;
            match option.as_str() {
                "--addr" => args.addr = value,
                "--clients" => args.clients = usize::from_str(&value)?,
                "--messages" => args.messages = usize::from_str(&value)?,
                _ => return Err(format!("unknown option {option}").into()),
            }
        }
        Ok(args)
    }
}

/// One connection's whole life: how long each reply took.
fn client(id: usize, addr: &str, messages: usize) -> io::Result<Vec<Duration>> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_nodelay(true)?;
    let mut latencies = Vec::with_capacity(messages);
    for message in 0..messages {
        let line = format!("client {id} sends message {message}\n");
        let mut reply = vec![0; line.len()];
        let start = Instant::now();
        stream.write_all(line.as_bytes())?;
        stream.read_exact(&mut reply)?;
        latencies.push(start.elapsed());
        if reply != line.as_bytes() && reply != line.to_ascii_uppercase().as_bytes() {
            let got = String::from_utf8_lossy(&reply);
            return Err(io::Error::other(format!("sent {line:?}, got {got:?}")));
        }
    }
    Ok(latencies)
}

fn main() -> Result<ExitCode, Box<dyn error::Error>> {
    let Args {
        addr,
        clients,
        messages,
    } = Args::parse()?;
    let start = Instant::now();
    let tasks: Vec<_> = (0..clients)
        .map(|id| {
            let addr = addr.clone();
            spawn(move || client(id, &addr, messages))
        })
        .collect();

    let (mut latencies, mut failed) = (Vec::with_capacity(clients * messages), 0);
    for outcome in join_all(tasks, None) {
        match outcome {
            Ok(Ok(times)) => latencies.extend(times),
            Ok(Err(error)) => {
                eprintln!("a client failed: {error}");
                failed += 1;
            }
            Err(error) => {
                eprintln!("a client's task ended badly: {error}");
                failed += 1;
            }
        }
    }
    let seconds = start.elapsed().as_secs_f64();

    println!(
        "{clients} clients got {} replies, {failed} failed",
        latencies.len()
    );
    println!("rate:    {:.0} replies/s", latencies.len() as f64 / seconds);
    latencies.sort_unstable();
    if let Some(max) = latencies.last() {
        let percentile = |p: usize| latencies[(latencies.len() - 1) * p / 100].as_micros();
        let (p50, p90, p99) = (percentile(50), percentile(90), percentile(99));
        println!(
            "latency: p50 {p50} us, p90 {p90} us, p99 {p99} us, max {} us",
            max.as_micros()
        );
    }
    Ok(ExitCode::from(u8::from(failed > 0)))
}
