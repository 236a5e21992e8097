//! Scopes: nested in one another, in greenlets, in generators; and every way in which one can end.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use greenloom::greenlet::{Current, Greenlet, SwitchError, Yield, scope};

use crate::util::Drops;

#[test]
fn nested_fifty_deep_each_with_an_inbox_of_its_own() {
    fn nest(depth: usize, outers: &[Greenlet<usize>]) -> usize {
        scope(|s, me: &Current<usize>| {
            let g = s.spawn(me, |_: &Current<usize, usize>, n| n + 1);
            let mut all = outers.to_vec();
            all.push(me.handle());
            for outer in outers {
                // The greenlet waits, if anywhere, at its innermost inbox.
                assert!(matches!(
                    me.switch(outer, 0),
                    Err(SwitchError::NotWaiting(0))
                ));
            }
            let deeper = if depth == 0 { 0 } else { nest(depth - 1, &all) };
            me.switch(&g, deeper).unwrap()
        })
    }
    assert_eq!(nest(50, &[]), 51);
}

#[test]
fn an_outer_current_stays_usable_inside_an_inner_scope() {
    scope(|s, outer: &Current<&'static str>| {
        let answers = s.spawn(
            outer,
            |_: &Current<(), &'static str>, ()| "to the outer inbox",
        );
        scope(|s2, inner: &Current<u8>| {
            let five = s2.spawn(inner, |_: &Current<(), u8>, ()| 5);
            assert_eq!(outer.switch(&answers, ()).unwrap(), "to the outer inbox");
            assert_eq!(inner.switch(&five, ()).unwrap(), 5);
            // Waiting at the outer one, what comes for the inner one stays pending there.
            let six = s2.spawn(inner, |_: &Current<(), u8>, ()| 6);
            assert!(matches!(
                outer.switch(&six, ()),
                Err(SwitchError::Deadlock(_))
            ));
            assert!(matches!(
                inner.switch(&answers, ()),
                Err(SwitchError::Pending(()))
            ));
            assert_eq!(inner.receive().unwrap(), 6);
        });
    });
}

#[test]
fn a_generator_inside_a_greenlet_inside_a_scope_and_a_scope_inside_that() {
    let log = RefCell::new(Vec::new());
    scope(|s, me: &Current<u32>| {
        let log = &log;
        let g = s.spawn(me, move |me: &Current<u32, u32>, first| {
            let root = me.parent().unwrap();
            let mut sum = first;
            let items = s.generator(move |y: &Yield<u32>| {
                scope(|s, inner: &Current<u32>| {
                    let doubles = s.spawn(inner, |me: &Current<u32, u32>, mut n| {
                        loop {
                            n = me.switch(&me.parent().unwrap(), n * 2).unwrap();
                        }
                    });
                    for n in 1..=3 {
                        y.yield_(inner.switch(&doubles, n).unwrap());
                        log.borrow_mut().push(n);
                    }
                });
            });
            for item in items {
                sum += me.switch(&root, item).unwrap();
            }
            sum
        });
        assert_eq!(me.switch(&g, 100).unwrap(), 2);
        assert_eq!(me.switch(&g, 10).unwrap(), 4);
        assert_eq!(me.switch(&g, 20).unwrap(), 6);
        assert_eq!(me.switch(&g, 30).unwrap(), 160);
    });
    assert_eq!(*log.borrow(), [1, 2, 3]);
}

#[test]
fn a_panic_of_the_closure_ends_all_and_goes_on() {
    let drops = Drops::new();
    let text = "borrowed".to_owned();
    let seen = RefCell::new(Vec::new());
    struct Reads<'a>(
        &'a str,
        &'a RefCell<Vec<String>>,
        #[allow(dead_code)] crate::util::Counted,
    );
    impl Drop for Reads<'_> {
        fn drop(&mut self) {
            self.1.borrow_mut().push(self.0.to_owned());
        }
    }
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s, me: &Current<()>| {
            for _ in 0..10 {
                let reads = Reads(&text, &seen, drops.guard());
                let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
                    let _reads = reads;
                    let _ = me.switch(&me.parent().unwrap(), ());
                    unreachable!()
                });
                me.switch(&g, ()).unwrap();
                let reads = Reads(&text, &seen, drops.guard());
                s.spawn(me, move |_: &Current<(), ()>, ()| drop(reads));
            }
            resume_unwind(Box::new("out"))
        })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"out"));
    assert_eq!((drops.alive(), drops.dropped()), (0, 20));
    assert_eq!(seen.into_inner(), vec!["borrowed"; 20]);
}

#[test]
fn a_childs_panic_through_the_closure_ends_the_siblings() {
    let drops = Drops::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        scope(|s, me: &Current<()>| {
            let counted = drops.guard();
            let sibling = s.spawn(me, move |me: &Current<(), ()>, ()| {
                let _counted = counted;
                let _ = me.switch(&me.parent().unwrap(), ());
            });
            me.switch(&sibling, ()).unwrap();
            let fails = s.spawn(me, |_: &Current<(), ()>, ()| resume_unwind(Box::new(5)));
            me.switch(&fails, ()).unwrap();
        })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&5));
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}

#[test]
fn a_scope_in_a_greenlet_that_is_killed_ends_first() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let (root, drops) = (me.handle(), &drops);
        let g = s.spawn(me, move |_: &Current<(), ()>, ()| {
            let local = drops.guard();
            scope(|s, inner: &Current<()>| {
                for _ in 0..5 {
                    let local = &local;
                    let g = s.spawn(inner, move |me: &Current<(), ()>, ()| {
                        let _borrows = local;
                        let _own = drops.guard();
                        let _ = me.switch(&me.parent().unwrap(), ());
                    });
                    inner.switch(&g, ()).unwrap();
                }
                let _ = inner.switch(&root, ());
                unreachable!()
            });
        });
        me.switch(&g, ()).unwrap();
        assert_eq!(drops.alive(), 6);
        me.kill(&g).unwrap();
        assert_eq!((drops.alive(), drops.dropped()), (0, 6));
    });
}

#[test]
fn reap_leaves_what_is_not_its_own_alone() {
    scope(|s, me: &Current<()>| {
        let mine = s.spawn(me, |_: &Current<(), ()>, ()| ());
        scope(|inner, own: &Current<()>| {
            inner.reap(&mine);
            inner.reap(&me.handle());
            inner.reap(&own.handle());
            assert!(!mine.is_dead());
            // The outer scope may be used in here as well.
            s.reap(&mine);
            assert!(mine.is_dead());
        });
        let reaper = s.spawn(me, |me: &Current<(), ()>, ()| s.reap(&me.handle()));
        me.switch(&reaper, ()).unwrap();
    });
}

#[test]
fn a_child_may_reap_its_siblings_and_spawn_others() {
    let drops = Drops::new();
    scope(|s, me: &Current<u32>| {
        let drops = &drops;
        let counted = drops.guard();
        let sibling = s.spawn(me, move |me: &Current<(), u32>, ()| {
            let _counted = counted;
            let _ = me.switch(&me.parent().unwrap(), 1);
            0
        });
        assert_eq!(me.switch(&sibling, ()).unwrap(), 1);
        let busy = s.spawn(me, move |me: &Current<(), u32>, ()| {
            s.reap(&sibling);
            assert!(sibling.is_dead());
            let other = s.spawn(&me.parent().unwrap(), |_: &Current<(), u32>, ()| 2);
            let _ = me.switch(&other, ());
            3
        });
        // The killed sibling was main's child: its exit comes first, through the hub.
        let mut came = vec![me.switch(&busy, ())];
        while !busy.is_dead() {
            came.push(match me.receive() {
                Err(SwitchError::Deadlock(_)) => me.switch(&busy, ()),
                Ok(n) => Ok(n),
                Err(_) => Err(SwitchError::Exited),
            });
        }
        let values: Vec<_> = came.into_iter().map(Result::ok).collect();
        assert!(
            values.contains(&Some(2)) && values.contains(&Some(3)),
            "{values:?}"
        );
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}

#[test]
fn locals_and_borrows_live_across_switches() {
    thread_local!(static COUNT: Cell<u32> = const { Cell::new(0) });
    let shared = RefCell::new(0);
    scope(|s, me: &Current<()>| {
        let shared = &shared;
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            COUNT.with(|count| {
                let guard = shared.borrow_mut();
                count.set(count.get() + 1);
                me.switch(&me.parent().unwrap(), ()).unwrap();
                count.set(count.get() + 1);
                drop(guard);
            });
        });
        me.switch(&g, ()).unwrap();
        // The borrow that the other holds is seen here, as any is.
        assert!(shared.try_borrow().is_err());
        assert_eq!(COUNT.get(), 1);
        me.switch(&g, ()).unwrap();
        assert!(shared.try_borrow_mut().is_ok());
        assert_eq!(COUNT.get(), 2);
    });
}
