//! The timers against every small case, a model, and a million of them.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::time::Duration;

use super::*;

const COARSE: TimerFlags = TimerFlags {
    fine: false,
    daemon: false,
};
const FINE: TimerFlags = TimerFlags {
    fine: true,
    daemon: false,
};

fn at(nanos: i64) -> Instant {
    Instant::from_nanos(nanos)
}

/// Everything that expires by `now`, in order.
fn drain<K: Copy>(timers: &mut Timers<K>, now: Instant) -> Vec<(i64, K)> {
    std::iter::from_fn(|| timers.pop_expired(now))
        .map(|(deadline, key)| (deadline.as_nanos(), key))
        .collect()
}

/// Marsaglia's xorshift: reproducible, and random enough for choosing operations.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// The promises in the file's heads, and that the live entries of both calendars are exactly the pending timers.
fn check<K: Copy>(timers: &Timers<K>) {
    let alive = is_alive(&timers.nodes);
    let mut live = 0;
    for (calendar, fine) in [(&timers.coarse, false), (&timers.fine, true)] {
        let (all, dead) = calendar.all();
        let mut gone = 0;
        for entry in &all {
            if alive(entry) {
                assert_eq!(timers.nodes[entry.slot as usize].flags().fine, fine);
                live += 1;
            } else {
                gone += 1;
            }
        }
        let first = all.iter().filter(|entry| alive(entry)).min();
        assert_eq!(calendar.first(), first, "the first is alive, and the first");
        assert_eq!(gone, dead);
        assert!(dead <= SPARE || dead <= all.len() / 2);
    }
    assert_eq!(live, timers.len());
}

#[test]
fn ids_are_small() {
    assert_eq!(size_of::<TimerId>(), 8);
    assert_eq!(size_of::<Option<TimerId>>(), 8);
}

#[test]
fn empty_has_nothing_to_give() {
    let mut timers = Timers::<u8>::new();
    assert!(timers.is_empty());
    assert_eq!((timers.len(), timers.live_refs()), (0, 0));
    assert_eq!(
        (timers.peek(), timers.next_fine(), timers.next_coarse()),
        (None, None, None)
    );
    assert_eq!(timers.pop_expired(at(i64::MAX)), None);
}

#[test]
fn never_early_and_at_the_very_nanosecond() {
    let mut timers = Timers::new();
    timers.insert(at(1000), COARSE, 'a');
    assert_eq!(timers.pop_expired(at(999)), None);
    assert_eq!(timers.pop_expired(at(1000)), Some((at(1000), 'a')));
    assert_eq!(timers.pop_expired(at(1000)), None);
}

#[test]
fn equal_deadlines_are_first_come_first_served() {
    let mut timers = Timers::new();
    // Fine ones among them: the order holds across both heaps.
    for key in 0..1000 {
        timers.insert(at(7), if key % 3 == 0 { FINE } else { COARSE }, key);
    }
    let keys: Vec<_> = drain(&mut timers, at(7))
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    assert_eq!(keys, (0..1000).collect::<Vec<_>>());
}

#[test]
fn first_come_holds_when_neighbours_leave() {
    let mut timers = Timers::new();
    let ids: Vec<_> = (0..200)
        .map(|key| timers.insert(at(7), COARSE, key))
        .collect();
    for id in ids.iter().step_by(3) {
        assert!(timers.cancel(*id).is_some());
    }
    timers.insert(at(7), COARSE, 200);
    let keys: Vec<_> = drain(&mut timers, at(7))
        .into_iter()
        .map(|(_, key)| key)
        .collect();
    assert_eq!(
        keys,
        (0..=200)
            .filter(|key| key % 3 != 0 || *key == 200)
            .collect::<Vec<_>>()
    );
}

#[test]
fn extreme_deadlines() {
    let mut timers = Timers::new();
    let zero = Instant::now();
    timers.insert(at(i64::MAX), COARSE, "last");
    timers.insert(zero, FINE, "zero");
    timers.insert(zero.saturating_add(Duration::MAX), FINE, "last as well");
    timers.insert(at(i64::MIN), COARSE, "first");
    assert_eq!(timers.peek(), Some((at(i64::MIN), false)));
    assert_eq!(
        timers.pop_expired(at(i64::MIN)),
        Some((at(i64::MIN), "first"))
    );
    assert_eq!(timers.pop_expired(zero), Some((zero, "zero")));
    assert_eq!(timers.pop_expired(at(i64::MAX - 1)), None);
    assert_eq!(
        timers.pop_expired(at(i64::MAX)),
        Some((at(i64::MAX), "last"))
    );
    assert_eq!(
        timers.pop_expired(at(i64::MAX)),
        Some((at(i64::MAX), "last as well"))
    );
    assert!(timers.is_empty());
}

#[test]
fn each_kind_knows_its_earliest() {
    let mut timers = Timers::new();
    timers.insert(at(30), FINE, 0);
    assert_eq!(timers.peek(), Some((at(30), true)));
    let coarse = timers.insert(at(20), COARSE, 1);
    assert_eq!(timers.peek(), Some((at(20), false)));
    assert_eq!(
        (timers.next_coarse(), timers.next_fine()),
        (Some(at(20)), Some(at(30)))
    );
    timers.insert(at(10), FINE, 2);
    assert_eq!(timers.peek(), Some((at(10), true)));
    timers.cancel(coarse);
    assert_eq!(
        (timers.next_coarse(), timers.next_fine()),
        (None, Some(at(10)))
    );
}

#[test]
fn daemons_do_not_count_as_live() {
    let daemon = TimerFlags {
        daemon: true,
        ..COARSE
    };
    let mut timers = Timers::new();
    let first = timers.insert(at(1), daemon, 'd');
    assert_eq!((timers.len(), timers.live_refs()), (1, 0));
    let second = timers.insert(at(2), COARSE, 'l');
    timers.insert(at(3), FINE, 'f');
    timers.insert(at(4), daemon, 'd');
    assert_eq!((timers.len(), timers.live_refs()), (4, 2));
    timers.cancel(second);
    timers.cancel(second);
    timers.cancel(first);
    assert_eq!((timers.len(), timers.live_refs()), (2, 1));
    timers.pop_expired(at(3));
    assert_eq!((timers.len(), timers.live_refs()), (1, 0));
    timers.pop_expired(at(4));
    assert_eq!((timers.len(), timers.live_refs()), (0, 0));
}

#[test]
fn a_stale_id_does_not_touch_the_slot_s_next_timer() {
    let mut timers = Timers::new();
    let cancelled = timers.insert(at(1), COARSE, 'a');
    assert_eq!(timers.cancel(cancelled), Some('a'));
    assert_eq!(timers.cancel(cancelled), None, "twice");
    let popped = timers.insert(at(2), FINE, 'b');
    assert_eq!(popped.slot, cancelled.slot, "the case is the one meant");
    assert_eq!(timers.cancel(cancelled), None);
    assert_eq!(timers.pop_expired(at(2)), Some((at(2), 'b')));
    assert_eq!(timers.cancel(popped), None, "after it expired");
    let third = timers.insert(at(3), COARSE, 'c');
    assert_eq!(
        (timers.cancel(popped), timers.cancel(cancelled)),
        (None, None)
    );
    assert_eq!(timers.cancel(third), Some('c'));
}

#[test]
fn generations_wrap_past_zero() {
    let mut timers = Timers::new();
    timers.sequence = u64::from(u32::MAX) - 1;
    let last = timers.insert(at(1), COARSE, 'a');
    assert_eq!(timers.cancel(last), Some('a'));
    let first = timers.insert(at(1), COARSE, 'b');
    assert_eq!(timers.cancel(last), None);
    assert_eq!(timers.cancel(first), Some('b'));
}

/// Every choice of up to four deadlines out of three, every choice of kinds, every subset cancelled.
#[test]
fn all_small_cases() {
    for count in 0..=4u32 {
        for choice in 0..3u32.pow(count) {
            for fine in 0..1u32 << count {
                for cancelled in 0..1u32 << count {
                    small_case(count, choice, fine, cancelled);
                }
            }
        }
    }
}

fn small_case(count: u32, choice: u32, fine: u32, cancelled: u32) {
    let deadline = |key: u32| i64::from(choice / 3u32.pow(key) % 3);
    let mut timers = Timers::new();
    let ids: Vec<_> = (0..count)
        .map(|key| {
            let flags = if fine >> key & 1 == 1 { FINE } else { COARSE };
            timers.insert(at(deadline(key)), flags, key)
        })
        .collect();
    for key in (0..count).filter(|key| cancelled >> key & 1 == 1) {
        assert_eq!(timers.cancel(ids[key as usize]), Some(key));
        assert_eq!(timers.cancel(ids[key as usize]), None);
        check(&timers);
    }
    let mut expected: Vec<_> = (0..count)
        .filter(|key| cancelled >> key & 1 == 0)
        .map(|key| (deadline(key), key))
        .collect();
    // By deadline, and those of one deadline by their key, which is the order they came in.
    expected.sort();
    assert_eq!(timers.len(), expected.len());
    let mut popped = Vec::new();
    for now in 0..3 {
        let expired = drain(&mut timers, at(now));
        assert!(expired.iter().all(|(deadline, _)| *deadline == now));
        popped.extend(expired);
    }
    assert_eq!(popped, expected);
}

/// Every order of seven deadlines (three levels of the heap), with each one cancelled in turn.
#[test]
fn all_orders_of_seven_with_one_cancelled() {
    fn permute(order: &mut [i64; 7], fixed: usize, visit: &mut impl FnMut(&[i64; 7])) {
        if fixed == order.len() {
            return visit(order);
        }
        for other in fixed..order.len() {
            order.swap(fixed, other);
            permute(order, fixed + 1, visit);
            order.swap(fixed, other);
        }
    }
    let mut timers = Timers::new();
    permute(&mut [0, 1, 2, 3, 4, 5, 6], 0, &mut |order| {
        for cancelled in 0..7 {
            let mut id = None;
            for &deadline in order {
                let inserted = timers.insert(at(deadline), COARSE, deadline);
                if deadline == cancelled {
                    id = Some(inserted);
                }
            }
            assert_eq!(id.and_then(|id| timers.cancel(id)), Some(cancelled));
            check(&timers);
            let rest: Vec<_> = drain(&mut timers, at(6))
                .into_iter()
                .map(|(_, key)| key)
                .collect();
            let expected: Vec<_> = (0..7).filter(|deadline| *deadline != cancelled).collect();
            assert_eq!(rest, expected);
        }
    });
}

/// Random operations beside a sorted map of (deadline, sequence), which is the specification.
#[test]
fn agrees_with_a_model() {
    for seed in 1..=8 {
        against_model(seed, 1, 20_000);
    }
}

/// The same with more than one heap takes, near and far, and over several turns of the calendar.
#[test]
fn agrees_with_a_model_of_many_days() {
    for (seed, unit) in [
        (1, 1 << 10),
        (2, 1 << 18),
        (3, 1 << 22),
        (4, 1 << 26),
        (5, 1 << 31),
    ] {
        against_model(seed, unit, 40_000);
    }
}

fn against_model(seed: u64, unit: i64, operations: u64) {
    {
        let mut random = Random(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(seed));
        let mut timers = Timers::new();
        let mut model = BTreeMap::new();
        let mut ids = Vec::new();
        let mut now = 0i64;
        for sequence in 0..operations {
            // Phases of growth and of shrinking, so that the heap becomes deep and runs empty.
            let growing = sequence % (operations / 4) < operations / 20 * 3;
            match random.below(10) {
                0..4 if growing => model_insert(
                    &mut timers,
                    &mut model,
                    &mut ids,
                    &mut random,
                    (now, unit),
                    sequence,
                ),
                0 => model_insert(
                    &mut timers,
                    &mut model,
                    &mut ids,
                    &mut random,
                    (now, unit),
                    sequence,
                ),
                4..7 if !ids.is_empty() => {
                    let pick = random.below(ids.len() as u64) as usize;
                    // Some stay in the list, so that cancelling twice or too late is tried as well.
                    let (id, key) = if random.below(4) == 0 {
                        ids[pick]
                    } else {
                        ids.swap_remove(pick)
                    };
                    let expected = model.remove(&key).map(|_: TimerFlags| key);
                    assert_eq!(timers.cancel(id), expected);
                }
                7 => {
                    now += random.below(10) as i64 * unit;
                    while let Some((deadline, key)) = timers.pop_expired(at(now)) {
                        let (first, _) = model.pop_first().expect("the model has it too");
                        assert_eq!((deadline, key), (first.0, first));
                    }
                    assert!(
                        model
                            .first_key_value()
                            .is_none_or(|(key, _)| key.0 > at(now))
                    );
                }
                _ => {}
            }
            let first = model
                .first_key_value()
                .map(|(key, flags)| (key.0, flags.fine));
            assert_eq!(timers.peek(), first);
            assert_eq!(timers.len(), model.len());
            if sequence % 97 == 0 {
                let live = model.values().filter(|flags| !flags.daemon).count();
                assert_eq!(timers.live_refs(), live);
                check(&timers);
            }
        }
    }
}

type ModelKey = (Instant, u64);

fn model_insert(
    timers: &mut Timers<ModelKey>,
    model: &mut BTreeMap<ModelKey, TimerFlags>,
    ids: &mut Vec<(TimerId, ModelKey)>,
    random: &mut Random,
    (now, unit): (i64, i64),
    sequence: u64,
) {
    let key = (at(now + random.below(500) as i64 * unit), sequence);
    let flags = TimerFlags {
        fine: random.below(3) == 0,
        daemon: random.below(5) == 0,
    };
    model.insert(key, flags);
    ids.push((timers.insert(key.0, flags, key), key));
}

/// A structure that were linear in anything would not end here.
#[test]
fn a_million_come_and_go() {
    const COUNT: usize = 1_000_000;
    let mut timers = Timers::new();
    let mut random = Random(42);
    let mut ids: Vec<_> = (0..COUNT)
        .map(|key| timers.insert(at(random.below(1 << 40) as i64), COARSE, key))
        .collect();
    assert_eq!(timers.len(), COUNT);
    for last in (1..COUNT).rev() {
        ids.swap(last, random.below(last as u64 + 1) as usize);
    }
    for id in ids.drain(COUNT / 10..) {
        assert!(timers.cancel(id).is_some());
    }
    let mut popped = 0;
    let mut previous = at(0);
    while let Some((deadline, _)) = timers.pop_expired(at(i64::MAX)) {
        assert!(deadline >= previous);
        previous = deadline;
        popped += 1;
    }
    assert_eq!(popped, COUNT / 10);
    assert!(timers.is_empty());
}

#[test]
fn nothing_is_allocated_within_what_was_reserved() {
    fn capacities<K: Copy>(timers: &Timers<K>) -> [usize; 3] {
        [
            timers.nodes.capacity(),
            timers.coarse.capacity(),
            timers.fine.capacity(),
        ]
    }
    let mut timers = Timers::new();
    timers.insert(at(0), COARSE, 0);
    timers.reserve(1000);
    let before = capacities(&timers);
    for round in 0..3 {
        let flags = if round == 1 { FINE } else { COARSE };
        let ids: Vec<_> = (0..1000)
            .map(|key| timers.insert(at(key), flags, key))
            .collect();
        for id in &ids[500..] {
            timers.cancel(*id);
        }
        assert_eq!(capacities(&timers), before);
        assert_eq!(
            drain(&mut timers, at(999)).len(),
            500 + usize::from(round == 0)
        );
    }
    assert_eq!(capacities(&timers), before);
}

#[test]
fn timers_that_are_set_and_cancelled_again_and_again_take_no_room() {
    let mut timers = Timers::new();
    let last = timers.insert(at(1 << 40), COARSE, 0);
    // Each is cancelled after the next has been set, so that it is never the last in the heap.
    let mut before = timers.insert(at(1), COARSE, 1);
    for i in 2..10_000 {
        let next = timers.insert(at(i), COARSE, i);
        assert_eq!(timers.cancel(before), Some(i - 1));
        before = next;
        check(&timers);
    }
    assert!(timers.coarse.capacity() <= 4 * SPARE);
    assert_eq!(timers.len(), 2);
    timers.cancel(before);
    assert_eq!(timers.next_coarse(), Some(at(1 << 40)));
    timers.cancel(last);
    assert!(timers.is_empty() && timers.next_coarse().is_none());
    check(&timers);
}
