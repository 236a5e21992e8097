//! The command line: which part this process plays, and with which numbers.
//!
//! Parsed by hand, because a dozen options do not pay for a dependency. Nothing here measures or starts
//! anything. Options that a launch needs are handed on by [`Options::for_child`], so a new one is added
//! in three places of this file and nowhere else.
#![forbid(unsafe_code)]

use std::net::SocketAddr;
use std::time::Duration;

use crate::peers::Peer;

/// What `--help` prints, and what follows a mistake.
pub(crate) const USAGE: &str = "\
usage: bench all|CASE [OPTIONS]
CASE: switch, values, yield, spawn, memory, timers, locks, queues, select, offload, echo, redis, http, two-hubs,
      idle, spin, parked, million
  --peers              measure the peers too: those in Rust, and Go, Python and Boost programs where they can run
  --quick              few rounds, one launch, small sizes: to see that everything works, not to quote
  --json [FILE]        one JSON object per line: instead of the table, or into FILE and the table as well
  --svg DIR            bar charts and curves into DIR, beside what is printed;
                       the same from the lines of --json: bench plot --from FILE --svg DIR
                       and a Markdown table of them: bench summary --from FILE
  --launches N         processes the median is taken over (5; quick: 1)
  --rounds N           alternate rounds within one launch (9; echo: 5; http and redis: 3; quick: 3, http and redis: 1)
  --connections LIST   echo: numbers of connections, by commas (1,50,1000,10000; quick: 1,50,1000)
  --sizes LIST         echo: bytes of a request, by commas, at most 16384 (64,16384)
  --requests N         echo: requests per round (40000; quick: 8000)
  --n N                memory, million: the most there are (1000000; quick: 100000)
the parts that it starts, useful by hand:
  --child CASE [--peer PEER]      one launch; also million-tasks, memory-tasks, memory-greenlets, memory-peer
  --serve bare|greenloom|two-hubs|PEER  echo server on loopback [--port 0] [--core C] [--sizes 64]
  --serve bare-http               what answers every read with the same HTTP reply
                                  (each of these ends after [--for SECONDS], 600)
                                  [--spin MICROSECONDS]: bare, greenloom and clients poll so long before they block
  --load ADDR                     closed-loop client [--connections M] [--sizes B] [--requests N] [--warmup N]
                                  [--core C]
  --drive ADDR                    the same, one run for each line on stdin, which says how many requests
PEER: generator, may, tokio, smol, std, crossbeam, corosensei, go, greenlet, gevent, boost-context";

/// The benchmarks by name, in the order of `all`.
pub(crate) const CASES: [&str; 18] = [
    "switch", "values", "yield", "spawn", "memory", "timers", "locks", "queues", "select",
    "offload", "echo", "redis", "http", "two-hubs", "idle", "spin", "parked", "million",
];

/// The largest request of `echo`: the servers' buffers are made for it.
pub(crate) const LARGEST: usize = 16 * 1024;

/// The part this process plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Print the usage.
    Help,
    /// Launch children and print their medians.
    Parent(String),
    /// Draw the results in this file.
    Plot(String),
    /// Print the results in this file as a Markdown table.
    Summary(String),
    /// Measure once and print rows for the parent.
    Child(String),
    /// Be an echo server.
    Serve(Server),
    /// Be the load client of a server that runs already.
    Load(SocketAddr),
    /// The same, asked for each run by a line on stdin.
    Drive(SocketAddr),
}

/// Which echo server to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    /// The reference: one epoll loop on bare system calls.
    Bare,
    /// One greenloom task per connection.
    Greenloom,
    /// The same on two threads, which share a port.
    TwoHubs,
    /// The reference's loop, with an HTTP reply to every read.
    BareHttp,
    /// Another runtime's.
    Peer(Peer),
}

impl Server {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Server::Bare => "bare",
            Server::Greenloom => "greenloom",
            Server::TwoHubs => "two-hubs",
            Server::BareHttp => "bare-http",
            Server::Peer(peer) => peer.name(),
        }
    }
}

/// Whether JSON lines are wanted, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    /// None: a table.
    No,
    /// On standard output, in place of the table.
    Printed,
    /// In this file, and the table on standard output.
    Into(String),
}

/// Everything the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The part to play.
    pub(crate) mode: Mode,
    /// Whether JSON lines are wanted, and where.
    pub(crate) json: Json,
    /// Few rounds and small sizes.
    pub(crate) quick: bool,
    /// A parent measures all peers as well.
    pub(crate) peers: bool,
    /// The one peer that a child measures beside greenloom, in place of the limits.
    pub(crate) peer: Option<Peer>,
    /// Folder for pictures.
    pub(crate) svg: Option<String>,
    /// Number of child processes.
    pub(crate) launches: usize,
    /// Alternate rounds within a launch; `None` leaves it to the benchmark.
    pub(crate) rounds: Option<usize>,
    /// Numbers of connections for `echo`.
    pub(crate) connections: Vec<usize>,
    /// Sizes of the requests of `echo`.
    pub(crate) sizes: Vec<usize>,
    /// Requests per round of `echo`.
    pub(crate) requests: u64,
    /// Requests before the measurement; `None` leaves it to the client.
    pub(crate) warmup: Option<u64>,
    /// Size of `million`, the most of `memory`.
    pub(crate) n: u64,
    /// Port to listen on, 0 for any.
    pub(crate) port: u16,
    /// Core to be pinned to.
    pub(crate) core: Option<usize>,
    /// How long a server or a client polls before it blocks.
    pub(crate) spin: Duration,
    /// Life time in seconds of every process but the parent: it ends by itself should nobody end it.
    pub(crate) seconds: u32,
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut args = args.into_iter().peekable();
        let mut mode = None;
        let mut from = None;
        let (mut launches, mut connections, mut requests, mut n) = (None, None, None, None);
        let mut options = Options {
            mode: Mode::Help,
            json: Json::No,
            quick: false,
            peers: false,
            peer: None,
            svg: None,
            launches: 5,
            rounds: None,
            connections: vec![1, 50, 1000, 10_000],
            sizes: vec![64, LARGEST],
            requests: 40_000,
            warmup: None,
            n: 1_000_000,
            port: 0,
            core: None,
            spin: Duration::ZERO,
            seconds: 600,
        };
        while let Some(arg) = args.next() {
            let mut text = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => mode = Some(Mode::Help),
                "--json" => {
                    // Its file may be left out: what could be the next option or a benchmark is not one.
                    options.json =
                        match args.next_if(|next| !next.starts_with('-') && !is_case(next)) {
                            Some(file) => Json::Into(file),
                            None => Json::Printed,
                        };
                }
                "--quick" => options.quick = true,
                "--peers" => options.peers = true,
                "--peer" => {
                    let name = text()?;
                    let peer = Peer::from_name(&name);
                    options.peer = Some(peer.ok_or(format!("unknown peer {name:?}"))?);
                }
                "--svg" => options.svg = Some(text()?),
                "--from" => from = Some(text()?),
                "plot" => mode = Some(Mode::Plot(String::new())),
                "summary" => mode = Some(Mode::Summary(String::new())),
                "--launches" => launches = Some(at_least_one(&arg, &text()?)?),
                "--rounds" => options.rounds = Some(at_least_one(&arg, &text()?)?),
                "--requests" => requests = Some(at_least_one(&arg, &text()?)?),
                "--warmup" => options.warmup = Some(number(&arg, &text()?)?),
                "--n" => n = Some(at_least_one(&arg, &text()?)?),
                "--port" => options.port = number(&arg, &text()?)?,
                "--core" => options.core = Some(number(&arg, &text()?)?),
                "--spin" => options.spin = Duration::from_micros(number(&arg, &text()?)?),
                "--for" => options.seconds = at_least_one(&arg, &text()?)?,
                "--connections" => connections = Some(list(&arg, &text()?)?),
                "--sizes" => {
                    options.sizes = list(&arg, &text()?)?;
                    if options.sizes.iter().any(|&size| size > LARGEST) {
                        return Err(format!("--sizes are at most {LARGEST}"));
                    }
                }
                "--child" => mode = Some(Mode::Child(text()?)),
                "--load" => mode = Some(Mode::Load(number(&arg, &text()?)?)),
                "--drive" => mode = Some(Mode::Drive(number(&arg, &text()?)?)),
                "--serve" => {
                    mode = Some(Mode::Serve(match text()?.as_str() {
                        "bare" => Server::Bare,
                        "greenloom" => Server::Greenloom,
                        "two-hubs" => Server::TwoHubs,
                        "bare-http" => Server::BareHttp,
                        other => Server::Peer(
                            Peer::from_name(other).ok_or(format!("unknown server {other:?}"))?,
                        ),
                    }));
                }
                "sleepers" => mode = Some(Mode::Parent("timers".to_owned())),
                case if is_case(case) => mode = Some(Mode::Parent(case.to_owned())),
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        options.mode = mode.ok_or("which benchmark?")?;
        options.mode = match (options.mode, from) {
            (Mode::Plot(_), Some(file)) if options.svg.is_some() => Mode::Plot(file),
            (Mode::Plot(_), _) => return Err("plot needs --from FILE and --svg DIR".to_owned()),
            (Mode::Summary(_), Some(file)) => Mode::Summary(file),
            (Mode::Summary(_), None) => return Err("summary needs --from FILE".to_owned()),
            (_, Some(_)) => return Err("--from belongs to plot and summary".to_owned()),
            (mode, None) => mode,
        };
        if options.quick {
            options.launches = 1;
            options.connections = vec![1, 50, 1000];
            options.requests = 8_000;
            options.n = 100_000;
        }
        // What is said outright goes before what `--quick` means, in whatever order they come.
        options.launches = launches.unwrap_or(options.launches);
        options.connections = connections.unwrap_or(options.connections);
        options.requests = requests.unwrap_or(options.requests);
        options.n = n.unwrap_or(options.n);
        Ok(options)
    }

    /// Alternate rounds: as asked for, or few if it is to be quick, or what is usual for the benchmark.
    pub(crate) fn rounds_or(&self, usual: usize, quick: usize) -> usize {
        let default = if self.quick { quick } else { usual };
        self.rounds.unwrap_or(default)
    }

    /// The arguments with which a parent launches a child for `case`, beside `peer` if there is one.
    pub(crate) fn for_child(&self, case: &str, peer: Option<Peer>) -> Vec<String> {
        let list = |of: &[usize]| {
            of.iter()
                .map(usize::to_string)
                .collect::<Vec<_>>()
                .join(",")
        };
        let mut args = vec!["--child".to_owned(), case.to_owned()];
        if self.quick {
            args.push("--quick".to_owned());
        }
        let mut push = |name: &str, value: String| args.extend([name.to_owned(), value]);
        if let Some(peer) = peer {
            push("--peer", peer.name().to_owned());
        }
        push("--connections", list(&self.connections));
        push("--sizes", list(&self.sizes));
        push("--requests", self.requests.to_string());
        push("--n", self.n.to_string());
        if let Some(rounds) = self.rounds {
            push("--rounds", rounds.to_string());
        }
        if let Some(warmup) = self.warmup {
            push("--warmup", warmup.to_string());
        }
        args
    }
}

/// The value of option `name`, of any type that reads itself from text.
fn number<T: std::str::FromStr>(name: &str, text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| format!("{name} cannot be {text:?}"))
}

fn is_case(name: &str) -> bool {
    matches!(name, "all" | "sleepers") || CASES.contains(&name)
}

/// Numbers by commas.
fn list(name: &str, text: &str) -> Result<Vec<usize>, String> {
    text.split(',')
        .map(|item| at_least_one(name, item))
        .collect()
}

/// As [`number`], but zero is a mistake: it would leave nothing to take a median of.
fn at_least_one<T: std::str::FromStr + Default + PartialEq>(
    name: &str,
    text: &str,
) -> Result<T, String> {
    let value: T = number(name, text)?;
    if value == T::default() {
        return Err(format!("{name} cannot be {text:?}"));
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Options, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_come_before_or_after_the_case() {
        let options = parse("--json echo --launches 2 --connections 50,10000").unwrap();
        assert_eq!(options.mode, Mode::Parent("echo".to_owned()));
        assert_eq!(options.json, Json::Printed);
        assert_eq!(options.launches, 2);
        assert_eq!(options.connections, [50, 10_000]);
    }

    #[test]
    fn a_child_gets_what_the_parent_was_given() {
        let parent = parse(
            "echo --rounds 3 --requests 77 --connections 1,2 --n 9 --warmup 0 --quick --sizes 5,6",
        );
        let args = parent.unwrap().for_child("echo", Some(Peer::May));
        let child = Options::parse(args).unwrap();
        assert_eq!(child.mode, Mode::Child("echo".to_owned()));
        assert_eq!(child.rounds, Some(3));
        assert_eq!(child.requests, 77);
        assert_eq!(child.connections, [1, 2]);
        assert_eq!(child.n, 9);
        assert_eq!(child.warmup, Some(0));
        assert!(child.quick);
        assert_eq!(child.sizes, [5, 6]);
        assert_eq!(child.peer, Some(Peer::May));
    }

    #[test]
    fn json_goes_into_a_file_if_one_is_named() {
        let json = |line| parse(line).unwrap().json;
        assert_eq!(
            json("all --json out.jsonl --quick"),
            Json::Into("out.jsonl".to_owned())
        );
        assert_eq!(json("all --json ./all"), Json::Into("./all".to_owned()));
        assert_eq!(json("all --json --quick"), Json::Printed);
        assert_eq!(json("--json all"), Json::Printed);
        assert_eq!(json("all"), Json::No);
    }

    #[test]
    fn quick_gives_way_to_what_is_said_outright() {
        let options = parse("echo --launches 4 --quick --n 7").unwrap();
        assert_eq!((options.launches, options.n), (4, 7));
        assert_eq!(options.requests, parse("echo --quick").unwrap().requests);
        assert!(options.requests < parse("echo").unwrap().requests);
        assert_eq!(options.rounds_or(9, 3), 3);
        assert_eq!(parse("echo --quick --rounds 8").unwrap().rounds_or(9, 3), 8);
    }

    #[test]
    fn mistakes_are_named() {
        for (line, part) in [
            ("", "which benchmark"),
            ("swich", "swich"),
            ("echo --launches", "--launches needs a value"),
            ("echo --launches 0", "--launches cannot be"),
            ("echo --connections 50,x", "--connections cannot be"),
            ("--serve apache", "apache"),
            ("plot --from results.jsonl", "--svg DIR"),
            ("plot --svg pictures", "--from FILE"),
            ("summary", "--from FILE"),
            ("switch --from results.jsonl", "--from belongs to plot"),
            ("echo --sizes 64,16385", "16384"),
            ("echo --peer akka", "akka"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(part), "{line:?} gave {message:?}");
        }
    }
}
