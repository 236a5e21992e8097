//! A handle keeps nothing alive; the owner ends the greenlet.

use super::*;

#[test]
fn dropping_handles_does_nothing() {
    scope(|s, me: &Current<u32>| {
        let g = s.spawn(me, |me: &Current<u32, u32>, n| {
            me.switch(&me.parent().unwrap(), n).unwrap() + n
        });
        let copy = g;
        assert_eq!(me.switch(&g, 1).unwrap(), 1);
        #[allow(dropping_copy_types)]
        drop(g);
        assert_eq!(me.switch(&copy, 2).unwrap(), 3);
    });
}

#[test]
fn the_scope_ends_what_is_left_youngest_first_innermost_destructors_first() {
    struct Says<'a>(&'a RefCell<Vec<u32>>, u32);
    impl Drop for Says<'_> {
        fn drop(&mut self) {
            self.0.borrow_mut().push(self.1);
        }
    }
    let log = RefCell::new(Vec::new());
    let returned = scope(|s, me: &Current<()>| {
        for n in [10, 20, 30] {
            let log = &log;
            let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
                let _outer = Says(log, n + 1);
                let _inner = Says(log, n);
                let _ = me.switch(&me.parent().unwrap(), ());
                unreachable!()
            });
            me.switch(&g, ()).unwrap();
        }
        "back"
    });
    assert_eq!(returned, "back");
    assert_eq!(*log.borrow(), [30, 31, 20, 21, 10, 11]);
}

#[test]
fn the_parent_link_is_untouched_when_the_owner_ends_it() {
    scope(|s, me: &Current<()>| {
        let told = Rc::new(Cell::new(false));
        let (root, told2) = (me.handle(), told.clone());
        let parent = s.spawn(me, move |me: &Current<(), ()>, ()| {
            assert!(me.switch(&root, ()).unwrap_err().is_exited());
            told2.set(true);
        });
        let child = s.spawn(&parent, move |me: &Current<(), ()>, ()| {
            let _ = me.switch(&root, ());
        });
        me.switch(&parent, ()).unwrap();
        me.switch(&child, ()).unwrap();
        s.reap(&child);
        assert!(child.is_dead() && !told.get(), "the owner goes on first");
        // Through the hub: the parent sees it, and its own end comes here.
        assert_eq!(me.receive().ok(), Some(()));
        assert!(told.get());
    });
}

#[test]
fn reap_ends_it_early() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let counted = drops.guard();
        let started = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _counted = counted;
            let _ = me.switch(&me.parent().unwrap(), ());
        });
        let counted = drops.guard();
        let unstarted = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        me.switch(&started, ()).unwrap();
        s.reap(&started);
        assert_eq!(drops.alive(), 1);
        s.reap(&unstarted);
        assert_eq!((drops.alive(), drops.dropped()), (0, 2));
        s.reap(&unstarted);
        assert!(started.is_dead() && unstarted.is_dead());
    });
}

#[test]
fn a_generator_ends_its_body_when_dropped() {
    let drops = Drops::new();
    let counted = drops.guard();
    let mut g = Generator::new(move |y| {
        let _counted = counted;
        y.yield_(1);
        y.yield_(2);
    });
    assert_eq!(g.next(), Some(1));
    drop(g);
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}
