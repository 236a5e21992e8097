//! Every refusal: seen once, before control moves, with the value handed back and nothing lost.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use greenloom::greenlet::{Current, Greenlet, KillError, SwitchError, scope};

use crate::util::{Counted, Drops};

/// The value of a refusal, which must be there.
#[track_caller]
fn back<R, T>(result: Result<R, SwitchError<T>>, name: &str) -> T {
    let Err(error) = result else {
        panic!("not refused");
    };
    assert!(format!("{error:?}").starts_with(name), "{error:?}");
    let text = error.to_string();
    assert!(
        text.starts_with(char::is_lowercase) && !text.ends_with('.'),
        "{text}"
    );
    error.into_inner().expect("the value")
}

#[test]
fn each_hands_the_value_back_and_drops_nothing() {
    let drops = Drops::new();
    type In = Counted;
    scope(|s, outer: &Current<In>| {
        let value = drops.guard();
        // Dead.
        let dead = s.spawn(outer, |_: &Current<In, In>, v| v);
        let value = outer.switch(&dead, value).unwrap();
        let value = back(outer.switch(&dead, value), "Dead");
        // Unbound.
        let unbound = s.unbound::<In, In>(outer);
        let value = back(outer.switch(&unbound.handle(), value), "Unbound");
        drop(unbound);
        // NotWaiting: the running one, by another inbox.
        let value = scope(|_, inner: &Current<In>| {
            back(inner.switch(&outer.handle(), value), "NotWaiting")
        });
        // NotCurrent.
        let (value, outer_handle) = (RefCell::new(Some(value)), outer.handle());
        scope(|s, inner: &Current<()>| {
            let value = &value;
            let g = s.spawn(inner, move |me: &Current<(), ()>, ()| {
                let v = value.take().unwrap();
                let v = back(outer.switch(&outer_handle, v), "NotCurrent");
                // InboxType: the innermost inbox here takes ().
                let v = back(outer_handle.switch(v), "InboxType");
                value.replace(Some(v));
                let _ = me;
            });
            inner.switch(&g, ()).unwrap();
        });
        // Pending.
        let child = s.spawn(outer, |_: &Current<(), In>, ()| drops.guard());
        scope(|_, inner: &Current<()>| drop(inner.switch(&child, ())));
        let new = s.spawn(outer, |_: &Current<In, In>, v| v);
        let value = back(outer.switch(&new, value.take().unwrap()), "Pending");
        drop(outer.receive().unwrap());
        assert_eq!((drops.alive(), drops.dropped()), (1, 1));
        drop(outer.switch(&new, value).unwrap());
    });
    assert_eq!(drops.alive(), 0);
}

/// What happens to a switch, a throw, a receive and a kill in a destructor that runs while unwinding.
struct TriesAll<'a> {
    me: &'a Current<u32>,
    to: Greenlet<u32>,
    seen: &'a Cell<u32>,
}

impl Drop for TriesAll<'_> {
    fn drop(&mut self) {
        assert!(std::thread::panicking());
        assert_eq!(back(self.me.switch(&self.to, 7), "Unwinding"), 7);
        assert_eq!(back(self.to.switch(8), "Unwinding"), 8);
        back(self.me.receive(), "Unwinding");
        assert!(back(self.me.throw(&self.to, Box::new(9)), "Unwinding").is::<i32>());
        self.seen.set(self.seen.get() + 1);
    }
}

#[test]
fn nothing_but_a_kill_leaves_an_unwinding_destructor() {
    let seen = Cell::new(0);
    scope(|s, me: &Current<u32>| {
        let to = s.spawn(me, |_: &Current<u32, u32>, n| n);
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _tries = TriesAll {
                me,
                to,
                seen: &seen,
            };
            resume_unwind(Box::new(()));
        }));
        assert!(caught.is_err());
        assert_eq!(seen.get(), 1);
        // Nothing of it sticks.
        assert_eq!(me.switch(&to, 3).unwrap(), 3);
    });
}

#[test]
fn a_killed_greenlet_may_not_switch_in_its_destructors_but_may_kill() {
    let log = RefCell::new(Vec::new());
    struct Tries<'a>(
        &'a Current<u32, ()>,
        Greenlet<u32>,
        &'a RefCell<Vec<&'static str>>,
    );
    impl Drop for Tries<'_> {
        fn drop(&mut self) {
            assert_eq!(back(self.0.switch(&self.1, 1), "Unwinding"), 1);
            assert_eq!(self.0.kill(&self.0.handle()), Err(KillError::Unwinding));
            self.2.borrow_mut().push("refused");
            assert_eq!(self.0.kill(&self.1), Ok(()));
            self.2.borrow_mut().push("killed");
        }
    }
    scope(|s, me: &Current<()>| {
        let (root, log) = (me.handle(), &log);
        let other = s.spawn(me, move |me: &Current<u32, ()>, _| {
            let _ = me.switch(&root, ());
        });
        let dying = s.spawn(me, move |me: &Current<u32, ()>, _| {
            let _tries = Tries(me, other, log);
            let _ = me.switch(&root, ());
        });
        me.switch(&other, 0).unwrap();
        me.switch(&dying, 0).unwrap();
        me.kill(&dying).unwrap();
        assert!(other.is_dead() && dying.is_dead());
    });
    assert_eq!(*log.borrow(), ["refused", "killed"]);
}

#[test]
fn a_switch_from_a_destructor_outside_of_an_unwinding_is_fine() {
    struct Asks<'a>(&'a Current<u32>, Greenlet<u32>, &'a Cell<u32>);
    impl Drop for Asks<'_> {
        fn drop(&mut self) {
            self.2.set(self.0.switch(&self.1, 20).unwrap());
        }
    }
    let answer = Cell::new(0);
    scope(|s, me: &Current<u32>| {
        let g = s.spawn(me, |_: &Current<u32, u32>, n| n + 1);
        drop(Asks(me, g, &answer));
    });
    assert_eq!(answer.get(), 21);
}

#[test]
fn a_neighbours_unwinding_is_not_taken_for_ones_own() {
    // The killer unwinds, and is suspended in `kill` meanwhile; its victim swallows the kill and uses a generator.
    struct Kills<'a>(&'a Current<()>, Greenlet<()>);
    impl Drop for Kills<'_> {
        fn drop(&mut self) {
            self.0.kill(&self.1).unwrap();
        }
    }
    let items = RefCell::new(Vec::new());
    scope(|s, me: &Current<()>| {
        let items = &items;
        let victim = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let killed = catch_unwind(AssertUnwindSafe(|| me.switch(&me.parent().unwrap(), ())));
            assert!(killed.is_err());
            items
                .borrow_mut()
                .extend(greenloom::greenlet::Generator::new(|y| {
                    y.yield_(1);
                    y.yield_(2);
                }));
        });
        me.switch(&victim, ()).unwrap();
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _kills = Kills(me, victim);
            resume_unwind(Box::new(()));
        }));
        assert!(caught.is_err() && victim.is_dead());
    });
    assert_eq!(*items.borrow(), [1, 2]);
}

#[test]
fn a_deadlock_comes_to_main_and_may_come_again() {
    scope(|s, me: &Current<u8>| {
        for _ in 0..3 {
            let error = me.receive().unwrap_err();
            assert!(matches!(error, SwitchError::Deadlock(_)));
            assert!(error.to_string().contains("deadlock"), "{error}");
        }
        // Two that wait for nobody: control is lost to main.
        let g = s.spawn(me, |me: &Current<(), u8>, ()| {
            let _ = me.receive();
            1
        });
        assert!(matches!(me.switch(&g, ()), Err(SwitchError::Deadlock(_))));
        assert!(g.is_waiting());
        assert_eq!(me.switch(&g, ()).unwrap(), 1);
    });
}
