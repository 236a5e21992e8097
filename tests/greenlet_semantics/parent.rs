//! Who has a parent, and who may change it.

use super::*;

#[test]
fn main_has_none() {
    scope(|_, me: &Current<()>| {
        assert!(me.parent().is_none());
        assert_eq!(me.set_parent(&me.handle()), Err(ParentError::NoParent));
    });
}

#[test]
fn a_circle_is_refused() {
    scope(|s, me: &Current<()>| {
        let g = s.spawn(me, |own: &Current<(), ()>, ()| {
            assert_eq!(own.set_parent(&own.handle()), Err(ParentError::Cycle));
            scope(|s, inner: &Current<()>| {
                let child = s.spawn(&own.handle(), |_: &Current<(), ()>, ()| ());
                let grandchild = s.spawn(&child, |_: &Current<(), ()>, ()| ());
                assert_eq!(own.set_parent(&grandchild), Err(ParentError::Cycle));
                let _ = inner;
            });
            assert!(own.parent().is_some(), "a refusal changes nothing");
        });
        me.switch(&g, ()).unwrap();
    });
}

#[test]
fn a_dead_one_is_refused() {
    scope(|s, me: &Current<()>| {
        let dead = s.spawn(me, |_: &Current<(), ()>, ()| ());
        me.switch(&dead, ()).unwrap();
        let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
            assert_eq!(me.set_parent(&dead), Err(ParentError::Dead));
        });
        me.switch(&g, ()).unwrap();
    });
}

#[test]
fn only_the_running_one_may_change_its_own() {
    scope(|s, me: &Current<()>| {
        let root = me.handle();
        let g = s.spawn(me, move |own: &Current<(), ()>, ()| {
            scope(|s, inner: &Current<()>| {
                let other = s.spawn(inner, |_: &Current<(), ()>, ()| {
                    assert_eq!(own.set_parent(&root), Err(ParentError::NotCurrent));
                });
                inner.switch(&other, ()).unwrap();
            });
        });
        me.switch(&g, ()).unwrap();
    });
}

#[test]
fn it_can_change_more_than_once() {
    scope(|s, me: &Current<&'static str>| {
        let root = me.handle();
        let wrong = s.spawn(me, |_: &Current<&str, &'static str>, _| "wrong");
        let g = s.spawn(me, move |me: &Current<(), &'static str>, ()| {
            me.set_parent(&wrong).unwrap();
            assert_eq!(me.parent(), Some(wrong));
            me.set_parent(&root).unwrap();
            assert_eq!(me.parent(), Some(root));
            "right"
        });
        assert_eq!(me.switch(&g, ()).unwrap(), "right");
    });
}
