//! What a user of greenlets may rely on, one module per rule: how they start, switch, end, and who hears of it.
//!
//! Python's greenlet is the model; where types or ownership ask for another answer, the module says which. Nothing here
//! needs a hub: where control has nowhere to go, main's own wait returns `Deadlock`.
#![forbid(unsafe_code)]

mod util;

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use greenloom::greenlet::{
    Current, Generator, Greenlet, KillError, ParentError, SwitchError, TraceKind, scope, set_trace,
};
use greenloom::stack::StackSize;
use util::Drops;

/// Runs `f` and returns what it panicked with, as text.
#[track_caller]
fn panic_text<R>(f: impl FnOnce() -> R) -> String {
    let Err(payload) = catch_unwind(AssertUnwindSafe(f)) else {
        panic!("no panic came");
    };
    match payload.downcast::<&str>() {
        Ok(text) => (*text).to_owned(),
        Err(payload) => *payload.downcast::<String>().expect("a text"),
    }
}

/// Unwinds with a text, without the panic hook's message.
fn fail(text: &'static str) -> ! {
    resume_unwind(Box::new(text))
}

#[path = "greenlet_semantics/create.rs"]
mod create;

mod states {
    use super::*;

    #[test]
    fn new_active_dead() {
        scope(|s, me: &Current<()>| {
            let g = s.spawn(me, |me: &Current<(), ()>, ()| {
                assert!(me.handle().is_current() && me.handle().is_started());
                assert!(!me.handle().is_waiting());
                me.switch(&me.parent().unwrap(), ()).unwrap();
            });
            assert!(!g.is_started() && !g.is_dead() && !g.is_current());
            me.switch(&g, ()).unwrap();
            assert!(g.is_started() && !g.is_dead() && g.is_waiting() && !g.is_current());
            me.switch(&g, ()).unwrap();
            assert!(g.is_dead() && g.is_started() && !g.is_waiting() && !g.is_current());
            assert_eq!(g.id(), None);
        });
    }

    #[test]
    fn debug_tells_name_and_state() {
        scope(|s, me: &Current<()>| {
            assert!(format!("{me:?}").contains("main"), "{me:?}");
            assert!(format!("{me:?}").contains("current"), "{me:?}");
            let unbound = s.unbound::<(), ()>(me);
            assert!(format!("{:?}", unbound.handle()).contains("unbound"));
            let g = s.spawn(me, |me: &Current<(), ()>, ()| {
                me.set_name("worker");
                assert!(format!("{me:?}").contains("running, current"), "{me:?}");
                me.switch(&me.parent().unwrap(), ()).unwrap();
            });
            assert!(format!("{g:?}").contains("new"), "{g:?}");
            assert!(
                format!("{g:?}").contains(&g.id().unwrap().to_string()),
                "{g:?}"
            );
            me.switch(&g, ()).unwrap();
            assert!(format!("{g:?}").contains("'worker' suspended"), "{g:?}");
            me.switch(&g, ()).unwrap();
            assert!(format!("{g:?}").contains("dead"), "{g:?}");
        });
    }
}

mod first_switch {
    use super::*;

    #[test]
    fn the_value_is_the_bodys_argument() {
        scope(|s, me: &Current<Vec<i32>>| {
            let g = s.spawn(
                me,
                |_: &Current<Vec<i32>, Vec<i32>>, mut first: Vec<i32>| {
                    first.push(3);
                    first
                },
            );
            assert_eq!(me.switch(&g, vec![1, 2]).unwrap(), [1, 2, 3]);
        });
    }

    #[test]
    fn anyone_may_send_it() {
        scope(|s, me: &Current<&'static str>| {
            let a = s.spawn(me, |_: &Current<&str, &'static str>, first| {
                assert_eq!(first, "from b");
                "from a"
            });
            let b = s.spawn(me, move |me: &Current<(), &'static str>, ()| {
                let _ = me.switch(&a, "from b");
                "never"
            });
            assert_eq!(me.switch(&b, ()).unwrap(), "from a");
        });
    }
}

mod later_switch {
    use super::*;

    #[test]
    fn the_value_is_returned_by_the_targets_own_pending_switch() {
        scope(|s, me: &Current<u32>| {
            let adder = s.spawn(me, |me: &Current<u32, u32>, first| {
                let mut sum = first;
                while sum < 100 {
                    sum += me.switch(&me.parent().unwrap(), sum).unwrap();
                }
                sum
            });
            let sums: Vec<u32> = [1, 10, 20, 100]
                .map(|n| me.switch(&adder, n).unwrap())
                .into();
            assert_eq!(sums, [1, 11, 31, 131]);
        });
    }

    #[test]
    fn my_switch_returns_what_anyone_sends_me() {
        scope(|s, me: &Current<&'static str>| {
            let root = me.handle();
            let b = s.spawn(me, move |me: &Current<(), &'static str>, ()| {
                let _ = me.switch(&root, "from b");
                "end of b"
            });
            let a = s.spawn(me, move |me: &Current<(), &'static str>, ()| {
                let _ = me.switch(&b, ());
                "end of a"
            });
            // Asked is a, and b answers.
            assert_eq!(me.switch(&a, ()).unwrap(), "from b");
            assert_eq!(me.switch(&b, ()).unwrap(), "end of b");
            assert_eq!(me.switch(&a, ()).unwrap(), "end of a");
        });
    }

    #[test]
    fn the_classic() {
        // test1 and test2 of greenlet's documentation.
        let out = RefCell::new(Vec::new());
        scope(|s, me: &Current<()>| {
            let (one, two) = (s.unbound::<(), ()>(me), s.unbound::<(), ()>(me));
            let (gr1, gr2) = (one.handle(), two.handle());
            let out = &out;
            one.bind(move |me, ()| {
                out.borrow_mut().push(12);
                me.switch(&gr2, ()).unwrap();
                out.borrow_mut().push(34);
            });
            two.bind(move |me, ()| {
                out.borrow_mut().push(56);
                me.switch(&gr1, ()).unwrap();
                out.borrow_mut().push(78);
            });
            me.switch(&gr1, ()).unwrap();
            assert_eq!(*out.borrow(), [12, 56, 34]);
            assert!(gr1.is_dead() && !gr2.is_dead());
        });
        assert_eq!(
            *out.borrow(),
            [12, 56, 34],
            "the scope ends what is left, it does not finish it"
        );
    }
}

mod body_returns {
    use super::*;

    #[test]
    fn the_value_goes_to_the_parent_as_it_is_at_that_moment() {
        scope(|s, me: &Current<u32>| {
            let seen = s.spawn(me, |_: &Current<u32, u32>, n| n + 1000);
            let child = s.spawn(me, move |me: &Current<(), u32>, ()| {
                me.set_parent(&seen).unwrap();
                7
            });
            // The new parent, unstarted, is started with it.
            assert_eq!(me.switch(&child, ()).unwrap(), 1007);
            assert!(seen.is_dead() && child.is_dead());
        });
    }

    #[test]
    fn not_to_who_switched_to_it_last() {
        scope(|s, me: &Current<&'static str>| {
            let child = s.spawn(me, |_: &Current<(), &'static str>, ()| "to main");
            let caller = s.spawn(me, move |me: &Current<(), &'static str>, ()| {
                let _ = me.switch(&child, ());
                unreachable!()
            });
            assert_eq!(me.switch(&caller, ()).unwrap(), "to main");
            assert!(child.is_dead() && !caller.is_dead());
        });
    }

    #[test]
    fn a_chain_of_unstarted_parents_passes_it_on() {
        scope(|s, me: &Current<u64>| {
            let mut at = me.handle();
            for _ in 0..100 {
                at = s.spawn(&at, |_: &Current<u64, u64>, n| n + 1);
            }
            assert_eq!(me.switch(&at, 0).unwrap(), 100);
        });
    }
}

mod dead {
    use super::*;

    #[test]
    fn a_switch_to_it_hands_the_value_back() {
        scope(|s, me: &Current<()>| {
            let g = s.spawn(me, |_: &Current<String, ()>, _| ());
            me.switch(&g, "first".to_owned()).unwrap();
            match me.switch(&g, "second".to_owned()) {
                Err(e) => {
                    assert!(e.is_dead());
                    assert_eq!(e.into_inner().as_deref(), Some("second"));
                }
                other => panic!("{other:?}"),
            }
        });
    }

    #[test]
    fn a_scopes_inbox_is_dead_after_the_scope() {
        let handle = scope(|_, me: &Current<u8>| me.handle());
        assert!(handle.is_dead());
        scope(|_, me: &Current<u8>| {
            assert!(matches!(me.switch(&handle, 5), Err(SwitchError::Dead(5))));
        });
    }
}

mod self_switch {
    use super::*;

    #[test]
    fn returns_the_value_at_once() {
        scope(|s, me: &Current<u32>| {
            assert_eq!(me.switch(&me.handle(), 5).unwrap(), 5);
            let g = s.spawn(me, |me: &Current<u32, u32>, n| {
                me.switch(&me.handle(), n).unwrap() + me.switch(&me.handle(), 1).unwrap()
            });
            assert_eq!(me.switch(&g, 6).unwrap(), 7);
        });
    }

    #[test]
    fn another_inbox_of_oneself_does_not_wait() {
        scope(|_, outer: &Current<u32>| {
            scope(|_, inner: &Current<u32>| {
                let refused = inner.switch(&outer.handle(), 3);
                assert!(matches!(refused, Err(SwitchError::NotWaiting(3))));
            });
        });
    }
}

#[path = "greenlet_semantics/throw.rs"]
mod throw;

mod uncaught_panic {
    use super::*;

    #[test]
    fn continues_in_the_parent_not_in_the_caller() {
        scope(|s, me: &Current<()>| {
            let parent = s.spawn(me, |me: &Current<(), ()>, ()| {
                let root = me.parent().unwrap();
                assert_eq!(panic_text(|| me.switch(&root, ())), "of the child");
            });
            let child = s.spawn(&parent, |_: &Current<(), ()>, ()| fail("of the child"));
            me.switch(&parent, ()).unwrap();
            // Main switches to the child, whose panic goes to its parent, which returns to main.
            me.switch(&child, ()).unwrap();
            assert!(parent.is_dead());
        });
    }

    #[test]
    fn climbs_until_somebody_catches_it() {
        scope(|s, me: &Current<()>| {
            let mut at = me.handle();
            for _ in 0..5 {
                at = s.spawn(&at, |_: &Current<(), ()>, ()| unreachable!());
            }
            let child = s.spawn(&at, |_: &Current<(), ()>, ()| fail("far down"));
            assert_eq!(panic_text(|| me.switch(&child, ())), "far down");
            assert!(at.is_dead());
        });
    }
}

#[path = "greenlet_semantics/greenlet_exit.rs"]
mod greenlet_exit;

#[path = "greenlet_semantics/who_ends_it.rs"]
mod who_ends_it;

#[path = "greenlet_semantics/parent_parked_elsewhere.rs"]
mod parent_parked_elsewhere;

mod other_thread {
    use super::*;

    /// Whether a type is `Send`, told without a bound on it.
    macro_rules! is_send {
        ($t:ty) => {{
            struct Probe<T>(std::marker::PhantomData<T>);
            #[allow(dead_code)]
            trait Fallback {
                fn is_send(&self) -> bool {
                    false
                }
            }
            impl<T> Fallback for Probe<T> {}
            #[allow(dead_code)]
            impl<T: Send> Probe<T> {
                fn is_send(&self) -> bool {
                    true
                }
            }
            Probe::<$t>(std::marker::PhantomData).is_send()
        }};
    }

    #[test]
    fn nothing_of_a_greenlet_is_send() {
        assert!(is_send!(u32) && !is_send!(Rc<u32>), "the probe works");
        assert!(!is_send!(Greenlet<u32>) && !is_send!(&Greenlet<u32>));
        assert!(!is_send!(Current<u32, u32>) && !is_send!(&Current<u32, u32>));
        assert!(!is_send!(Generator<'static, u32>));
        assert!(!is_send!(&greenloom::greenlet::Scope<'static, 'static>));
    }

    #[test]
    fn each_thread_has_its_own() {
        let threads: Vec<_> = (0..4_u64)
            .map(|n| {
                std::thread::spawn(move || {
                    scope(|s, me: &Current<u64>| {
                        let g = s.spawn(me, |me: &Current<u64, u64>, mut n| {
                            loop {
                                n = me.switch(&me.parent().unwrap(), n + 1).unwrap();
                            }
                        });
                        (0..1000).fold(n, |n, _| me.switch(&g, n).unwrap())
                    })
                })
            })
            .collect();
        for (n, t) in threads.into_iter().enumerate() {
            assert_eq!(t.join().unwrap(), n as u64 + 1000);
        }
    }
}

#[path = "greenlet_semantics/parent.rs"]
mod parent;

mod current {
    use super::*;

    #[test]
    fn every_thread_has_a_main_greenlet() {
        let ids: Vec<u64> = (0..2)
            .map(|_| {
                std::thread::spawn(|| {
                    scope(|_, me: &Current<()>| {
                        assert!(me.handle().is_current());
                        assert!(scope(|_, inner: &Current<()>| inner.id()) == me.id());
                        me.id()
                    })
                })
                .join()
                .unwrap()
            })
            .collect();
        assert_ne!(ids[0], ids[1]);
    }

    #[test]
    fn a_current_that_is_not_the_running_ones_is_refused() {
        scope(|_, root: &Current<u8>| {
            scope(|s, inner: &Current<()>| {
                let g = s.spawn(inner, |me: &Current<u8, ()>, _| {
                    let own = me.handle();
                    assert!(matches!(
                        root.switch(&own, 3),
                        Err(SwitchError::NotCurrent(3))
                    ));
                    assert!(matches!(root.receive(), Err(SwitchError::NotCurrent(()))));
                    assert!(matches!(
                        root.throw(&own, Box::new(3)),
                        Err(SwitchError::NotCurrent(p)) if p.is::<i32>()
                    ));
                    assert_eq!(root.kill(&own), Err(KillError::NotCurrent));
                });
                inner.switch(&g, 0).unwrap();
            });
        });
    }
}

#[path = "greenlet_semantics/trace.rs"]
mod trace;

mod type_of_the_value {
    use super::*;

    #[test]
    fn a_switch_without_a_current_needs_the_running_ones_inbox_to_take_the_type() {
        scope(|s, me: &Current<u32>| {
            let echo = s.spawn(me, |me: &Current<u32, u32>, mut n: u32| {
                loop {
                    n = me.switch(&me.parent().unwrap(), n + 1).unwrap();
                }
            });
            assert_eq!(echo.switch(1).unwrap(), 2);
            assert_eq!(echo.switch(5).unwrap(), 6);
            scope(|_, _: &Current<String>| {
                // The innermost inbox counts, before control moves.
                assert!(matches!(echo.switch(7), Err(SwitchError::InboxType(7))));
            });
            assert_eq!(echo.switch(9).unwrap(), 10);
        });
    }

    #[test]
    fn a_type_of_ones_own_has_to_be_published() {
        #[derive(Debug, PartialEq)]
        struct Own(u8);
        scope(|s, me: &Current<Own>| {
            let echo = s.spawn(me, |_: &Current<Own, Own>, Own(n)| Own(n + 1));
            assert!(matches!(
                echo.switch(Own(1)),
                Err(SwitchError::InboxType(Own(1)))
            ));
            me.publish();
            assert_eq!(echo.switch(Own(1)).unwrap(), Own(2));
        });
    }

    #[test]
    fn messages_may_borrow() {
        let text = "a text that outlives the scope".to_owned();
        scope(|s, me: &Current<&str>| {
            let first_word = s.spawn(me, |_: &Current<&str, &str>, text| {
                text.split(' ').next().unwrap()
            });
            assert_eq!(me.switch(&first_word, &text).unwrap(), "a");
        });
    }

    #[test]
    fn without_any_inbox_there_is_nothing_to_switch_from() {
        let handle = scope(|_, me: &Current<()>| me.handle());
        assert!(matches!(handle.switch(()), Err(SwitchError::Dead(()))));
    }
}
