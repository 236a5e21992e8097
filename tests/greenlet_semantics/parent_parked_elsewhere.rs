//! An outcome whose parent waits elsewhere stays pending for its `receive`.

use super::*;

#[test]
fn the_outcome_is_pending_for_receive() {
    scope(|s, outer: &Current<String>| {
        let ends = s.spawn(outer, |_: &Current<(), String>, ()| "the value".to_owned());
        let inner = scope(|_, inner: &Current<u8>| {
            // Main waits at another inbox than the one the child answers to.
            inner.switch(&ends, ())
        });
        assert!(matches!(inner, Err(SwitchError::Deadlock(_))));
        assert!(ends.is_dead());
        assert_eq!(outer.receive().unwrap(), "the value");
    });
}

#[test]
fn the_oldest_comes_first_and_a_switch_says_that_one_is_pending() {
    scope(|s, outer: &Current<u8>| {
        scope(|_, inner: &Current<()>| {
            for n in 1..=3 {
                let g = s.spawn(outer, move |_: &Current<(), u8>, ()| n);
                let _ = inner.switch(&g, ());
            }
        });
        let other = s.spawn(outer, |_: &Current<&'static str, u8>, _| 9);
        assert!(matches!(
            outer.switch(&other, "kept"),
            Err(SwitchError::Pending("kept"))
        ));
        for n in 1..=3 {
            assert_eq!(outer.receive().unwrap(), n);
        }
        assert_eq!(outer.switch(&other, "sent").unwrap(), 9);
    });
}

#[test]
fn panics_and_exits_are_outcomes_too() {
    scope(|s, outer: &Current<u8>| {
        scope(|_, inner: &Current<()>| {
            let panics = s.spawn(outer, |_: &Current<(), u8>, ()| fail("pending"));
            let _ = inner.switch(&panics, ());
            let exits = s.spawn(outer, |me: &Current<(), u8>, ()| {
                let _ = me.kill(&me.handle());
                unreachable!()
            });
            let _ = inner.switch(&exits, ());
        });
        assert_eq!(panic_text(|| outer.receive()), "pending");
        assert!(matches!(outer.receive(), Err(SwitchError::Exited)));
    });
}
