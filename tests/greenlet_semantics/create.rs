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
    scope(|s, me: &Current<usize>| {
        for size in [StackSize::K64, StackSize::K256, StackSize::M1] {
            let g = s
                .try_spawn_sized(size, me, move |_: &Current<(), usize>, ()| {
                    let local = std::hint::black_box([0_u8; 64]);
                    let from = local.as_ptr().addr();
                    depth(from + 4096, size.bytes() / 2)
                })
                .unwrap();
            assert!(me.switch(&g, ()).unwrap() >= size.bytes() / 2);
        }
    });
}

/// Recurses until so many bytes of stack are in use, and says how many.
fn depth(from: usize, wanted: usize) -> usize {
    let local = std::hint::black_box([0_u8; 64]);
    let here = local.as_ptr().addr();
    match from - here {
        used if used >= wanted => used,
        _ => std::hint::black_box(depth(from, wanted)),
    }
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
