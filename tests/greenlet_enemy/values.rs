//! Messages, results and bodies of every shape, each dropped exactly once on whatever path it takes.
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use greenloom::greenlet::{Current, Greenlet, SwitchError, scope};
use greenloom::stack::StackSize;

use crate::util::{Counted, Drops, alone};

/// Sends `value` as a first message, as a later one, as a result and as a capture.
fn all_ways<T>(value: impl Fn(u8) -> T, check: impl Fn(&T, u8) + Copy) {
    // Without optimisation a value is copied some twenty times on its way.
    let size = match size_of::<T>() {
        0..=1024 => StackSize::K64,
        _ => StackSize::M1,
    };
    scope(|s, me: &Current<T>| {
        let captured = value(1);
        let body = move |me: &Current<T, T>, first: T| {
            check(&first, 2);
            let root = me.parent().unwrap();
            let second = me.switch(&root, captured).unwrap();
            check(&second, 3);
            drop(me.switch(&root, first).unwrap());
            second
        };
        let g = s.try_spawn_sized(size, me, body).unwrap();
        check(&me.switch(&g, value(2)).unwrap(), 1);
        check(&me.switch(&g, value(3)).unwrap(), 2);
        check(&me.switch(&g, value(4)).unwrap(), 3);
        assert!(g.is_dead());
    });
}

#[test]
fn eight_kib() {
    all_ways(|n| [n; 8192], |v, n| assert!(v.iter().all(|&b| b == n)));
}

#[test]
fn of_no_size() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Nothing;
    all_ways(|_| Nothing, |v, _| assert_eq!(*v, Nothing));
    all_ways(|_| [0_u64; 0], |v, _| assert!(v.is_empty()));
}

#[test]
fn over_aligned() {
    #[repr(align(128))]
    struct Line(u8);
    #[repr(align(4096))]
    struct Page(u8);
    #[repr(align(64))]
    struct Inline(u8);
    fn aligned<T>(v: &T) {
        assert_eq!(std::ptr::from_ref(v).addr() % align_of::<T>(), 0);
    }
    all_ways(Line, |v, n| {
        aligned(v);
        assert_eq!(v.0, n);
    });
    all_ways(Inline, |v, n| {
        aligned(v);
        assert_eq!(v.0, n);
    });
    // Only as a result: frames of such a type take several pages each.
    scope(|s, me: &Current<Box<Page>>| {
        let g = s.spawn(me, |_: &Current<(), Box<Page>>, ()| Box::new(Page(7)));
        let page = me.switch(&g, ()).unwrap();
        aligned(&*page);
        assert_eq!(page.0, 7);
    });
}

#[test]
fn of_every_size_around_the_limit_for_boxes() {
    fn sized<const N: usize>() {
        all_ways(|n| [n; N], |v, n| assert!(v.iter().all(|&b| b == n)));
    }
    sized::<1>();
    sized::<7>();
    sized::<1000>();
    sized::<1023>();
    sized::<1024>();
    sized::<1025>();
    sized::<2000>();
}

#[test]
fn dropped_once_whether_delivered_refused_thrown_or_left_behind() {
    let drops = Drops::new();
    type V = Box<(Counted, [u8; 2000])>;
    let value = || -> V { Box::new((drops.guard(), [0; 2000])) };
    let value = &value;
    scope(|s, me: &Current<V>| {
        // Delivered and returned.
        let g = s.spawn(me, |_: &Current<V, V>, v| v);
        drop(me.switch(&g, value()).unwrap());
        assert_eq!((drops.alive(), drops.dropped()), (0, 1));
        // Dead.
        drop(me.switch(&g, value()).unwrap_err());
        assert_eq!((drops.alive(), drops.dropped()), (0, 2));
        // Held by a greenlet that is killed; by one killed before its start.
        let holds = s.spawn(me, |me: &Current<V, V>, v| {
            let back = me.switch(&me.parent().unwrap(), value()).unwrap();
            drop(v);
            back
        });
        drop(me.switch(&holds, value()).unwrap());
        assert_eq!((drops.alive(), drops.dropped()), (1, 3));
        me.kill(&holds).unwrap();
        assert_eq!((drops.alive(), drops.dropped()), (0, 4));
        let captured = value();
        let unstarted = s.spawn(me, move |_: &Current<(), V>, ()| captured);
        me.kill(&unstarted).unwrap();
        assert_eq!((drops.alive(), drops.dropped()), (0, 5));
        // Thrown, caught by the parent; thrown into the dead; into the unstarted.
        let g = s.spawn(me, |me: &Current<(), V>, ()| {
            me.switch(&me.parent().unwrap(), value())
                .unwrap_err()
                .into_inner()
                .unwrap()
        });
        drop(me.switch(&g, ()).unwrap());
        for _ in 0..2 {
            let before = drops.dropped();
            let thrown = catch_unwind(AssertUnwindSafe(|| me.throw(&g, value())));
            drop(thrown);
            assert_eq!((drops.alive(), drops.dropped()), (0, before + 1));
        }
        let unstarted = s.spawn(me, |_: &Current<(), V>, ()| unreachable!());
        let before = drops.dropped();
        drop(catch_unwind(AssertUnwindSafe(|| me.throw(&unstarted, value()))).unwrap_err());
        assert_eq!((drops.alive(), drops.dropped()), (0, before + 1));
        // In flight to a kill: the killed one's own message is dropped by the unwinding.
        let self_killer = s.spawn(me, |me: &Current<V, V>, _v| {
            let mine = value();
            let _ = me.kill(&me.handle());
            mine
        });
        let before = drops.dropped();
        assert!(me.switch(&self_killer, value()).unwrap_err().is_exited());
        assert_eq!((drops.alive(), drops.dropped()), (0, before + 2));
        // Pending at the end of the scope.
        let pending = s.spawn(me, |_: &Current<(), V>, ()| value());
        scope(|_, inner: &Current<()>| drop(inner.switch(&pending, ())));
        assert_eq!(drops.alive(), 1);
    });
    assert_eq!(drops.alive(), 0);
}

/// How much memory this process has present, in KiB. An allocator's reservations would hide a leak in address space.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let number = line.and_then(|l| l.split_whitespace().next());
    number.unwrap().parse().unwrap()
}

#[test]
fn results_without_destructors_that_nobody_takes_leak_no_box() {
    alone(
        "values::results_without_destructors_that_nobody_takes_leak_no_box",
        || {
            let round = || {
                scope(|s, outer: &Current<[u8; 4096]>| {
                    let g = s.spawn(outer, |_: &Current<(), [u8; 4096]>, ()| [1; 4096]);
                    scope(|_, inner: &Current<()>| drop(inner.switch(&g, ())));
                });
            };
            for _ in 0..100 {
                round();
            }
            let before = resident_kib();
            for _ in 0..10_000 {
                round();
            }
            let grown = resident_kib().saturating_sub(before);
            // 40 MB would have been lost.
            assert!(
                cfg!(feature = "sanitizer") || grown < 10 << 10,
                "{grown} KiB"
            );
        },
    );
}

#[test]
fn many_small_ones_around_a_ring_of_a_thousand() {
    const RING: usize = 1000;
    let drops = Drops::new();
    let ring: RefCell<Vec<Greenlet<(usize, Counted)>>> = RefCell::default();
    scope(|s, me: &Current<(usize, Counted)>| {
        let ring = &ring;
        for n in 0..RING {
            let g = s.spawn(
                me,
                move |me: &Current<(usize, Counted), _>, mut m: (usize, Counted)| {
                    loop {
                        m.0 += 1;
                        let next = ring.borrow().get(n + 1).copied();
                        m = match next {
                            Some(next) => me.switch(&next, m),
                            None => match me.switch(&me.parent().unwrap(), m) {
                                Ok(m) => Ok(m),
                                Err(SwitchError::Dead(m) | SwitchError::NotWaiting(m)) => return m,
                                Err(e) => panic!("{e}"),
                            },
                        }
                        .unwrap();
                    }
                },
            );
            ring.borrow_mut().push(g);
        }
        let first = ring.borrow()[0];
        let mut m = (0, drops.guard());
        for round in 1..=5 {
            m = me.switch(&first, m).unwrap();
            assert_eq!(m.0, round * RING);
        }
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}
