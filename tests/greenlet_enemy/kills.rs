//! Who kills whom: ancestors, resumers, the dead, the unstarted, several at once, and those who will not die.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};

use greenloom::greenlet::{Current, Generator, Greenlet, Scope, SwitchError, Yield, scope};

use crate::util::{Drops, alone};

#[test]
fn of_one_that_resumed_the_killer() {
    // main -> a -> b -> c, and each in turn kills who switched to it.
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let root = me.handle();
        let a = s.unbound::<(), ()>(me);
        let b = s.unbound::<(), ()>(me);
        let (ha, hb) = (a.handle(), b.handle());
        let c = s.spawn(me, move |me: &Current<(), ()>, ()| {
            me.kill(&hb).unwrap();
            assert!(hb.is_dead() && !ha.is_dead());
            me.kill(&ha).unwrap();
            assert!(ha.is_dead());
            // Main is runnable by now, and no switch to it is.
            assert!(matches!(
                me.switch(&root, ()),
                Err(SwitchError::NotWaiting(()))
            ));
            let _ = me.receive();
        });
        let (da, db) = (drops.guard(), drops.guard());
        a.bind(move |me, ()| {
            let _da = da;
            let _ = me.switch(&hb, ());
            unreachable!()
        });
        b.bind(move |me, ()| {
            let _db = db;
            let _ = me.switch(&c, ());
            unreachable!()
        });
        // Main waits where its children answer: the exit of `b`, which the killer outlives, comes first.
        assert!(me.switch(&ha, ()).unwrap_err().is_exited());
        assert_eq!((drops.alive(), drops.dropped()), (0, 2));
        assert!(ha.is_dead() && hb.is_dead() && !c.is_dead());
    });
}

#[test]
fn of_every_ancestor_from_the_end_of_a_long_chain_of_resumes() {
    const LONG: usize = 200;
    let drops = Drops::new();
    let chain: RefCell<Vec<Greenlet<usize>>> = RefCell::default();
    scope(|s, me: &Current<usize>| {
        let (chain, drops) = (&chain, &drops);
        for _ in 0..LONG {
            let g = s.spawn(me, move |me: &Current<usize, usize>, n: usize| {
                let _counted = drops.guard();
                if n + 1 < LONG {
                    let next = chain.borrow()[n + 1];
                    let _ = me.switch(&next, n + 1);
                    unreachable!();
                }
                let all = chain.borrow().clone();
                for g in &all[..n] {
                    me.kill(g).unwrap();
                    assert!(g.is_dead());
                }
                assert_eq!(drops.alive(), 1);
                // Main has exits to see to, and goes on when nobody else wants control.
                let _ = me.receive();
                0
            });
            chain.borrow_mut().push(g);
        }
        let first = chain.borrow()[0];
        let _ = me.switch(&first, 0);
        assert_eq!(drops.dropped(), LONG - 1);
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, LONG));
}

#[test]
fn of_ones_own_parent() {
    scope(|s, me: &Current<u8>| {
        let root = me.handle();
        let parent = s.spawn(me, move |me: &Current<u8, u8>, n| {
            let _ = me.switch(&root, n);
            unreachable!()
        });
        assert_eq!(me.switch(&parent, 1).unwrap(), 1);
        let child = s.spawn(&parent, move |me: &Current<(), u8>, ()| {
            me.kill(&parent).unwrap();
            assert!(parent.is_dead());
            // Its value has nowhere to go: control goes to who opened the scope.
            9
        });
        // First comes the parent's exit, by the hub, or the child's end with nobody to take it: both say `Exited`.
        assert!(me.switch(&child, ()).unwrap_err().is_exited());
        assert!(child.is_dead());
    });
}

#[test]
fn swallowed_once_it_comes_again_at_the_next_wait() {
    let log = RefCell::new(Vec::new());
    scope(|s, me: &Current<()>| {
        let log = &log;
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let root = me.parent().unwrap();
            let first = catch_unwind(AssertUnwindSafe(|| me.switch(&root, ())));
            log.borrow_mut().push(("first", first.is_err()));
            let second = catch_unwind(AssertUnwindSafe(|| me.receive()));
            log.borrow_mut().push(("second", second.is_err()));
            let _ = me.switch(&root, ());
            unreachable!()
        });
        me.switch(&g, ()).unwrap();
        me.kill(&g).unwrap();
        assert!(g.is_dead());
    });
    assert_eq!(*log.borrow(), [("first", true), ("second", true)]);
}

#[test]
fn swallowed_for_good_by_returning_is_an_ordinary_end() {
    let drops = Drops::new();
    scope(|s, outer: &Current<crate::util::Counted>| {
        scope(|_, inner: &Current<()>| {
            let (root, drops) = (inner.handle(), &drops);
            let g = s.spawn(outer, move |me: &Current<(), _>, ()| {
                let _ = catch_unwind(AssertUnwindSafe(|| me.switch(&root, ())));
                drops.guard()
            });
            inner.switch(&g, ()).unwrap();
            inner.kill(&g).unwrap();
            assert!(g.is_dead());
        });
        // The value was returned: it is pending for the parent, although the killer was the same greenlet.
        assert_eq!(drops.alive(), 1);
        drop(outer.receive().unwrap());
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}

#[test]
fn by_two_at_once_both_go_on() {
    let log = RefCell::new(Vec::new());
    scope(|s, me: &Current<()>| {
        let (root, log) = (me.handle(), &log);
        let second = s.unbound::<(), ()>(me);
        let second_handle = second.handle();
        let childs_end = s.spawn(&second_handle, |_: &Current<(), ()>, ()| ());
        let victim = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let first = catch_unwind(AssertUnwindSafe(|| me.switch(&root, ())));
            assert!(first.is_err());
            // Wakes the second killer, which gets its turn when the kill comes again.
            me.kill(&childs_end).unwrap();
            let _ = me.receive();
            unreachable!()
        });
        let first = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let killed = me.kill(&victim);
            log.borrow_mut().push(("first", killed));
        });
        second.bind(move |me, ()| {
            assert!(me.switch(&root, ()).unwrap_err().is_exited());
            let killed = me.kill(&victim);
            log.borrow_mut().push(("second", killed));
        });
        me.switch(&victim, ()).unwrap();
        me.switch(&second_handle, ()).unwrap();
        let _ = me.switch(&first, ());
        while !(first.is_dead() && second_handle.is_dead()) {
            if let Err(SwitchError::Deadlock(d)) = me.receive() {
                panic!("{d}");
            }
        }
        assert!(victim.is_dead());
    });
    assert_eq!(*log.borrow(), [("second", Ok(())), ("first", Ok(()))]);
}

#[test]
fn of_the_dead_and_the_unstarted_again_and_again() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        for _ in 0..100 {
            let counted = drops.guard();
            let g = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
            for _ in 0..3 {
                me.kill(&g).unwrap();
                assert!(g.is_dead());
            }
        }
        assert_eq!((drops.alive(), drops.dropped()), (0, 100));
        // The killer was the parent: nothing is pending.
        assert!(matches!(me.receive(), Err(SwitchError::Deadlock(_))));
    });
}

#[test]
fn of_one_that_waits_for_a_generators_item() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let (root, drops2) = (me.handle(), drops.clone());
        let asks = s.spawn(me, move |_: &Current<(), ()>, ()| {
            let counted = drops2.guard();
            let mut generator = Generator::new(move |_: &Yield<u8>| {
                let _counted = counted;
                scope(|_, mine: &Current<()>| drop(mine.switch(&root, ())));
                unreachable!()
            });
            generator.next();
            unreachable!()
        });
        me.switch(&asks, ()).unwrap();
        assert_eq!(drops.alive(), 1);
        me.kill(&asks).unwrap();
        assert!(asks.is_dead());
        assert_eq!(
            (drops.alive(), drops.dropped()),
            (0, 1),
            "the generator ended with its owner"
        );
    });
}

#[test]
fn that_travels_around_a_ring() {
    // Each, when killed, kills the next from its destructor, until the ring is closed.
    const RING: usize = 100;
    struct KillsNext<'a>(
        &'a Current<usize, ()>,
        &'a RefCell<Vec<Greenlet<usize>>>,
        usize,
    );
    impl Drop for KillsNext<'_> {
        fn drop(&mut self) {
            let next = self.1.borrow()[(self.2 + 1) % RING];
            // The last one kills the first, which waits for all the others: that can only be refused, or be done.
            let _ = self.0.kill(&next);
        }
    }
    let ring = RefCell::new(Vec::new());
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let (ring, root, drops) = (&ring, me.handle(), &drops);
        for _ in 0..RING {
            let g = s.spawn(me, move |me: &Current<usize, ()>, n| {
                let _counted = drops.guard();
                let _kills = KillsNext(me, ring, n);
                let _ = me.switch(&root, ());
                unreachable!()
            });
            ring.borrow_mut().push(g);
        }
        let all = ring.borrow().clone();
        for (n, g) in all.iter().enumerate() {
            me.switch(g, n).unwrap();
        }
        me.kill(&all[0]).unwrap();
        assert!(all.iter().all(Greenlet::is_dead));
        assert_eq!((drops.alive(), drops.dropped()), (0, RING));
    });
}

#[test]
fn that_reaches_into_nested_scopes_ends_the_innermost_first() {
    struct Says<'a>(&'a RefCell<Vec<&'static str>>, &'static str);
    impl Drop for Says<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let log = RefCell::new(Vec::new());
    scope(|s, me: &Current<()>| {
        let (root, log) = (me.handle(), &log);
        let g = s.spawn(me, move |_: &Current<(), ()>, ()| {
            let _outer = Says(log, "outer");
            scope(|s, inner: &Current<()>| {
                let _inner = Says(log, "inner");
                let nested = s.spawn(inner, move |me: &Current<(), ()>, ()| {
                    let _nested = Says(log, "nested");
                    let _ = me.switch(&root, ());
                    unreachable!()
                });
                let _ = inner.switch(&nested, ());
                unreachable!()
            });
        });
        me.switch(&g, ()).unwrap();
        me.kill(&g).unwrap();
    });
    assert_eq!(*log.borrow(), ["inner", "nested", "outer"]);
}

#[test]
fn by_a_victim_of_its_own_reaper_is_put_off() {
    alone("kills::by_a_victim_of_its_own_reaper_is_put_off", || {
        struct Reaps<'s, 'env>(&'s Scope<'s, 'env>, Greenlet<()>, &'env Cell<bool>);
        impl Drop for Reaps<'_, '_> {
            fn drop(&mut self) {
                // A reap may not be broken off: its reaper is asked to end, and ends when this one has.
                self.0.reap(&self.1);
                self.2.set(!self.1.is_dead());
            }
        }
        let (put_off, drops) = (Cell::new(false), Drops::new());
        scope(|s, me: &Current<()>| {
            let first = s.unbound::<(), ()>(me);
            let (first_handle, put_off) = (first.handle(), &put_off);
            let second = s.spawn(me, move |me: &Current<(), ()>, ()| {
                let _reaps = Reaps(s, first_handle, put_off);
                let _ = me.switch(&me.parent().unwrap(), ());
                unreachable!()
            });
            let counted = drops.guard();
            first.bind(move |me, ()| {
                let _counted = counted;
                s.reap(&second);
                assert!(second.is_dead());
                let _ = me.switch(&me.parent().unwrap(), ());
                unreachable!()
            });
            me.switch(&second, ()).unwrap();
            assert!(me.switch(&first_handle, ()).unwrap_err().is_exited());
            let _ = me.receive();
            assert!(first_handle.is_dead() && second.is_dead());
        });
        assert!(put_off.get());
        assert_eq!((drops.alive(), drops.dropped()), (0, 1));
    });
}
