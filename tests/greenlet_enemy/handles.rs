//! Handles that outlive what they name: the greenlet, its slot, its scope.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use greenloom::greenlet::{
    Current, Generator, Greenlet, KillError, ParentError, SwitchError, scope,
};

use crate::util::{Drops, alone, mapped_kib, mappings};

/// Everything that can be asked of a dead handle, and what must be answered.
#[track_caller]
fn is_really_dead(me: &Current<u8>, g: &Greenlet<u8>) {
    assert!(g.is_dead() && g.is_started() && !g.is_waiting() && !g.is_current());
    assert_eq!(g.id(), None);
    assert!(format!("{g:?}").contains("dead"), "{g:?}");
    assert!(matches!(me.switch(g, 7), Err(SwitchError::Dead(7))));
    assert!(matches!(g.switch(8), Err(SwitchError::Dead(8))));
    assert!(matches!(
        me.throw(g, Box::new(())),
        Err(SwitchError::Dead(_))
    ));
    assert_eq!(me.kill(g), Ok::<(), KillError>(()));
}

#[test]
fn stale_ones_match_nothing_after_a_hundred_thousand_reuses_of_the_slot() {
    let stale = scope(|s, me: &Current<u8>| {
        let g = s.spawn(me, |_: &Current<u8, u8>, n| n);
        me.switch(&g, 1).unwrap();
        is_really_dead(me, &g);
        g
    });
    let mut all = Vec::new();
    for round in 0..100_000_u32 {
        let g = scope(|s, me: &Current<u8>| {
            // Suspended in the slot that `stale` named, at its first inbox and at its second.
            let g = s.spawn(me, |me: &Current<u8, u8>, n| {
                me.switch(&me.parent().unwrap(), n).unwrap()
            });
            assert!(stale.is_dead() && stale != g);
            if round % 1000 == 0 {
                is_really_dead(me, &stale);
                me.switch(&g, 1).unwrap();
                is_really_dead(me, &stale);
            }
            g
        });
        if round % 1000 == 0 {
            all.push(g);
        }
    }
    scope(|s, me: &Current<u8>| {
        let living = s.spawn(me, |_: &Current<u8, u8>, n| n);
        for g in &all {
            is_really_dead(me, g);
        }
        assert_eq!(me.switch(&living, 3).unwrap(), 3);
    });
}

#[test]
fn a_dead_parent_whose_slot_is_anothers_gets_nothing() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let parent = s.spawn(me, |_: &Current<crate::util::Counted, ()>, _| ());
        let child = s.spawn(&parent, |_: &Current<(), _>, ()| drops.guard());
        me.kill(&parent).unwrap();
        // The newest slot given back is the next one taken.
        let usurper = s.spawn(
            me,
            |_: &Current<crate::util::Counted, ()>, _| unreachable!(),
        );
        assert!(me.switch(&child, ()).unwrap_err().is_exited());
        assert!(!usurper.is_started() && !usurper.is_dead());
        let dead = parent;
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _ = dead;
            assert!(me.parent().is_some());
        });
        me.switch(&g, ()).unwrap();
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}

#[test]
fn ids_are_never_given_twice() {
    let mut seen = HashSet::new();
    scope(|s, me: &Current<()>| {
        seen.insert(me.id());
        for _ in 0..10_000 {
            let g = s.spawn(me, |_: &Current<(), ()>, ()| ());
            assert!(seen.insert(g.id().unwrap()));
            me.kill(&g).unwrap();
        }
    });
}

#[test]
fn an_inbox_of_a_scope_that_ended_is_not_that_of_the_next() {
    let mut old: Vec<Greenlet<u8>> = Vec::new();
    for _ in 0..100 {
        scope(|_, me: &Current<u8>| {
            for g in &old {
                assert!(g.is_dead() && *g != me.handle());
                assert!(matches!(me.switch(g, 1), Err(SwitchError::Dead(1))));
            }
            old.push(me.handle());
        });
    }
}

#[test]
fn killing_by_the_handle_of_an_inbox_that_is_gone_spares_the_greenlet() {
    let inbox = Cell::new(None);
    scope(|s, me: &Current<u8>| {
        let (root, inbox) = (me.handle(), &inbox);
        let g = s.spawn(me, move |me: &Current<u8, u8>, n| {
            scope(|_, inner: &Current<u8>| inbox.set(Some(inner.handle())));
            let _ = me.switch(&root, n);
            n + 1
        });
        assert_eq!(me.switch(&g, 1).unwrap(), 1);
        let gone: Greenlet<u8> = inbox.get().unwrap();
        assert_eq!(me.kill(&gone), Ok(()));
        assert!(!g.is_dead());
        // As a parent it is dead as well.
        let refused = s.spawn(me, move |me: &Current<(), u8>, ()| {
            assert_eq!(me.set_parent(&gone), Err(ParentError::Dead));
            5
        });
        assert_eq!(me.switch(&refused, ()).unwrap(), 5);
        assert_eq!(me.switch(&g, 0).unwrap(), 2);
    });
}

#[test]
fn a_killed_inbox_of_a_scope_ends_the_whole_greenlet() {
    scope(|s, me: &Current<()>| {
        let (root, inbox) = (me.handle(), RefCell::new(None));
        let inbox = std::rc::Rc::new(inbox);
        let told = inbox.clone();
        let g = s.spawn(me, move |_: &Current<(), ()>, ()| {
            scope(|_, inner: &Current<u8>| {
                told.replace(Some(inner.handle()));
                let _ = inner.switch(&root, ());
            });
        });
        me.switch(&g, ()).unwrap();
        let inner = inbox.take().unwrap();
        me.kill(&inner).unwrap();
        assert!(g.is_dead() && inner.is_dead());
    });
}

#[test]
fn ten_thousand_rounds_of_everything_leave_nothing_behind() {
    alone(
        "handles::ten_thousand_rounds_of_everything_leave_nothing_behind",
        || {
            let drops = Drops::new();
            for _ in 0..100 {
                everything(&drops);
            }
            let before = (mapped_kib(), mappings());
            for _ in 0..10_000 {
                everything(&drops);
            }
            assert_eq!(drops.alive(), 0);
            let grown = mapped_kib() - before.0;
            assert!(
                cfg!(feature = "sanitizer") || grown < 4 << 10,
                "{grown} KiB"
            );
            assert!(mappings() <= before.1 + 4);
        },
    );
}

/// One greenlet for each way to end.
fn everything(drops: &Drops) {
    scope(|s, me: &Current<()>| {
        let root = me.handle();
        let counted = drops.guard();
        let returns = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        me.switch(&returns, ()).unwrap();
        let counted = drops.guard();
        let suspended = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _counted = counted;
            let _ = me.switch(&root, ());
        });
        me.switch(&suspended, ()).unwrap();
        let counted = drops.guard();
        let killed = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _counted = counted;
            let _ = me.switch(&root, ());
        });
        me.switch(&killed, ()).unwrap();
        me.kill(&killed).unwrap();
        let counted = drops.guard();
        s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        let counted = drops.guard();
        let generator = Generator::new(move |y| {
            let _counted = counted;
            y.yield_(1);
        });
        assert_eq!(generator.take(1).count(), 1);
        let child = s.spawn(me, |_: &Current<(), ()>, ()| {
            std::panic::resume_unwind(Box::new(drops.guard()))
        });
        let caught =
            std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| me.switch(&child, ())));
        drop(caught.unwrap_err());
        let unbound = s.unbound::<(), ()>(me);
        let counted = drops.guard();
        unbound.bind(move |_, ()| drop(counted));
        drop(s.unbound::<(), ()>(me));
        let pending = s.spawn(me, |_: &Current<(), ()>, ()| ());
        scope(|_, inner: &Current<()>| drop(inner.switch(&pending, ())));
    });
}
