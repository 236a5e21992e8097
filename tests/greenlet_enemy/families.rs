//! Parents that are dead, unstarted, unbound, re-parented, or about to be.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use greenloom::greenlet::{Current, Greenlet, ParentError, SwitchError, scope};

use crate::util::{Counted, Drops};

#[test]
fn an_unstarted_parent_that_dies_of_a_panic_hands_it_to_its_own_parent_as_it_is_then() {
    let drops = Drops::new();
    scope(|s, me: &Current<&'static str>| {
        let catches = s.spawn(me, |me: &Current<(), &'static str>, ()| {
            let root = me.parent().unwrap();
            let caught = catch_unwind(AssertUnwindSafe(|| me.switch(&root, "ready")));
            *caught.unwrap_err().downcast::<&'static str>().unwrap()
        });
        let counted = (drops.guard(), drops.guard());
        let (a, b) = counted;
        let middle = s.spawn(&catches, move |_: &Current<(), ()>, ()| drop(a));
        let lowest = s.spawn(&middle, move |_: &Current<(), ()>, ()| drop(b));
        let fails = s.spawn(&lowest, |_: &Current<(), ()>, ()| {
            resume_unwind(Box::new("it"))
        });
        assert_eq!(me.switch(&catches, ()).unwrap(), "ready");
        assert_eq!(me.switch(&fails, ()).unwrap(), "it");
        assert!(middle.is_dead() && lowest.is_dead() && catches.is_dead());
        assert_eq!((drops.alive(), drops.dropped()), (0, 2));
    });
}

#[test]
fn an_exit_kills_unstarted_parents_too() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let counted = drops.guard();
        let parent = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        let exits = s.spawn(&parent, |me: &Current<(), ()>, ()| {
            let _ = me.kill(&me.handle());
        });
        assert!(me.switch(&exits, ()).unwrap_err().is_exited());
        assert!(parent.is_dead());
        assert_eq!(drops.alive(), 0);
        // And so does a kill by somebody else, here main, who is not told twice.
        let counted = drops.guard();
        let parent = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        let child = s.spawn(&parent, |me: &Current<(), ()>, ()| {
            let _ = me.switch(&me.handle(), ());
        });
        me.kill(&child).unwrap();
        assert!(child.is_dead() && parent.is_dead());
        assert!(matches!(me.receive(), Err(SwitchError::Deadlock(_))));
        assert_eq!((drops.alive(), drops.dropped()), (0, 2));
    });
}

#[test]
fn what_ends_with_a_dead_parent_returns_control_to_the_scopes_opener() {
    let drops = Drops::new();
    let handle = Cell::new(None);
    let (drops2, handle) = (&drops, &handle);
    scope(|s, me: &Current<u8>| {
        let root = me.handle();
        let opener = s.spawn(me, move |_: &Current<u8, u8>, _| {
            scope(|s, inner: &Current<u8>| {
                let dead = s.spawn(inner, |_: &Current<Counted, u8>, _| 0);
                inner.kill(&dead).unwrap();
                let orphan = s.spawn(&dead, move |me: &Current<u8, Counted>, n| {
                    handle.set(Some(me.handle()));
                    assert_eq!(me.switch(&root, n).unwrap(), 5);
                    drops2.guard()
                });
                // Main resumes the orphan, not this one: its end comes here all the same.
                assert!(inner.switch(&orphan, 3).unwrap_err().is_exited());
                assert_eq!((drops2.alive(), drops2.dropped()), (0, 1));
            });
            9
        });
        assert_eq!(me.switch(&opener, 0).unwrap(), 3);
        assert_eq!(me.switch(&handle.get().unwrap(), 5).unwrap(), 9);
        assert!(opener.is_dead());
    });
}

#[test]
fn reparenting_while_running_moves_the_end_not_the_past() {
    scope(|s, me: &Current<&'static str>| {
        let root = me.handle();
        let first = s.spawn(me, move |me: &Current<&str, &'static str>, came| {
            assert_eq!(came, "start");
            let next = me.switch(&root, "first waits");
            unreachable!("{next:?}")
        });
        let second = s.spawn(me, move |me: &Current<&str, &'static str>, came| {
            assert_eq!(came, "start");
            let next = me.switch(&root, "second waits").unwrap();
            assert_eq!(next, "the end");
            "second got it"
        });
        let child = s.spawn(&first, move |me: &Current<(), &str>, ()| {
            me.switch(&root, "child waits").unwrap();
            assert_eq!(me.parent(), Some(first));
            me.set_parent(&second).unwrap();
            "the end"
        });
        assert_eq!(me.switch(&first, "start").unwrap(), "first waits");
        assert_eq!(me.switch(&second, "start").unwrap(), "second waits");
        assert_eq!(me.switch(&child, ()).unwrap(), "child waits");
        assert_eq!(me.switch(&child, ()).unwrap(), "second got it");
        assert!(!first.is_dead() && second.is_dead() && child.is_dead());
    });
}

#[test]
fn circles_are_refused_however_long() {
    const LONG: usize = 50;
    let chain: RefCell<Vec<Greenlet<()>>> = RefCell::default();
    let refused = Cell::new(0);
    scope(|s, me: &Current<()>| {
        let (chain, refused) = (&chain, &refused);
        // Each is the child of the one before.
        let mut parent = me.handle();
        for n in 0..LONG {
            let g = s.spawn(&parent, move |me: &Current<(), ()>, ()| {
                for descendant in &chain.borrow()[n..] {
                    assert_eq!(me.set_parent(descendant), Err(ParentError::Cycle));
                    refused.set(refused.get() + 1);
                }
                for ancestor in chain.borrow()[..n].iter().filter(|g| !g.is_dead()) {
                    me.set_parent(ancestor).unwrap();
                }
            });
            chain.borrow_mut().push(g);
            parent = g;
        }
        let first = chain.borrow()[0];
        me.switch(&first, ()).unwrap();
        assert_eq!(refused.get(), LONG);
    });
}

#[test]
fn an_unbound_parent_keeps_what_its_children_end_with_until_it_runs() {
    let drops = Drops::new();
    scope(|s, me: &Current<&'static str>| {
        let unbound = s.unbound::<Counted, &'static str>(me);
        let parent = unbound.handle();
        for _ in 0..2 {
            let child = s.spawn(&parent, |_: &Current<(), Counted>, ()| drops.guard());
            assert!(matches!(
                me.switch(&child, ()),
                Err(SwitchError::Deadlock(_))
            ));
        }
        assert_eq!(drops.alive(), 2);
        unbound.bind(|me, first| {
            drop(first);
            drop(me.receive().unwrap());
            drop(me.receive().unwrap());
            "all of them"
        });
        assert_eq!(me.switch(&parent, drops.guard()).unwrap(), "all of them");
        // One that is killed drops them.
        let unbound = s.unbound::<Counted, &'static str>(me);
        let child = s.spawn(&unbound.handle(), |_: &Current<(), Counted>, ()| {
            drops.guard()
        });
        let _ = me.switch(&child, ());
        assert_eq!(drops.alive(), 1);
        me.kill(&unbound.handle()).unwrap();
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 4));
}

#[test]
fn a_child_of_an_inbox_that_a_scope_opened_answers_there_and_nowhere_else() {
    scope(|s, outer: &Current<u8>| {
        let late = scope(|_, inner: &Current<u16>| {
            let to_inner = s.spawn(&inner.handle(), |_: &Current<(), u16>, ()| 500);
            let late = s.spawn(&inner.handle(), |_: &Current<(), u16>, ()| 600);
            assert_eq!(inner.switch(&to_inner, ()).unwrap(), 500);
            late
        });
        // Its parent's inbox is gone: the value is dropped and control comes to the scope's opener.
        assert!(outer.switch(&late, ()).unwrap_err().is_exited());
    });
}
