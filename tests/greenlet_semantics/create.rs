//! Creating reserves a slot and runs nothing; the parent is named; a body may come later.

use super::*;

#[test]
fn a_new_greenlet_has_not_run() {
    let ran = Cell::new(false);
    scope(|s, me: &Current<()>| {
        let ran = &ran;
        let g = s.spawn(me, |_: &Current<(), ()>, ()| ran.set(true));
        assert!(!g.is_started() && !g.is_dead() && g.is_waiting());
    });
    assert!(!ran.get());
}

#[test]
fn the_parent_is_named() {
    scope(|s, me: &Current<u8>| {
        let parent = s.spawn(me, |_: &Current<u8, u8>, n| n + 1);
        let child = s.spawn(&parent, |_: &Current<u8, u8>, n| n * 2);
        assert_eq!(me.switch(&child, 20).unwrap(), 41);
    });
}

#[test]
fn every_size_of_stack_can_be_asked_for() {
    /// Has a frame of that many bytes, and writes to all of them.
    fn uses<const N: usize>() -> usize {
        let frame = [1_u8; N];
        let frame = std::hint::black_box(&frame);
        frame.iter().map(|&b| usize::from(b)).sum()
    }
    type Body = (StackSize, fn() -> usize, usize);
    scope(|s, me: &Current<usize>| {
        let all: [Body; 3] = [
            (StackSize::K64, uses::<30_000>, 30_000),
            (StackSize::K256, uses::<200_000>, 200_000),
            (StackSize::M1, uses::<900_000>, 900_000),
        ];
        for (size, body, expected) in all {
            let g = s
                .try_spawn_sized(size, me, move |_: &Current<(), usize>, ()| body())
                .unwrap();
            assert_eq!(me.switch(&g, ()).unwrap(), expected);
        }
    });
}

#[test]
fn unbound_ones_can_name_each_other() {
    let log = RefCell::new(Vec::new());
    scope(|s, me: &Current<()>| {
        let (ping, pong) = (s.unbound::<u32, ()>(me), s.unbound::<u32, ()>(me));
        let (to_ping, to_pong) = (ping.handle(), pong.handle());
        let log = &log;
        ping.bind(move |me, n| {
            log.borrow_mut().push(("ping", n));
            let n = me.switch(&to_pong, n + 1).unwrap();
            log.borrow_mut().push(("ping", n));
        });
        pong.bind(move |me, n| {
            log.borrow_mut().push(("pong", n));
            let _ = me.switch(&to_ping, n + 1);
        });
        me.switch(&to_ping, 0).unwrap();
    });
    assert_eq!(*log.borrow(), [("ping", 0), ("pong", 1), ("ping", 2)]);
}

#[test]
fn switching_to_an_unbound_one_is_an_error_until_it_is_bound() {
    scope(|s, me: &Current<String>| {
        let unbound = s.unbound::<String, String>(me);
        let g = unbound.handle();
        match me.switch(&g, "kept".to_owned()) {
            Err(SwitchError::Unbound(v)) => assert_eq!(v, "kept"),
            other => panic!("{other:?}"),
        }
        assert!(matches!(
            me.throw(&g, Box::new(1)),
            Err(SwitchError::Unbound(p)) if p.is::<i32>()
        ));
        assert!(!g.is_dead() && !g.is_waiting());
        assert!(unbound.bind(|_, s| s) == g);
        assert_eq!(me.switch(&g, "now".to_owned()).unwrap(), "now");
    });
}

#[test]
fn a_body_bound_to_a_dead_one_is_dropped() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let unbound = s.unbound::<(), ()>(me);
        let g = unbound.handle();
        me.kill(&g).unwrap();
        let counted = drops.guard();
        unbound.bind(move |_, ()| drop(counted));
        assert!(g.is_dead());
        assert_eq!((drops.alive(), drops.dropped()), (0, 1));
    });
}
