//! The command line: which part this process plays, and with which numbers.
//!
//! Parsed by hand, because a dozen options do not pay for a dependency. Nothing here measures or starts
//! anything. Options that a launch needs are handed on by [`Options::for_child`], so a new one is added
//! in three places of this file and nowhere else.
#![forbid(unsafe_code)]

use std::net::SocketAddr;

/// What `--help` prints, and what follows a mistake.
pub(crate) const USAGE: &str = "\
usage: bench switch|yield|spawn|locks|queues|select|offload|sleepers|echo|million|all [OPTIONS]
       bench idle|two-hubs|http|redis [OPTIONS], which are not in `all`
  --json               one JSON object per line instead of the table
  --launches N         processes the median is taken over (5)
  --rounds N           alternate rounds within one launch (9; echo: 5)
  --connections LIST   echo: numbers of connections, by commas (50,1000)
  --requests N         echo: requests per round (40000)
  --n N                million: greenlets (1000000); instructions: operations
  --svg DIR            bar charts and curves into DIR, beside what is printed
       bench plot --from FILE --svg DIR   the same from the lines that --json gave
the parts that it starts, useful by hand:
  --child CASE                    one launch; also million-tasks, instructions-raw-pair, instructions-root-greenlet,
                                  instructions-greenlet-greenlet, instructions-yield,
                                  instructions-spawn-1, instructions-spawn-1000,
                                  instructions-park, instructions-parked-read,
                                  instructions-round-trip, instructions-queue-item,
                                  instructions-two-hubs
  --serve bare|greenloom|two-hubs  echo server on loopback [--port 0] [--core C]
  --serve bare-http               what answers every read with the same HTTP reply
                                  (each of these ends after [--for SECONDS], 600)
  --load ADDR                     closed-loop client [--connections M] [--requests N] [--warmup N] [--core C]
  --drive ADDR                    the same, one run for each line on stdin, which says how many requests";

/// The benchmarks by name, in the order of `all`.
pub(crate) const CASES: [&str; 10] = [
    "switch", "yield", "spawn", "locks", "queues", "select", "offload", "sleepers", "echo",
    "million",
];

/// Those that are not in `all`: they need 10,000 connections, two cores for one server, or programs that may not be
/// installed.
pub(crate) const MORE_CASES: [&str; 4] = ["idle", "two-hubs", "http", "redis"];

/// The part this process plays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Print the usage.
    Help,
    /// Launch children and print their medians.
    Parent(String),
    /// Draw the results in this file.
    Plot(String),
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
}

impl Server {
    /// The name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Server::Bare => "bare",
            Server::Greenloom => "greenloom",
            Server::TwoHubs => "two-hubs",
            Server::BareHttp => "bare-http",
        }
    }
}

/// Everything the command line says.
#[derive(Clone, Debug)]
pub(crate) struct Options {
    /// The part to play.
    pub(crate) mode: Mode,
    /// JSON lines instead of a table.
    pub(crate) json: bool,
    /// Folder for pictures.
    pub(crate) svg: Option<String>,
    /// Number of child processes.
    pub(crate) launches: usize,
    /// Alternate rounds within a launch; `None` leaves it to the benchmark.
    pub(crate) rounds: Option<usize>,
    /// Numbers of connections for `echo`.
    pub(crate) connections: Vec<usize>,
    /// Requests per round of `echo`.
    pub(crate) requests: u64,
    /// Requests before the measurement; `None` leaves it to the client.
    pub(crate) warmup: Option<u64>,
    /// Size of `million`, operations of `instructions-*`.
    pub(crate) n: u64,
    /// Port to listen on, 0 for any.
    pub(crate) port: u16,
    /// Core to be pinned to.
    pub(crate) core: Option<usize>,
    /// Life time in seconds of every process but the parent: it ends by itself should nobody end it.
    pub(crate) seconds: u32,
}

impl Options {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Options, String> {
        let mut args = args.into_iter();
        let mut mode = None;
        let mut from = None;
        let mut options = Options {
            mode: Mode::Help,
            json: false,
            svg: None,
            launches: 5,
            rounds: None,
            connections: vec![50, 1000],
            requests: 40_000,
            warmup: None,
            n: 1_000_000,
            port: 0,
            core: None,
            seconds: 600,
        };
        while let Some(arg) = args.next() {
            let mut text = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => mode = Some(Mode::Help),
                "--json" => options.json = true,
                "--svg" => options.svg = Some(text()?),
                "--from" => from = Some(text()?),
                "plot" => mode = Some(Mode::Plot(String::new())),
                "--launches" => options.launches = at_least_one(&arg, &text()?)?,
                "--rounds" => options.rounds = Some(at_least_one(&arg, &text()?)?),
                "--requests" => options.requests = at_least_one(&arg, &text()?)?,
                "--warmup" => options.warmup = Some(number(&arg, &text()?)?),
                "--n" => options.n = at_least_one(&arg, &text()?)?,
                "--port" => options.port = number(&arg, &text()?)?,
                "--core" => options.core = Some(number(&arg, &text()?)?),
                "--for" => options.seconds = at_least_one(&arg, &text()?)?,
                "--connections" => {
                    options.connections = text()?
                        .split(',')
                        .map(|item| at_least_one(&arg, item))
                        .collect::<Result<_, _>>()?;
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
                        other => return Err(format!("unknown server {other:?}")),
                    }));
                }
                case if case == "all" || CASES.contains(&case) || MORE_CASES.contains(&case) => {
                    mode = Some(Mode::Parent(case.to_owned()));
                }
                other => return Err(format!("unknown argument {other:?}")),
            }
        }
        options.mode = mode.ok_or("which benchmark?")?;
        options.mode = match (options.mode, from) {
            (Mode::Plot(_), Some(file)) if options.svg.is_some() => Mode::Plot(file),
            (Mode::Plot(_), _) => return Err("plot needs --from FILE and --svg DIR".to_owned()),
            (_, Some(_)) => return Err("--from belongs to plot".to_owned()),
            (mode, None) => mode,
        };
        Ok(options)
    }

    /// The arguments with which a parent launches a child for `case`.
    pub(crate) fn for_child(&self, case: &str) -> Vec<String> {
        let connections: Vec<String> = self.connections.iter().map(usize::to_string).collect();
        let mut args = vec!["--child".to_owned(), case.to_owned()];
        let mut push = |name: &str, value: String| args.extend([name.to_owned(), value]);
        push("--connections", connections.join(","));
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
        assert!(options.json);
        assert_eq!(options.launches, 2);
        assert_eq!(options.connections, [50, 10_000]);
    }

    #[test]
    fn a_child_gets_what_the_parent_was_given() {
        let parent = parse("echo --rounds 3 --requests 77 --connections 1,2 --n 9 --warmup 0");
        let child = Options::parse(parent.unwrap().for_child("echo")).unwrap();
        assert_eq!(child.mode, Mode::Child("echo".to_owned()));
        assert_eq!(child.rounds, Some(3));
        assert_eq!(child.requests, 77);
        assert_eq!(child.connections, [1, 2]);
        assert_eq!(child.n, 9);
        assert_eq!(child.warmup, Some(0));
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
            ("switch --from results.jsonl", "--from belongs to plot"),
        ] {
            let message = parse(line).unwrap_err();
            assert!(message.contains(part), "{line:?} gave {message:?}");
        }
    }
}
