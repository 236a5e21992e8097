//! The processes that the `echo` benchmark is made of, as handles: an echo server and its client.
//!
//! | process | told by | answers on stdout | ends by |
//! | --- | --- | --- | --- |
//! | `--serve KIND` | SIGUSR1 | `listening on ADDR`, then `stats …` | SIGTERM, its parent's end, its time |
//! | a peer's program | | `listening on ADDR` | SIGTERM, the end of this process, its time |
//! | `--drive ADDR` | a line with a number of requests | `connected`, then nanoseconds | end of its stdin |
//!
//! A program that is not ours is asked nothing: the CPU time of its threads is read from `/proc`.
//!
//! Dropping a handle ends its process and waits for it, so nothing outlives a benchmark that fails.
#![forbid(unsafe_code)]

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::cli::Server;
use crate::peers::programs;
use crate::stats::Stats;
use crate::sys;

/// The servers' core.
const SERVER_CORE: &str = "0";
const SERVER_CPU: usize = 0;

/// The clients' core.
const CLIENT_CORE: &str = "1";

/// Where the processes of a benchmark run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    /// Servers on one core, clients on another.
    Apart,
    /// Wherever the system likes.
    Any,
}

/// A part of this binary in a process of its own, and the pipe of its answers.
struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it is, for messages.
    name: String,
}

impl Process {
    fn start(args: &[&str], input: Stdio) -> io::Result<Process> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(args);
        Process::run(command, args.join(" "), input)
    }

    fn run(mut command: Command, name: String, input: Stdio) -> io::Result<Process> {
        let mut child = command.stdin(input).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().expect("stdout was asked to be a pipe");
        Ok(Process {
            child,
            output: BufReader::new(output),
            name,
        })
    }

    /// Its next line, read by `parse`; anything else, an end included, is an error with its name.
    fn answer<T>(&mut self, parse: impl FnOnce(&str) -> Option<T>) -> io::Result<T> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        parse(line.trim_end())
            .ok_or_else(|| io::Error::other(format!("{} answered {line:?}", self.name)))
    }
}

/// A running echo server.
pub(crate) struct ServerProcess {
    process: Process,
    address: SocketAddr,
    /// Not this binary: it answers no signals.
    program: bool,
}

impl ServerProcess {
    /// Starts a server on a port of its choice and waits until it listens.
    pub(crate) fn start(kind: Server, size: usize, cores: Cores) -> io::Result<ServerProcess> {
        ServerProcess::start_spinning(kind, size, cores, Duration::ZERO)
    }

    /// The same for one that polls for so long before it blocks, if it is of this binary.
    pub(crate) fn start_spinning(
        kind: Server,
        size: usize,
        cores: Cores,
        spin: Duration,
    ) -> io::Result<ServerProcess> {
        let program = match kind {
            Server::Peer(peer) => programs::command(peer)?,
            _ => None,
        };
        let (size, spin) = (size.to_string(), spin.as_micros().to_string());
        let is_program = program.is_some();
        let process = match program {
            Some(mut command) => {
                command.args(["echo", &size]);
                sys::at_start(&mut command, SERVER_CPU);
                Process::run(command, kind.name().to_owned(), Stdio::null())?
            }
            None => {
                let mut args = vec!["--serve", kind.name(), "--port", "0", "--sizes", &size];
                args.extend(["--spin", &*spin]);
                if cores == Cores::Apart {
                    args.extend(["--core", SERVER_CORE]);
                }
                Process::start(&args, Stdio::null())?
            }
        };
        // Made first, so that a server that says something else is ended all the same.
        let mut server = ServerProcess {
            process,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            program: is_program,
        };
        server.address = server
            .process
            .answer(|line| line.strip_prefix("listening on ")?.parse().ok())?;
        Ok(server)
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Asks for its counters. Those of a program that is not ours are of its CPU time alone.
    pub(crate) fn stats(&mut self) -> io::Result<Stats> {
        if self.program {
            return Ok(Stats {
                requests: 0,
                cpu_ns: cpu_ns(self.process.child.id())?,
                allocations: 0,
            });
        }
        sys::signal(self.process.child.id(), libc::SIGUSR1)?;
        self.process.answer(Stats::from_line)
    }
}

/// CPU time of all threads of a process that live.
pub(crate) fn cpu_ns(process: u32) -> io::Result<u64> {
    let mut sum = 0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        let ns = text.split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        sum += ns.ok_or_else(|| io::Error::other(format!("no time in {text:?}")))?;
    }
    Ok(sum)
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The handler exits at once; should it not, the server's alarm ends the wait.
        let _ = sys::signal(self.process.child.id(), libc::SIGTERM);
        let _ = self.process.child.wait();
    }
}

/// A running client with its connections open.
pub(crate) struct ClientProcess {
    process: Process,
    /// `Some` until the drop, which closes it to end the client.
    input: Option<ChildStdin>,
}

impl ClientProcess {
    /// Starts a client and waits until its connections are open.
    pub(crate) fn connect(
        server: &ServerProcess,
        connections: usize,
        size: usize,
        cores: Cores,
    ) -> io::Result<ClientProcess> {
        ClientProcess::connect_spinning(server.address, connections, size, cores, Duration::ZERO)
    }

    /// The same for one that polls for so long before it blocks, to any server.
    pub(crate) fn connect_spinning(
        server: SocketAddr,
        connections: usize,
        size: usize,
        cores: Cores,
        spin: Duration,
    ) -> io::Result<ClientProcess> {
        let (address, size) = (server.to_string(), size.to_string());
        let spin = spin.as_micros().to_string();
        let connections = connections.to_string();
        let mut args = vec!["--drive", &*address, "--connections", &*connections];
        args.extend(["--sizes", &*size, "--spin", &*spin]);
        if cores == Cores::Apart {
            args.extend(["--core", CLIENT_CORE]);
        }
        let mut process = Process::start(&args, Stdio::piped())?;
        let input = process.child.stdin.take();
        let mut client = ClientProcess { process, input };
        client
            .process
            .answer(|line| (line == "connected").then_some(()))?;
        Ok(client)
    }

    /// Has it make this many requests and returns how long they took.
    pub(crate) fn run(&mut self, requests: u64) -> io::Result<Duration> {
        self.begin(requests)?;
        self.finish()
    }

    /// Has it make this many requests, and does not wait for them.
    pub(crate) fn begin(&mut self, requests: u64) -> io::Result<()> {
        let input = self.input.as_mut().expect("open until the drop");
        writeln!(input, "{requests}")
    }

    /// Waits until it has made what it was told to; returns how long they took.
    pub(crate) fn finish(&mut self) -> io::Result<Duration> {
        self.process
            .answer(|line| line.parse().ok().map(Duration::from_nanos))
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.process.child.wait();
    }
}
