//! The processes that the `echo` benchmark is made of, as handles: an echo server and its client.
//!
//! | process | told by | answers on stdout | ends by |
//! | --- | --- | --- | --- |
//! | `--serve KIND` | SIGUSR1 | `listening on ADDR`, then `stats …` | SIGTERM, its parent's end, its time |
//! | `--drive ADDR` | a line with a number of requests | `connected`, then nanoseconds | end of its stdin |
//!
//! Dropping a handle ends its process and waits for it, so nothing outlives a benchmark that fails.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::cli::Server;
use crate::stats::Stats;
use crate::sys;

/// The servers' core.
const SERVER_CORE: &str = "0";

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
struct Peer {
    child: Child,
    output: BufReader<ChildStdout>,
    /// What it is, for messages.
    name: String,
}

impl Peer {
    fn start(args: &[&str], input: Stdio) -> io::Result<Peer> {
        let mut child = Command::new(std::env::current_exe()?)
            .args(args)
            .stdin(input)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = child.stdout.take().expect("stdout was asked to be a pipe");
        Ok(Peer {
            child,
            output: BufReader::new(output),
            name: args.join(" "),
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
    peer: Peer,
    address: SocketAddr,
}

impl ServerProcess {
    /// Starts a server on a port of its choice and waits until it listens.
    pub(crate) fn start(kind: Server, cores: Cores) -> io::Result<ServerProcess> {
        let mut args = vec!["--serve", kind.name(), "--port", "0"];
        if cores == Cores::Apart {
            args.extend(["--core", SERVER_CORE]);
        }
        // Made first, so that a server that says something else is ended all the same.
        let mut server = ServerProcess {
            peer: Peer::start(&args, Stdio::null())?,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        server.address = server
            .peer
            .answer(|line| line.strip_prefix("listening on ")?.parse().ok())?;
        Ok(server)
    }

    /// Asks for its counters.
    pub(crate) fn stats(&mut self) -> io::Result<Stats> {
        sys::signal(self.peer.child.id(), libc::SIGUSR1)?;
        self.peer.answer(Stats::from_line)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        // The handler exits at once; should it not, the server's alarm ends the wait.
        let _ = sys::signal(self.peer.child.id(), libc::SIGTERM);
        let _ = self.peer.child.wait();
    }
}

/// A running client with its connections open.
pub(crate) struct ClientProcess {
    peer: Peer,
    /// `Some` until the drop, which closes it to end the client.
    input: Option<ChildStdin>,
}

impl ClientProcess {
    /// Starts a client and waits until its connections are open.
    pub(crate) fn connect(
        server: &ServerProcess,
        connections: usize,
        cores: Cores,
    ) -> io::Result<ClientProcess> {
        let (address, connections) = (server.address.to_string(), connections.to_string());
        let mut args = vec!["--drive", &*address, "--connections", &*connections];
        if cores == Cores::Apart {
            args.extend(["--core", CLIENT_CORE]);
        }
        let mut peer = Peer::start(&args, Stdio::piped())?;
        let input = peer.child.stdin.take();
        let mut client = ClientProcess { peer, input };
        client
            .peer
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
        self.peer
            .answer(|line| line.parse().ok().map(Duration::from_nanos))
    }
}

impl Drop for ClientProcess {
    fn drop(&mut self) {
        self.input = None;
        let _ = self.peer.child.wait();
    }
}
