//! Generators: dropped at every moment, panicking, nested, asked by their own body, alive at the end of a thread.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::rc::Rc;

use greenloom::greenlet::{Current, Generator, SwitchError, Yield, scope};

use crate::alone_leaking;
use crate::util::{Counted, Drops};

/// Yields `n` guards after its own.
fn yields(drops: &Drops, n: usize) -> Generator<'static, Counted> {
    let (own, drops) = (drops.guard(), drops.clone());
    Generator::new(move |y| {
        let _own = own;
        for _ in 0..n {
            y.yield_(drops.guard());
        }
    })
}

#[test]
fn dropped_unstarted_midway_and_finished() {
    for asked in 0..=4 {
        let drops = Drops::new();
        let mut g = yields(&drops, 3);
        let items: Vec<_> = g.by_ref().take(asked).collect();
        assert_eq!(items.len(), asked.min(3));
        drop(g);
        assert_eq!(drops.alive(), items.len(), "only the items are left");
        drop(items);
        assert_eq!((drops.alive(), drops.dropped()), (0, asked.min(3) + 1));
    }
}

#[test]
fn returns_none_for_ever_after_the_end() {
    let mut g = Generator::new(|y| y.yield_(1));
    assert_eq!(
        (g.next(), g.next(), g.next(), g.next()),
        (Some(1), None, None, None)
    );
    // Also when another lives in its slot.
    let mut other = Generator::new(|y| y.yield_(2));
    assert_eq!((g.next(), other.next(), g.next()), (None, Some(2), None));
}

#[test]
fn dropped_while_unwinding() {
    let drops = Drops::new();
    let caught = catch_unwind(AssertUnwindSafe(|| {
        let _unstarted = yields(&drops, 3);
        let mut midway = yields(&drops, 3);
        drop(midway.next());
        let mut finished = yields(&drops, 0);
        assert!(finished.next().is_none());
        scope(|s, _: &Current<()>| {
            let counted = drops.guard();
            let mut borrowed = s.generator(move |y: &Yield<u8>| {
                let _counted = &counted;
                y.yield_(1);
                y.yield_(2);
            });
            borrowed.next();
            resume_unwind(Box::new("up"))
        })
    }));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"up"));
    assert_eq!((drops.alive(), drops.dropped()), (0, 5));
}

#[test]
fn a_panic_of_the_body_comes_out_of_next_and_ends_it() {
    let drops = Drops::new();
    let counted = drops.guard();
    let mut g = Generator::new(move |y| {
        let _counted = counted;
        y.yield_(1);
        resume_unwind(Box::new("body"))
    });
    assert_eq!(g.next(), Some(1));
    let caught = catch_unwind(AssertUnwindSafe(|| g.next()));
    assert_eq!(caught.unwrap_err().downcast_ref(), Some(&"body"));
    assert_eq!((g.next(), drops.alive()), (None, 0));
}

#[test]
fn a_panic_comes_to_who_asks_not_to_who_made_it() {
    scope(|s, me: &Current<&'static str>| {
        let g = RefCell::new(Some(Generator::<u8>::new(|_| {
            resume_unwind(Box::new("body"))
        })));
        let g = Rc::new(g);
        let asks = s.spawn(me, move |_: &Current<(), &'static str>, ()| {
            let mut g = g.take().unwrap();
            let caught = catch_unwind(AssertUnwindSafe(|| g.next()));
            *caught.unwrap_err().downcast::<&'static str>().unwrap()
        });
        assert_eq!(me.switch(&asks, ()).unwrap(), "body");
    });
}

#[test]
fn asked_by_its_own_body_it_panics_and_lives() {
    let own: Rc<RefCell<Option<Generator<'static, u32>>>> = Rc::default();
    let captured = own.clone();
    own.replace(Some(Generator::new(move |y| {
        let refused = catch_unwind(AssertUnwindSafe(|| {
            captured.borrow_mut().as_mut().unwrap().next()
        }));
        y.yield_(u32::from(refused.is_err()));
        y.yield_(7);
    })));
    let ask = || own.borrow_mut().as_mut().unwrap().next();
    assert_eq!((ask(), ask(), ask()), (Some(1), Some(7), None));
    own.take();
}

#[test]
fn a_yield_from_another_greenlet_panics_there() {
    let told = Cell::new(false);
    scope(|s, _: &Current<()>| {
        let told = &told;
        let g = s.generator(move |y: &Yield<u32>| {
            scope(|s, inner: &Current<()>| {
                let other = s.spawn(inner, |_: &Current<(), ()>, ()| {
                    let refused = catch_unwind(AssertUnwindSafe(|| y.yield_(1)));
                    told.set(refused.is_err());
                });
                inner.switch(&other, ()).unwrap();
            });
            y.yield_(2);
        });
        assert_eq!(g.collect::<Vec<_>>(), [2]);
    });
    assert!(told.get());
}

/// A binary tree of a given depth, numbered in order.
enum Tree {
    Leaf,
    Node(Box<Tree>, u32, Box<Tree>),
}

impl Tree {
    fn full(depth: u32, from: u32) -> Self {
        if depth == 0 {
            return Tree::Leaf;
        }
        let half = (1 << (depth - 1)) - 1;
        Tree::Node(
            Self::full(depth - 1, from).into(),
            from + half,
            Self::full(depth - 1, from + half + 1).into(),
        )
    }

    /// Only left children: as deep as it has nodes.
    fn line(depth: u32) -> Self {
        (0..depth).fold(Tree::Leaf, |below, n| {
            Tree::Node(below.into(), n, Tree::Leaf.into())
        })
    }
}

/// Each node's generator asks its children's: as many greenlets as the tree is deep.
fn walk(tree: Tree) -> Generator<'static, u32> {
    Generator::new(move |y| {
        if let Tree::Node(left, n, right) = tree {
            walk(*left).for_each(|n| y.yield_(n));
            y.yield_(n);
            walk(*right).for_each(|n| y.yield_(n));
        }
    })
}

#[test]
fn trees_are_walked_by_nested_ones() {
    assert_eq!(
        walk(Tree::full(8, 0)).collect::<Vec<_>>(),
        (0..255).collect::<Vec<_>>()
    );
    assert_eq!(
        walk(Tree::line(30)).collect::<Vec<_>>(),
        (0..30).collect::<Vec<_>>()
    );
    // Left in the middle, thirty deep.
    let mut g = walk(Tree::line(30));
    assert_eq!((g.next(), g.next()), (Some(0), Some(1)));
}

#[test]
fn a_backtrace_of_a_panic_fits_on_the_smallest_stack() {
    let g = Generator::new(|y| {
        let trace = std::backtrace::Backtrace::force_capture().to_string();
        y.yield_(trace.contains("fits_on_the_smallest_stack"));
        let caught = catch_unwind(|| {
            let _guard = Captures;
            resume_unwind(Box::new(()));
        });
        y.yield_(caught.is_err());
    });
    assert_eq!(g.collect::<Vec<_>>(), [true, true]);
}

/// Captures a backtrace while unwinding.
struct Captures;

impl Drop for Captures {
    fn drop(&mut self) {
        assert!(
            !std::backtrace::Backtrace::force_capture()
                .to_string()
                .is_empty()
        );
    }
}

#[test]
fn interrupted_in_next_the_item_waits_for_the_next_who_asks() {
    let inside = Cell::new(None);
    let inside = &inside;
    scope(|s, me: &Current<u8>| {
        let (root, g) = (me.handle(), Rc::new(RefCell::new(None)));
        g.replace(Some(s.generator(move |y: &Yield<&'static str>| {
            scope(|_, mine: &Current<u8>| {
                inside.set(Some(mine.handle()));
                mine.switch(&root, 1).unwrap();
            });
            y.yield_("kept");
            y.yield_("last");
        })));
        let asked = g.clone();
        let asks = s.spawn(me, move |_: &Current<(), u8>, ()| {
            let _ = asked.borrow_mut().as_mut().unwrap().next();
            unreachable!()
        });
        assert_eq!(me.switch(&asks, ()).unwrap(), 1);
        me.kill(&asks).unwrap();
        // The body goes on with nobody asking, and has to keep its item.
        assert!(matches!(
            me.switch(&inside.get().unwrap(), 2),
            Err(SwitchError::Deadlock(_))
        ));
        let mut g = g.take().unwrap();
        assert_eq!(
            (g.next(), g.next(), g.next()),
            (Some("kept"), Some("last"), None)
        );
    });
}

#[test]
fn one_forgotten_in_a_scope_ends_with_it() {
    let drops = Drops::new();
    scope(|s, _: &Current<()>| {
        let counted = drops.guard();
        let mut g = s.generator(move |y: &Yield<u8>| {
            let _counted = &counted;
            y.yield_(1);
            y.yield_(2);
        });
        g.next();
        std::mem::forget(g);
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}

thread_local! {
    static KEPT: RefCell<Option<Generator<'static, Counted>>> = const { RefCell::new(None) };
}

#[test]
fn alive_in_a_thread_local_when_its_thread_ends() {
    alone_leaking(
        "generators::alive_in_a_thread_local_when_its_thread_ends",
        || {
            for before in [true, false] {
                let drops = Drops::new();
                let drops2 = drops.clone();
                std::thread::spawn(move || {
                    // Which of the two is made first decides whose destructor comes first.
                    if before {
                        KEPT.with(|_| ());
                    }
                    let mut g = yields(&drops2, 3);
                    drop(g.next());
                    KEPT.replace(Some(g));
                    // Others of the thread are alive too.
                    std::mem::forget(yields(&drops2, 1));
                })
                .join()
                .unwrap();
                // Ended with its destructors, or leaked as a whole: never half, never twice.
                assert!((1..=2).contains(&drops.dropped()), "{}", drops.dropped());
            }
        },
    );
}

/// Asks a kept generator in its destructor.
struct AsksAtEnd;

impl Drop for AsksAtEnd {
    fn drop(&mut self) {
        KEPT.with_borrow_mut(|g| drop(g.as_mut().map(Iterator::next)));
    }
}

thread_local! {
    static ASKS: AsksAtEnd = const { AsksAtEnd };
}

#[test]
fn asked_in_a_thread_local_destructor_it_gives_nothing_or_an_item() {
    alone_leaking(
        "generators::asked_in_a_thread_local_destructor_it_gives_nothing_or_an_item",
        || {
            std::thread::spawn(|| {
                // Destructors run in the opposite order: the runtime's own, then ours.
                KEPT.with(|_| ());
                ASKS.with(|_| ());
                KEPT.replace(Some(yields(&Drops::new(), 3)));
            })
            .join()
            .unwrap();
        },
    );
}

#[test]
fn several_threads_each_with_thousands() {
    let threads: Vec<_> = (0..4_u64)
        .map(|t| {
            std::thread::spawn(move || {
                let mut all: Vec<_> = (0..2000_u64)
                    .map(|n| Generator::new(move |y| (0..3).for_each(|i| y.yield_(n + i + t))))
                    .collect();
                let mut sum = 0;
                for _ in 0..2 {
                    sum += all.iter_mut().filter_map(Iterator::next).sum::<u64>();
                }
                sum
            })
        })
        .collect();
    for (t, thread) in threads.into_iter().enumerate() {
        let one: u64 = (0..2000_u64).map(|n| 2 * (n + t as u64) + 1).sum();
        assert_eq!(thread.join().unwrap(), one);
    }
}
