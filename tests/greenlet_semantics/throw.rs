//! An exception from outside: at the pending switch, into an unstarted one, into a dead one, at oneself.

use super::*;

#[test]
fn is_raised_at_the_targets_pending_switch() {
    scope(|s, me: &Current<String>| {
        let g = s.spawn(me, |me: &Current<(), String>, ()| {
            let text = panic_text(|| me.switch(&me.parent().unwrap(), "ready".into()));
            format!("caught {text}")
        });
        assert_eq!(me.switch(&g, ()).unwrap(), "ready");
        assert_eq!(me.throw(&g, Box::new("it")).unwrap(), "caught it");
    });
}

#[test]
fn into_an_unstarted_one_kills_it_and_goes_on_to_its_parent() {
    let drops = Drops::new();
    scope(|s, me: &Current<()>| {
        let counted = drops.guard();
        let g = s.spawn(me, move |_: &Current<(), ()>, ()| drop(counted));
        assert_eq!(
            panic_text(|| me.throw(&g, Box::new("never run"))),
            "never run"
        );
        assert!(g.is_dead());
        assert_eq!((drops.alive(), drops.dropped()), (0, 1));
    });
}

#[test]
fn into_a_dead_one_hands_it_back() {
    scope(|s, me: &Current<()>| {
        let g = s.spawn(me, |_: &Current<(), ()>, ()| ());
        me.switch(&g, ()).unwrap();
        match me.throw(&g, Box::new(77)) {
            Err(SwitchError::Dead(p)) => assert_eq!(p.downcast_ref(), Some(&77)),
            other => panic!("{other:?}"),
        }
    });
}

#[test]
fn at_oneself_is_raised_at_once() {
    scope(|s, me: &Current<String>| {
        assert_eq!(
            panic_text(|| me.throw(&me.handle(), Box::new("main"))),
            "main"
        );
        let g = s.spawn(me, |me: &Current<(), String>, ()| {
            panic_text(|| me.throw(&me.handle(), Box::new("own")))
        });
        assert_eq!(me.switch(&g, ()).unwrap(), "own");
    });
}

#[test]
fn uncaught_goes_on_to_the_targets_parent() {
    scope(|s, me: &Current<()>| {
        let g = s.spawn(me, |me: &Current<(), ()>, ()| {
            me.switch(&me.parent().unwrap(), ()).unwrap();
        });
        me.switch(&g, ()).unwrap();
        assert_eq!(panic_text(|| me.throw(&g, Box::new("through"))), "through");
        assert!(g.is_dead());
    });
}
