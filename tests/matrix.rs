//! The matrix: every call that waits × everything that ends a wait early × when that comes. Nothing granted is ever lost.
//!
//! ```text
//!              before it waits   while it waits   after the grant, before it ran
//! kill               ·                 ·                    ·
//! own timeout        ·                 ·                    ·            for each row of `rows`
//! timeout around     ·                 ·                    ·
//! scope that fails   ·                 ·                    ·
//! neighbour panics   ·                 ·                    ·
//! closed             ·                 ·                    ·
//! ```
//!
//! `driver` says what a program is and what has to be true of it, `sync`, `permits`, `queue`, `event`, `several` and `io` hold the rows,
//! `programs` are random mixtures. Each program runs in a simulation, and its seed says everything: the cell too, so that
//! `GREENLOOM_SEED` runs the very program that failed. `GREENLOOM_MATRIX_SEEDS` is how many there are in all.
//!
//! A clock that stands still while anything can run never expires between a grant and the turn of who was granted. So for
//! the two timeouts the third column is the other tie: the grant comes in the instant of the expiry, after it, and is had.
//!
//! What descriptors wait for stays with the system: who is woken for it and killed first leaves it to the next. There the third
//! column is that it has come, and the victim had not run.
//!
//! What other threads and processes do has real time and is not in it: `offload`, `thread_pool`, `fs`, `net_lookup` and `process` try their calls themselves.
#![forbid(unsafe_code)]

mod util;

/// A row: its name, its kind, whether it is timed and whether it closes, and what makes it.
macro_rules! row {
    ($name:literal, $kind:ident, $timed:expr, $closes:expr, $new:expr) => {
        Row {
            name: $name,
            kind: Kind::$kind,
            timed: $timed,
            closes: $closes,
            stays: false,
            new: $new,
        }
    };
}

#[path = "matrix/dice.rs"]
mod dice;
#[path = "matrix/driver.rs"]
mod driver;
#[path = "matrix/event.rs"]
mod event;
#[path = "matrix/io.rs"]
mod io;
#[path = "matrix/permits.rs"]
mod permits;
#[path = "matrix/programs.rs"]
mod programs;
#[path = "matrix/queue.rs"]
mod queue;
#[path = "matrix/several.rs"]
mod several;
#[path = "matrix/sync.rs"]
mod sync;

use std::env;

use driver::{Interruption, PHASES, Row, run};
use greenloom::hub;

/// How many seeds are tried in all, if nothing else is said.
const SEEDS: u64 = 18_000;

/// One in so many of them is a random program.
const SHARE_OF_PROGRAMS: u64 = 5;

/// How many shares a cell may have that does not meet all phases.
const MOST_SHARES: u64 = 4;

/// A seed says the cell above this bit, and the number in the cell below.
const CELL: u32 = 24;

fn rows() -> Vec<Row> {
    let mut rows = sync::rows();
    rows.extend(permits::rows());
    rows.extend(queue::rows());
    rows.extend(event::rows());
    rows.extend(several::rows());
    rows.extend(io::rows());
    rows
}

fn seeds() -> u64 {
    match env::var("GREENLOOM_MATRIX_SEEDS") {
        Ok(text) => text.parse().expect("GREENLOOM_MATRIX_SEEDS is a number"),
        Err(_) => SEEDS,
    }
}

/// Whether one seed is to be run again, which says nothing about the others.
fn is_single() -> bool {
    env::var_os("GREENLOOM_SEED").is_some()
}

fn cells() -> Vec<(usize, Interruption)> {
    let rows = rows();
    let every = |i| (0..rows.len()).map(move |row| (row, i));
    let all = Interruption::ALL.into_iter().flat_map(every);
    all.filter(|(row, i)| rows[*row].takes(*i)).collect()
}

/// Runs all cells of one interruption, and sees to it that each has met all phases: one that has not when it has had its
/// share is given more.
#[track_caller]
fn check(interruption: Interruption) {
    let (rows, cells) = (rows(), cells());
    let share = seeds() * (SHARE_OF_PROGRAMS - 1) / SHARE_OF_PROGRAMS / cells.len() as u64 + 1;
    let mut seen = vec![[0; PHASES]; cells.len()];
    let lacks = |cell: usize, seen: &[[usize; PHASES]]| {
        let (row, i) = cells[cell];
        i == interruption && seen[cell][..rows[row].phases(i)].contains(&0)
    };
    for round in 0..MOST_SHARES {
        let lacking: Vec<usize> = (0..cells.len()).filter(|c| lacks(*c, &seen)).collect();
        let numbers =
            |cell| (round * share..(round + 1) * share).map(move |n| (cell as u64) << CELL | n);
        hub::simulate_seeds(lacking.into_iter().flat_map(numbers), |seed| {
            let cell = (seed >> CELL) as usize;
            if let Some(&(row, i)) = cells.get(cell)
                && i == interruption
                && let Some(phase) = run(&rows[row], interruption, seed)
            {
                seen[cell][phase as usize] += 1;
            }
        });
        if is_single() {
            return;
        }
    }
    for (cell, (row, _)) in cells
        .iter()
        .enumerate()
        .filter(|(_, c)| c.1 == interruption)
    {
        assert!(
            !lacks(cell, &seen),
            "{}, {interruption:?}: before, while, after: {:?} times",
            rows[*row].name,
            seen[cell]
        );
    }
}

#[test]
fn nothing_is_lost_by_a_kill() {
    check(Interruption::Kill);
}

#[test]
fn nothing_is_lost_by_a_timeout_of_the_call() {
    check(Interruption::OwnTimeout);
}

#[test]
fn nothing_is_lost_by_a_timeout_around_the_call() {
    check(Interruption::OuterTimeout);
}

#[test]
fn nothing_is_lost_by_the_end_of_a_scope() {
    check(Interruption::Scope);
}

#[test]
fn nothing_is_lost_by_the_panic_of_a_neighbour() {
    check(Interruption::NeighbourPanics);
}

#[test]
fn nothing_is_lost_by_closing() {
    check(Interruption::Close);
}

#[test]
fn nothing_is_lost_in_random_programs() {
    let n = seeds() / SHARE_OF_PROGRAMS;
    hub::simulate_seeds(0..n, programs::run);
}
