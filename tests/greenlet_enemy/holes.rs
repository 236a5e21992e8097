//! User code in the middle of the engine's work: destructors, trace functions and reports that switch, spawn, kill
//! or end scopes themselves. Each test here once failed, most of them by corrupting memory.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use greenloom::greenlet::{
    Current, Generator, Greenlet, KillError, SwitchError, Yield, scope, set_trace,
};

use crate::alone_leaking;
use crate::util::{Counted, Drops, alone};

/// Allocates a stack and uses it when dropped.
struct Spawner(#[allow(dead_code)] Counted);

impl Drop for Spawner {
    fn drop(&mut self) {
        let items: Vec<u32> = Generator::new(|y| {
            for n in 0..3 {
                y.yield_(n);
            }
        })
        .collect();
        assert_eq!(items, [0, 1, 2]);
    }
}

#[test]
fn a_dying_greenlets_stack_is_not_handed_out_to_what_its_report_spawns() {
    alone(
        "holes::a_dying_greenlets_stack_is_not_handed_out_to_what_its_report_spawns",
        || {
            let drops = Drops::new();
            scope(|s, me: &Current<()>| {
                let dead = s.spawn(me, |_: &Current<(), ()>, ()| ());
                let unstarted = s.spawn(&dead, |_: &Current<(), ()>, ()| unreachable!());
                let payload = Spawner(drops.guard());
                let dying = s.spawn(&unstarted, move |_: &Current<(), ()>, ()| {
                    resume_unwind(Box::new(payload))
                });
                me.switch(&dead, ()).unwrap();
                // The panic kills the unstarted parent, whose own parent is dead: it is reported and dropped.
                assert!(me.switch(&dying, ()).unwrap_err().is_exited());
                assert!(unstarted.is_dead() && dying.is_dead());
            });
            assert_eq!((drops.dropped(), drops.alive()), (1, 0));
        },
    );
}

#[test]
fn a_dying_greenlets_stack_is_not_handed_out_to_what_its_ancestors_captures_spawn() {
    alone(
        "holes::a_dying_greenlets_stack_is_not_handed_out_to_what_its_ancestors_captures_spawn",
        || {
            let drops = Drops::new();
            let payload = catch_unwind(AssertUnwindSafe(|| {
                scope(|s, me: &Current<()>| {
                    let mut parent = me.handle();
                    for _ in 0..4 {
                        let spawner = Spawner(drops.guard());
                        parent = s.spawn(&parent, move |_: &Current<(), ()>, ()| {
                            drop(spawner);
                            unreachable!()
                        });
                    }
                    let dying = s.spawn(&parent, |_: &Current<(), ()>, ()| {
                        resume_unwind(Box::new("fatal"))
                    });
                    let _ = me.switch(&dying, ());
                })
            }))
            .unwrap_err();
            assert_eq!(payload.downcast_ref(), Some(&"fatal"));
            assert_eq!((drops.dropped(), drops.alive()), (4, 0));
        },
    );
}

/// Switches away from inside its own destructor.
struct Absent {
    to: Greenlet<()>,
    _counted: Counted,
}

impl Drop for Absent {
    fn drop(&mut self) {
        let _ = self.to.switch(());
    }
}

#[test]
fn a_scope_outlasts_the_destructor_of_a_result_that_nobody_takes() {
    let drops = Drops::new();
    scope(|_, _: &Current<()>| {
        let escaped = scope(|s, me: &Current<()>| {
            let dead = s.spawn(me, |_: &Current<Absent, ()>, _: Absent| ());
            me.kill(&dead).unwrap();
            let (to, counted) = (me.handle(), drops.guard());
            let child = s.spawn(&dead, move |_: &Current<(), Absent>, ()| Absent {
                to,
                _counted: counted,
            });
            // The child has returned; the drop of its result switches here.
            me.switch(&child, ()).unwrap();
            assert_eq!(drops.alive(), 1);
            child
        });
        assert_eq!(drops.alive(), 0, "the scope ended with a borrow alive");
        assert!(escaped.is_dead());
    });
}

#[test]
fn a_generator_in_a_reused_slot_belongs_to_no_scope() {
    alone(
        "holes::a_generator_in_a_reused_slot_belongs_to_no_scope",
        || {
            let generator = RefCell::new(None);
            scope(|s, me: &Current<()>| {
                // The slot of this one, and its memory of a scope that is gone, is what the generator gets.
                deep_scope();
                let inner = Rc::new(Cell::new(None));
                let (root, inner2) = (me.handle(), inner.clone());
                generator.replace(Some(Generator::<u32>::new(move |_| {
                    scope(|_, mine: &Current<()>| {
                        inner2.set(Some(mine.handle()));
                        mine.switch(&root, ()).unwrap();
                    });
                })));
                clobber();
                let asking = s.spawn(me, |_: &Current<(), ()>, ()| {
                    generator.borrow_mut().as_mut().unwrap().next();
                });
                me.switch(&asking, ()).unwrap();
                me.kill(&asking).unwrap();
                clobber();
                // The body ends with nobody asking and nobody who opened a scope for it: control has nowhere to go.
                let end = me.switch(&inner.get().unwrap(), ());
                assert!(matches!(end, Err(SwitchError::Deadlock(_))), "{end:?}");
                assert_eq!(generator.borrow_mut().as_mut().unwrap().next(), None);
            });
        },
    );
}

#[inline(never)]
fn deep_scope() {
    let room = std::hint::black_box([0_u8; 4096]);
    scope(|s, me: &Current<()>| {
        let g = s.spawn(me, |_: &Current<(), ()>, ()| ());
        me.switch(&g, ()).unwrap();
    });
    std::hint::black_box(room);
}

#[inline(never)]
fn clobber() {
    std::hint::black_box([0x5a_u8; 16384]);
}

#[test]
fn the_end_of_a_killed_body_is_no_item() {
    alone("holes::the_end_of_a_killed_body_is_no_item", || {
        let seen = Cell::new(None);
        scope(|_, _: &Current<()>| {
            scope(|s, me: &Current<()>| {
                let (root, seen) = (me.handle(), &seen);
                let asking = s.spawn(me, move |_: &Current<(), ()>, ()| {
                    let mut generator = s.generator(move |_: &Yield<String>| {
                        let killed = catch_unwind(AssertUnwindSafe(|| {
                            scope(|_, mine: &Current<()>| mine.switch(&root, ()))
                        }));
                        assert!(killed.is_err());
                        // Swallowed: the body returns as if nothing had happened.
                    });
                    seen.set(Some(generator.next()));
                });
                me.switch(&asking, ()).unwrap();
                // The scope ends the generator, the youngest, while `asking` waits for its item.
            });
        });
        assert!(matches!(seen.take(), None | Some(None)));
    });
}

#[test]
fn looking_for_a_circle_of_parents_ends_although_a_generators_caller_is_its_descendant() {
    let inside = Cell::new(None::<Greenlet<()>>);
    let asker = Cell::new(None::<Greenlet<()>>);
    let accepted = Cell::new(None);
    let (inside, asker, accepted) = (&inside, &asker, &accepted);
    scope(|s, me: &Current<()>| {
        let a = s.spawn(me, move |mine: &Current<(), ()>, ()| {
            asker.set(Some(mine.handle()));
            let mut generator = s.generator(move |y: &Yield<u32>| {
                scope(|s, within: &Current<()>| {
                    inside.set(Some(within.handle()));
                    y.yield_(1);
                    let b = s.spawn(within, |mine: &Current<(), ()>, ()| {
                        accepted.set(Some(mine.set_parent(&asker.get().unwrap())));
                        // Back to what spawned it, so that its own end does not matter here.
                        let _ = mine.switch(&inside.get().unwrap(), ());
                    });
                    within.switch(&b, ()).unwrap();
                });
                y.yield_(2);
            });
            assert_eq!(generator.next(), Some(1));
            let parent = mine.parent().unwrap();
            mine.set_parent(&inside.get().unwrap()).unwrap();
            assert_eq!(generator.next(), Some(2));
            mine.set_parent(&parent).unwrap();
        });
        me.switch(&a, ()).unwrap();
        assert_eq!(accepted.get(), Some(Ok(())));
    });
}

#[test]
fn a_trace_function_that_switches_disturbs_no_value_in_flight() {
    alone(
        "holes::a_trace_function_that_switches_disturbs_no_value_in_flight",
        || {
            let drops = Drops::new();
            let calls = Rc::new(Cell::new(0));
            let (calls2, inside) = (calls.clone(), Cell::new(false));
            let old = set_trace(Some(Rc::new(move |_, _, _| {
                if !inside.replace(true) {
                    calls2.set(calls2.get() + 1);
                    assert_eq!(Generator::new(|y| y.yield_(5)).sum::<i32>(), 5);
                    inside.set(false);
                }
            })));
            assert!(old.is_none());
            scope(|s, me: &Current<(String, Counted)>| {
                type Message = (String, Counted);
                let echo = s.spawn(me, |me: &Current<Message, Message>, mut m: Message| {
                    for _ in 0..3 {
                        m.0.push('!');
                        m = me.switch(&me.parent().unwrap(), m).unwrap();
                    }
                    m
                });
                let mut m = ("text".to_owned(), drops.guard());
                for _ in 0..4 {
                    m = me.switch(&echo, m).unwrap();
                }
                assert_eq!(m.0, "text!!!");
                let thrower = s.spawn(me, |_: &Current<(), Message>, ()| {
                    resume_unwind(Box::new("up"))
                });
                let up = catch_unwind(AssertUnwindSafe(|| me.switch(&thrower, ()))).unwrap_err();
                assert_eq!(up.downcast_ref(), Some(&"up"));
            });
            set_trace(None);
            assert!(
                calls.get() >= 8,
                "the trace function ran {} times",
                calls.get()
            );
            assert_eq!((drops.dropped(), drops.alive()), (1, 0));
        },
    );
}

#[test]
fn a_value_in_flight_survives_no_panic_of_the_trace_function_but_is_dropped_once() {
    let drops = Drops::new();
    scope(|s, me: &Current<Counted>| {
        let g = s.spawn(me, |_: &Current<Counted, Counted>, first: Counted| first);
        set_trace(Some(Rc::new(|_, _, to| {
            if to.is_main() {
                panic!("traced");
            }
        })));
        let caught = catch_unwind(AssertUnwindSafe(|| me.switch(&g, drops.guard())));
        set_trace(None);
        assert!(caught.is_err());
        assert_eq!((drops.dropped(), drops.alive()), (1, 0));
        // Nothing of it is left over for the next one.
        let g = s.spawn(me, |_: &Current<(), Counted>, ()| drops.guard());
        drop(me.switch(&g, ()).unwrap());
        assert!(g.is_dead());
    });
    assert_eq!(drops.alive(), 0);
}

#[test]
fn outcomes_pending_for_a_greenlet_that_dies_are_dropped_with_it() {
    alone(
        "holes::outcomes_pending_for_a_greenlet_that_dies_are_dropped_with_it",
        || {
            let drops = Drops::new();
            let round = || {
                scope(|s, me: &Current<()>| {
                    let root = me.handle();
                    let parent = s.spawn(me, move |_: &Current<Counted, ()>, _: Counted| {
                        // Waits at another inbox than the one its children answer to.
                        scope(|_, inner: &Current<()>| drop(inner.switch(&root, ())));
                    });
                    me.switch(&parent, drops.guard()).unwrap();
                    for _ in 0..3 {
                        let child = s.spawn(&parent, |_: &Current<(), Counted>, ()| drops.guard());
                        assert!(matches!(
                            me.switch(&child, ()),
                            Err(SwitchError::Deadlock(_))
                        ));
                    }
                });
                assert_eq!(drops.alive(), 0);
            };
            round();
            let before = crate::util::mapped_kib();
            for _ in 0..10_000 {
                round();
            }
            let grown = crate::util::mapped_kib() - before;
            assert!(
                cfg!(feature = "sanitizer") || grown < 64 << 10,
                "{grown} KiB"
            );
        },
    );
}

#[test]
fn a_generator_that_owns_itself_ends_before_it_started() {
    alone(
        "holes::a_generator_that_owns_itself_ends_before_it_started",
        || {
            let drops = Drops::new();
            scope(|s, _: &Current<()>| {
                let own: Rc<RefCell<Option<Generator<'_, u32>>>> = Rc::default();
                let (captured, counted) = (own.clone(), drops.guard());
                let generator = s.generator(move |y: &Yield<u32>| {
                    drop((captured, counted));
                    y.yield_(1);
                });
                *own.borrow_mut() = Some(generator);
            });
            assert_eq!((drops.dropped(), drops.alive()), (1, 0));
        },
    );
}

#[test]
fn a_capture_may_kill_its_own_unstarted_greenlet_when_dropped() {
    struct KillsItself<'a> {
        me: &'a Current<()>,
        handle: Rc<Cell<Option<Greenlet<()>>>>,
        result: &'a Cell<Option<Result<(), KillError>>>,
    }
    impl Drop for KillsItself<'_> {
        fn drop(&mut self) {
            self.result
                .set(Some(self.me.kill(&self.handle.get().unwrap())));
        }
    }
    let result = Cell::new(None);
    scope(|_, me: &Current<()>| {
        scope(|s, inner: &Current<()>| {
            let handle = Rc::new(Cell::new(None));
            let capture = KillsItself {
                me,
                handle: handle.clone(),
                result: &result,
            };
            let g = s.spawn(inner, move |_: &Current<(), ()>, ()| drop(capture));
            handle.set(Some(g));
            inner.kill(&g).unwrap();
            assert!(g.is_dead());
        });
    });
    assert_eq!(result.take(), Some(Ok(())));
}

#[test]
fn a_scope_waits_for_captures_that_a_stranger_is_dropping() {
    alone(
        "holes::a_scope_waits_for_captures_that_a_stranger_is_dropping",
        || {
            let drops = Drops::new();
            let victim: Cell<Option<Greenlet<()>>> = Cell::new(None);
            scope(|outer, me: &Current<()>| {
                let stranger = outer.spawn(me, |me: &Current<(), ()>, ()| {
                    me.kill(&victim.get().unwrap()).unwrap();
                });
                let child = outer.spawn(&stranger, |_: &Current<(), ()>, ()| ());
                scope(|s, inner: &Current<()>| {
                    let absent = Absent {
                        to: inner.handle(),
                        _counted: drops.guard(),
                    };
                    victim.set(Some(
                        s.spawn(inner, move |_: &Current<(), ()>, ()| drop(absent)),
                    ));
                    // The stranger kills the victim, whose captures switch back here in the middle of their drop.
                    inner.switch(&stranger, ()).unwrap();
                    assert_eq!(drops.alive(), 1);
                    // Makes the stranger runnable: it goes on when this scope waits.
                    me.kill(&child).unwrap();
                });
                assert_eq!(drops.alive(), 0, "the scope ended with a borrow alive");
            });
        },
    );
}

#[test]
fn generators_work_in_destructors_while_unwinding() {
    alone(
        "holes::generators_work_in_destructors_while_unwinding",
        || {
            struct UsesGenerators(Drops);
            impl Drop for UsesGenerators {
                fn drop(&mut self) {
                    let counted = self.0.guard();
                    let mut started = Generator::new(move |y| {
                        let _counted = &counted;
                        for n in 0.. {
                            y.yield_(n);
                        }
                    });
                    assert_eq!((started.next(), started.next()), (Some(0), Some(1)));
                    drop(started);
                    assert_eq!(self.0.alive(), 0);
                    scope(|s, _: &Current<()>| {
                        let counted = self.0.guard();
                        let mut g = s.generator(move |y: &Yield<u32>| {
                            let _counted = &counted;
                            y.yield_(7);
                            y.yield_(8);
                        });
                        assert_eq!(g.next(), Some(7));
                    });
                    assert_eq!((self.0.alive(), self.0.dropped()), (0, 2));
                }
            }
            let drops = Drops::new();
            let uses = UsesGenerators(drops.clone());
            let caught = catch_unwind(AssertUnwindSafe(move || {
                let _uses = uses;
                resume_unwind(Box::new(1));
            }));
            assert_eq!(caught.unwrap_err().downcast_ref(), Some(&1));
            assert_eq!(drops.dropped(), 2);
        },
    );
}

#[test]
fn a_kill_from_an_unwinding_killer_reaches_who_once_waited_while_unwinding() {
    alone(
        "holes::a_kill_from_an_unwinding_killer_reaches_who_once_waited_while_unwinding",
        || {
            struct AsksWhileUnwinding;
            impl Drop for AsksWhileUnwinding {
                fn drop(&mut self) {
                    assert_eq!(Generator::new(|y| y.yield_(1)).next(), Some(1));
                }
            }
            struct Kills<'a>(&'a Current<()>, Greenlet<()>);
            impl Drop for Kills<'_> {
                fn drop(&mut self) {
                    assert_eq!(self.0.kill(&self.1), Ok(()));
                }
            }
            let drops = Drops::new();
            scope(|s, me: &Current<()>| {
                let counted = drops.guard();
                let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
                    let _counted = counted;
                    let caught = catch_unwind(|| {
                        let _asks = AsksWhileUnwinding;
                        resume_unwind(Box::new(0));
                    });
                    assert!(caught.is_err());
                    let _ = me.switch(&me.parent().unwrap(), ());
                    unreachable!();
                });
                me.switch(&g, ()).unwrap();
                let caught = catch_unwind(AssertUnwindSafe(|| {
                    let _kills = Kills(me, g);
                    resume_unwind(Box::new(0));
                }));
                assert!(caught.is_err());
                assert!(g.is_dead());
                assert_eq!(drops.alive(), 0);
            });
        },
    );
}

#[test]
fn a_payload_whose_drop_panics_with_another_such_payload_is_given_up() {
    alone_leaking(
        "holes::a_payload_whose_drop_panics_with_another_such_payload_is_given_up",
        || {
            struct Bomb(u32);
            impl Drop for Bomb {
                fn drop(&mut self) {
                    if self.0 > 0 {
                        resume_unwind(Box::new(Bomb(self.0 - 1)));
                    }
                }
            }
            for fuse in [1, 2, 3, 50] {
                scope(|s, me: &Current<()>| {
                    let dead = s.spawn(me, |_: &Current<(), ()>, ()| ());
                    me.switch(&dead, ()).unwrap();
                    let g = s.spawn(&dead, move |_: &Current<(), ()>, ()| {
                        resume_unwind(Box::new(Bomb(fuse)))
                    });
                    assert!(me.switch(&g, ()).unwrap_err().is_exited());
                    // The runtime is whole.
                    let g = s.spawn(me, |_: &Current<(), ()>, ()| ());
                    me.switch(&g, ()).unwrap();
                });
            }
        },
    );
}

#[test]
fn a_greenlet_killed_between_its_first_message_and_its_start_never_runs() {
    let drops = Drops::new();
    let started = Cell::new(false);
    scope(|s, me: &Current<()>| {
        let (root, started) = (me.handle(), &started);
        let parent = s.spawn(me, move |_: &Current<Counted, ()>, _: Counted| {
            started.set(true)
        });
        let drops = &drops;
        let child = s.spawn(&parent, move |me: &Current<(), Counted>, ()| {
            let killed = catch_unwind(AssertUnwindSafe(|| me.switch(&root, ())));
            assert!(killed.is_err());
            // Swallowed: it returns a value, which starts the parent, later.
            drops.guard()
        });
        me.switch(&child, ()).unwrap();
        me.kill(&child).unwrap();
        assert_eq!(drops.alive(), 1);
        assert!(!parent.is_started() && !parent.is_dead());
        me.kill(&parent).unwrap();
        assert!(parent.is_dead());
        assert_eq!(drops.alive(), 0);
    });
    assert!(!started.get());
}

#[test]
fn a_greenlet_may_kill_the_one_whose_scope_it_lives_in() {
    alone(
        "holes::a_greenlet_may_kill_the_one_whose_scope_it_lives_in",
        || {
            let drops = Drops::new();
            let drops = &drops;
            scope(|s, me: &Current<()>| {
                let opener = s.spawn(me, move |own: &Current<(), ()>, ()| {
                    let _opener = drops.guard();
                    scope(|s, inner: &Current<()>| {
                        let child = s.spawn(inner, |me: &Current<(), ()>, ()| {
                            let _child = drops.guard();
                            // Its own end has to come first: this never returns.
                            let _ = me.kill(&own.handle());
                            unreachable!();
                        });
                        let _ = inner.switch(&child, ());
                        unreachable!();
                    });
                });
                assert!(me.switch(&opener, ()).unwrap_err().is_exited());
                assert!(opener.is_dead());
                assert_eq!((drops.dropped(), drops.alive()), (2, 0));
            });
        },
    );
}

#[test]
fn two_that_kill_each_other_both_die() {
    alone("holes::two_that_kill_each_other_both_die", || {
        struct KillsBack<'a>(&'a Current<(), ()>, Greenlet<()>, &'a Cell<bool>);
        impl Drop for KillsBack<'_> {
            fn drop(&mut self) {
                // Its killer waits for this one's end: that wait is broken off, and the killer dies first.
                assert_eq!(self.0.kill(&self.1), Ok(()));
                self.2.set(true);
            }
        }
        let back = Cell::new(false);
        let drops = Drops::new();
        scope(|s, me: &Current<()>| {
            let first = s.unbound::<(), ()>(me);
            let (first_handle, root, back) = (first.handle(), me.handle(), &back);
            let counted = drops.guard();
            let second = s.spawn(me, move |me: &Current<(), ()>, ()| {
                let _counted = counted;
                let _back = KillsBack(me, first_handle, back);
                let _ = me.switch(&root, ());
                unreachable!();
            });
            let counted = drops.guard();
            first.bind(move |me, ()| {
                let _counted = counted;
                let _ = me.kill(&second);
                unreachable!();
            });
            me.switch(&second, ()).unwrap();
            let _ = me.switch(&first_handle, ());
            assert!(first_handle.is_dead() && second.is_dead());
            assert_eq!(drops.alive(), 0);
        });
        assert!(back.get());
    });
}
