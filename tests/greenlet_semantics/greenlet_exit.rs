//! A kill: destructors run, control returns to the killer, the parent sees `Exited`.

use super::*;

#[test]
fn unwinds_the_target_and_returns_to_the_killer() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let counted = drops.guard();
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _counted = counted;
            let _ = me.switch(&me.parent().unwrap(), ());
            unreachable!()
        });
        me.switch(&g, ()).unwrap();
        assert_eq!(me.kill(&g), Ok(()));
        assert!(g.is_dead());
        assert_eq!(drops.alive(), 0);
        assert_eq!(me.kill(&g), Ok(()), "killing it again does nothing");
    });
}

#[test]
fn is_no_error_the_parent_sees_exited() {
    scope(|s, me: &Current<()>| {
        let victim: Greenlet<()> = s.spawn(me, |me: &Current<(), ()>, ()| {
            let _ = me.switch(&me.parent().unwrap(), ());
        });
        me.switch(&victim, ()).unwrap();
        let killer = s.spawn(me, move |me: &Current<(), ()>, ()| {
            me.kill(&victim).unwrap();
            // The killer goes on first.
            assert!(victim.is_dead());
            let _ = me.receive();
        });
        assert!(matches!(me.switch(&killer, ()), Err(SwitchError::Exited)));
        assert!(!killer.is_dead());
    });
}

#[test]
fn of_an_unstarted_one_drops_its_captures() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let counted = drops.guard();
        let g = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        me.kill(&g).unwrap();
        assert!(g.is_dead());
        assert_eq!((drops.alive(), drops.dropped()), (0, 1));
    });
}

#[test]
fn of_oneself_unwinds_at_once() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let drops = drops.clone();
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            let _counted = drops.guard();
            let _ = me.kill(&me.handle());
            unreachable!()
        });
        assert!(me.switch(&g, ()).unwrap_err().is_exited());
        assert!(g.is_dead());
    });
    assert_eq!((drops.alive(), drops.dropped()), (0, 1));
}

#[test]
fn main_cannot_be_killed() {
    scope(|s, me: &Current<()>| {
        assert_eq!(me.kill(&me.handle()), Err(KillError::Main));
        let root = me.handle();
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            assert_eq!(me.kill(&root), Err(KillError::Main));
        });
        me.switch(&g, ()).unwrap();
    });
}
