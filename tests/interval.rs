//! `time::interval`: never early, and every policy for what was missed.
#![forbid(unsafe_code)]

mod util;

use std::cell::Cell;
use std::panic::catch_unwind;
use std::rc::Rc;
use std::time::Duration;

use greenloom::time::{self, Instant, MissedTicks, interval, interval_at};
use greenloom::{spawn, timeout, yield_now};
use util::Drops;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// An interval that is late: its first ticks were due `ago` periods of an hour ago.
fn late(ago: u32, missed: MissedTicks) -> (Instant, time::Interval) {
    // The program is younger than that, but instants reach further back.
    let start = Instant::now() - LONG * ago - LONG / 2;
    (start, interval_at(start, LONG).missed_ticks(missed))
}

#[test]
fn ticks_are_never_early_and_lie_on_the_grid() {
    let begun = Instant::now();
    let mut ticks = interval_at(begun + 2 * MS, 3 * MS).missed_ticks(MissedTicks::Burst);
    assert_eq!(ticks.period(), 3 * MS);
    for n in 0..4 {
        assert_eq!(ticks.next_tick(), begun + 2 * MS + 3 * MS * n);
        assert_eq!(ticks.tick(), begun + 2 * MS + 3 * MS * n);
        assert!(begun.elapsed() >= 2 * MS + 3 * MS * n);
    }
}

#[test]
fn the_first_tick_is_a_period_away() {
    let before = Instant::now();
    let ticks = interval(LONG);
    assert!(ticks.next_tick() >= before + LONG);
}

#[test]
fn an_interval_is_an_iterator() {
    let begun = Instant::now();
    assert_eq!(interval(MS).take(3).count(), 3);
    assert!(begun.elapsed() >= 3 * MS);
}

#[test]
fn burst_gives_every_tick_that_was_missed() {
    let (start, mut ticks) = late(3, MissedTicks::Burst);
    for n in 0..4 {
        assert_eq!(ticks.tick(), start + LONG * n);
    }
    assert!(timeout(MS, || ticks.tick()).is_err());
    assert_eq!(ticks.next_tick(), start + LONG * 4);
}

#[test]
fn skip_is_the_default_and_goes_on_with_the_grid() {
    assert_eq!(MissedTicks::default(), MissedTicks::Skip);
    let (start, mut ticks) = late(3, MissedTicks::Skip);
    assert_eq!(ticks.tick(), start);
    assert_eq!(ticks.next_tick(), start + LONG * 4);
}

#[test]
fn delay_begins_a_new_grid_at_the_late_tick() {
    let (start, mut ticks) = late(3, MissedTicks::Delay);
    let before = Instant::now();
    assert_eq!(ticks.tick(), start);
    assert!(ticks.next_tick() >= before + LONG);
    assert!(ticks.next_tick() <= Instant::now() + LONG);
}

#[test]
fn reset_begins_anew() {
    let (_, mut ticks) = late(3, MissedTicks::Burst);
    let before = Instant::now();
    ticks.reset();
    assert!(ticks.next_tick() >= before + LONG);
}

#[test]
fn a_late_interval_lets_others_run() {
    let (_, mut ticks) = late(100, MissedTicks::Burst);
    let ran = Rc::new(Cell::new(0));
    let theirs = ran.clone();
    let other = spawn(move || {
        for _ in 0..10 {
            theirs.set(theirs.get() + 1);
            yield_now();
        }
    });
    for _ in 0..20 {
        ticks.tick();
    }
    assert_eq!(ran.get(), 10);
    other.join().unwrap();
}

#[test]
fn a_tick_that_was_broken_off_is_not_lost() {
    let mut ticks = interval(LONG);
    let due = ticks.next_tick();
    assert!(timeout(MS, || ticks.tick()).is_err());
    assert_eq!(ticks.next_tick(), due);
}

#[test]
fn a_kill_ends_a_ticker_that_waits_and_one_that_is_late() {
    let drops = Drops::new();
    for ticks in [interval(LONG), late(1_000_000, MissedTicks::Burst).1] {
        let guard = drops.guard();
        let t = spawn(move || {
            let _guard = guard;
            for _ in ticks {}
        });
        yield_now();
        yield_now();
        t.kill();
        assert!(t.join().unwrap_err().is_killed());
    }
    assert_eq!(drops.alive(), 0);
}

#[test]
fn zero_is_refused() {
    for refused in [
        catch_unwind(|| interval(Duration::ZERO)),
        catch_unwind(|| interval_at(Instant::now(), Duration::ZERO)),
    ] {
        let payload = refused.unwrap_err();
        assert_eq!(
            *payload.downcast_ref::<&str>().unwrap(),
            "`period` must be non-zero"
        );
    }
}

#[test]
fn a_period_out_of_reach_never_ticks() {
    let mut ticks = interval(Duration::MAX);
    assert!(timeout(MS, || ticks.tick()).is_err());
}
