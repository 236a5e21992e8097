//! Panics, scopes and switches in destructors: while unwinding, while being killed, of captures that never ran.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Mutex};

use greenloom::greenlet::{Current, Greenlet, PanicPolicy, SwitchError, scope, set_panic_policy};

use crate::util::{Counted, Drops, alone};

/// Panics when dropped, unless the thread is panicking already.
struct Bomb(&'static str, #[allow(dead_code)] Counted);

impl Drop for Bomb {
    fn drop(&mut self) {
        resume_unwind(Box::new(self.0));
    }
}

/// Runs `f` with a policy that collects what is reported instead of writing it.
fn reported(f: impl FnOnce()) -> Vec<String> {
    let log = Arc::new(Mutex::new(Vec::new()));
    let told = log.clone();
    let old = set_panic_policy(PanicPolicy::Custom(Arc::new(move |p| {
        assert!(p.spawn_site().is_some_and(|s| s.file().ends_with(".rs")));
        told.lock()
            .unwrap()
            .push(match p.payload().downcast_ref::<&'static str>() {
                Some(text) => (*text).to_owned(),
                None => "?".to_owned(),
            });
    })));
    f();
    set_panic_policy(old);
    log.lock().unwrap().clone()
}

#[test]
fn a_panic_from_the_captures_of_an_unstarted_body_is_reported_not_thrown() {
    alone(
        "destructors::a_panic_from_the_captures_of_an_unstarted_body_is_reported_not_thrown",
        || {
            let drops = Drops::new();
            let told = reported(|| {
                scope(|s, me: &Current<()>| {
                    let bomb = Bomb("killed", drops.guard());
                    let g = s.spawn(me, move |_: &Current<(), ()>, ()| drop(bomb));
                    assert_eq!(me.kill(&g), Ok(()));
                    let bomb = Bomb("reaped", drops.guard());
                    let g = s.spawn(me, move |_: &Current<(), ()>, ()| drop(bomb));
                    s.reap(&g);
                    let bomb = Bomb("thrown", drops.guard());
                    let g = s.spawn(me, move |_: &Current<(), ()>, ()| drop(bomb));
                    let caught = catch_unwind(AssertUnwindSafe(|| me.throw(&g, Box::new(5))));
                    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&5));
                    let bomb = Bomb("scope", drops.guard());
                    s.spawn(me, move |_: &Current<(), ()>, ()| drop(bomb));
                });
            });
            assert_eq!(told, ["killed", "reaped", "thrown", "scope"]);
            assert_eq!((drops.alive(), drops.dropped()), (0, 4));
        },
    );
}

#[test]
fn results_that_nobody_takes_may_panic_when_dropped() {
    alone(
        "destructors::results_that_nobody_takes_may_panic_when_dropped",
        || {
            let drops = Drops::new();
            let told = reported(|| {
                scope(|s, outer: &Current<Bomb>| {
                    // Pending when the scope ends.
                    let pending = s.spawn(outer, |_: &Current<(), Bomb>, ()| {
                        Bomb("pending", drops.guard())
                    });
                    scope(|s, inner: &Current<()>| {
                        let _ = inner.switch(&pending, ());
                        // Addressed to a parent that is dead.
                        let dead = s.spawn(inner, |_: &Current<Bomb, ()>, _| ());
                        inner.kill(&dead).unwrap();
                        let orphan = s.spawn(&dead, |_: &Current<(), Bomb>, ()| {
                            Bomb("orphan", drops.guard())
                        });
                        assert!(inner.switch(&orphan, ()).unwrap_err().is_exited());
                    });
                });
            });
            assert_eq!(told, ["orphan", "pending"]);
            assert_eq!((drops.alive(), drops.dropped()), (0, 2));
        },
    );
}

#[test]
fn a_panic_that_nobody_is_left_to_receive_is_reported() {
    alone(
        "destructors::a_panic_that_nobody_is_left_to_receive_is_reported",
        || {
            let told = reported(|| {
                scope(|s, outer: &Current<()>| {
                    let panics = s.spawn(outer, |_: &Current<(), ()>, ()| {
                        resume_unwind(Box::new("pending"))
                    });
                    scope(|_, inner: &Current<()>| drop(inner.switch(&panics, ())));
                });
            });
            assert_eq!(told, ["pending"]);
        },
    );
}

#[test]
fn a_destructor_may_panic_and_catch_while_it_is_killed() {
    struct Careful(Drops);
    impl Drop for Careful {
        fn drop(&mut self) {
            let bomb = Bomb("inside", self.0.guard());
            let caught = catch_unwind(AssertUnwindSafe(|| drop(bomb)));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"inside"));
        }
    }
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let careful = (Careful(drops.clone()), Careful(drops.clone()));
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _careful = careful;
            let _ = me.switch(&me.parent().unwrap(), ());
        });
        me.switch(&g, ()).unwrap();
        assert_eq!(me.kill(&g), Ok(()));
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 2));
}

#[test]
fn a_panic_after_a_swallowed_kill_goes_to_the_parent() {
    scope(|s, outer: &Current<()>| {
        scope(|_, inner: &Current<()>| {
            let root = inner.handle();
            let g = s.spawn(outer, move |me: &Current<(), ()>, ()| {
                let _ = catch_unwind(AssertUnwindSafe(|| me.switch(&root, ())));
                resume_unwind(Box::new("instead"))
            });
            inner.switch(&g, ()).unwrap();
            assert_eq!(inner.kill(&g), Ok(()));
        });
        let caught = catch_unwind(AssertUnwindSafe(|| outer.receive()));
        assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"instead"));
    });
}

/// Opens a scope when dropped, spawns in it, and ends with an unstarted and a pending one.
struct OpensScope<'a>(&'a RefCell<Vec<&'static str>>, Drops);

impl Drop for OpensScope<'_> {
    fn drop(&mut self) {
        let (log, drops) = (self.0, &self.1);
        scope(|s, me: &Current<u8>| {
            let counted = drops.guard();
            let g = s.spawn(me, move |_: &Current<u8, u8>, n| {
                drop(counted);
                n
            });
            log.borrow_mut().push(match me.switch(&g, 1) {
                Ok(1) => "switched",
                Err(SwitchError::Unwinding(1)) => "refused",
                other => panic!("{other:?}"),
            });
        });
    }
}

#[test]
fn a_scope_in_a_destructor_ends_its_greenlets_unwinding_or_not() {
    let (log, drops) = (RefCell::new(Vec::new()), Drops::new());
    scope(|s, me: &Current<()>| {
        let (log, drops) = (&log, &drops);
        drop(OpensScope(log, drops.clone()));
        // In a panic of main, of a greenlet, and in a kill.
        let caught = catch_unwind(AssertUnwindSafe(|| {
            let _opens = OpensScope(log, drops.clone());
            resume_unwind(Box::new(()));
        }));
        assert!(caught.is_err());
        let panics = s.spawn(me, |_: &Current<(), ()>, ()| {
            let _opens = OpensScope(log, drops.clone());
            resume_unwind(Box::new(()));
        });
        assert!(catch_unwind(AssertUnwindSafe(|| me.switch(&panics, ()))).is_err());
        let killed = s.spawn(me, |me: &Current<(), ()>, ()| {
            let _opens = OpensScope(log, drops.clone());
            let _ = me.switch(&me.parent().unwrap(), ());
        });
        me.switch(&killed, ()).unwrap();
        me.kill(&killed).unwrap();
    });
    assert_eq!(*log.borrow(), ["switched", "refused", "refused", "refused"]);
    assert_eq!((drops.alive(), drops.dropped()), (0, 4));
}

#[test]
fn a_destructor_at_the_end_of_a_scope_may_spawn_there() {
    let drops = Drops::new();
    let left = Cell::new(50);
    struct Respawns<'s, 'env> {
        scope: &'s greenloom::greenlet::Scope<'s, 'env>,
        parent: greenloom::greenlet::Greenlet<()>,
        left: &'env Cell<u32>,
        _counted: Counted,
        drops: Drops,
    }
    impl Drop for Respawns<'_, '_> {
        fn drop(&mut self) {
            let n = self.left.get();
            if n > 0 {
                self.left.set(n - 1);
                let next = Respawns {
                    scope: self.scope,
                    parent: self.parent,
                    left: self.left,
                    _counted: self.drops.guard(),
                    drops: self.drops.clone(),
                };
                self.scope
                    .spawn(&self.parent, move |_: &Current<(), ()>, ()| drop(next));
            }
        }
    }
    scope(|s, me: &Current<()>| {
        let first = Respawns {
            scope: s,
            parent: me.handle(),
            left: &left,
            _counted: drops.guard(),
            drops: drops.clone(),
        };
        s.spawn(me, move |_: &Current<(), ()>, ()| drop(first));
    });
    assert_eq!((drops.alive(), drops.dropped(), left.get()), (0, 51, 0));
}

#[test]
fn a_kill_that_reaches_who_drops_the_captures_of_another_is_no_panic_of_that_one() {
    struct Away(Greenlet<()>, #[allow(dead_code)] Counted);
    impl Drop for Away {
        fn drop(&mut self) {
            let _ = self.0.switch(());
        }
    }
    alone(
        "destructors::a_kill_that_reaches_who_drops_the_captures_of_another_is_no_panic_of_that_one",
        || {
            let drops = Drops::new();
            let told = reported(|| {
                scope(|s, me: &Current<()>| {
                    let away = Away(me.handle(), drops.guard());
                    let unstarted = s.spawn(me, move |_: &Current<(), ()>, ()| drop(away));
                    let killer = s.spawn(me, move |me: &Current<(), ()>, ()| {
                        me.kill(&unstarted).unwrap();
                        let _ = me.receive();
                        unreachable!()
                    });
                    // In the middle of the drop.
                    me.switch(&killer, ()).unwrap();
                    assert!(!unstarted.is_dead());
                    me.kill(&killer).unwrap();
                    assert!(unstarted.is_dead() && killer.is_dead());
                });
            });
            assert!(told.is_empty(), "{told:?}");
            assert_eq!((drops.alive(), drops.dropped()), (0, 1));
        },
    );
}
