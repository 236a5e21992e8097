//! The benchmark `timers`: many tasks that each sleep until a random moment of one second.
//!
//! ```text
//! spawn n tasks; each sleeps until T0 + (0..1 s)    create: until all are parked, before T0
//! T0 … T0 + 1 s: all wake                           CPU from all parked; how late each was
//! ```
//!
//! The limit is a heap of moments with a raw coroutine for each. The moments come from one seed, the same for all.
#![forbid(unsafe_code)]

use std::io;
use std::time::Duration;

use crate::cli::Options;
use crate::peers::{self, Peer};
use crate::report::Row;
use crate::{cases, reference};

/// More than this many sleepers are not all parked when the first is due.
const MOST: u64 = 100_000;

/// When the first may wake, counted from the first spawn: all are parked by then.
pub(crate) const LEAD: Duration = Duration::from_millis(1500);

/// What a run of sleepers showed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slept {
    /// CPU time of the process from the first spawn to the last wake.
    pub(crate) cpu: Duration,
    /// The part of it from when all were parked.
    pub(crate) cpu_parked: Duration,
    /// How late the one in the middle was.
    pub(crate) late: Duration,
    /// How late the last but one of a hundred was.
    pub(crate) latest: Duration,
}

impl Slept {
    /// From the CPU time at three moments, and how late each was.
    pub(crate) fn new([before, parked, after]: [Duration; 3], mut late: Vec<Duration>) -> Slept {
        late.sort_unstable();
        let of_1000 = |part: usize| late[(late.len() - 1) * part / 1000];
        Slept {
            cpu: after - before,
            cpu_parked: after - parked,
            late: of_1000(500),
            latest: of_1000(990),
        }
    }
}

/// The moments, counted from the first of them: uniform over a second.
pub(crate) fn moments(n: usize) -> impl Iterator<Item = Duration> {
    let mut x = 0x9e37_79b9_7f4a_7c15_u64;
    (0..n).map(move |_| {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        Duration::from_nanos(x % 1_000_000_000)
    })
}

/// Measures sleeping tasks beside the limit and tokio, or beside the one peer that was asked for.
pub(crate) fn rows(options: &Options) -> io::Result<Vec<Row>> {
    let n = usize::try_from(options.n.min(MOST)).map_err(io::Error::other)?;
    match options.peer {
        None => {
            let mut rows = beside(None, n, Some(reference::sleep(n)?))?;
            rows.extend(beside_peer(Peer::Tokio, n)?);
            Ok(rows)
        }
        // Measured in any case.
        Some(Peer::Tokio) => Ok(Vec::new()),
        Some(peer) => beside_peer(peer, n),
    }
}

/// Measures as many of a peer's, or fewer if it cannot have so many, and then as many of ours.
fn beside_peer(peer: Peer, n: usize) -> io::Result<Vec<Row>> {
    let n = n.min(match peer {
        // It is not done with spawning more before the first is due.
        Peer::Gevent => 20_000,
        other => other.most(),
    });
    beside(Some(peer), n, peers::sleep(peer, n)?)
}

/// Measures ours, and puts them beside what was measured.
fn beside(peer: Option<Peer>, n: usize, theirs: Option<Slept>) -> io::Result<Vec<Row>> {
    let own = cases::sleep(n)?;
    let row = |what: &str, unit: &str, of: &dyn Fn(&Slept) -> f64| Row {
        bench: "timers".to_owned(),
        case: format!("{n} of 0-1 s, {what}"),
        unit: unit.to_owned(),
        value: Some(of(&own)),
        reference: theirs.as_ref().map(of),
        peer: peer.map(|peer| peer.name().to_owned()),
    };
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    Ok(vec![
        row("CPU with creation", "ms", &|s| ms(s.cpu)),
        row("CPU from all parked", "ms", &|s| ms(s.cpu_parked)),
        row("late, median", "us", &|s| ms(s.late) * 1e3),
        row("late, 99th of 100", "us", &|s| ms(s.latest) * 1e3),
    ])
}
