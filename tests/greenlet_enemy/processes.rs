//! What ends the process, or writes to its stderr: looked at from outside, in a child.
#![forbid(unsafe_code)]

use std::os::unix::process::ExitStatusExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::Output;

use greenloom::greenlet::{Current, Greenlet, PanicPolicy, Scope, scope, set_panic_policy};

use crate::util::{child, describe, is_child, run};

/// The signal of `abort`.
const SIGABRT: i32 = 6;

/// Runs `body` in a child, and returns what came of it in the parent.
fn observe(test: &str, body: impl FnOnce()) -> Option<(Output, String)> {
    if is_child(test) {
        body();
        return None;
    }
    let output = run(&mut child(test));
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Some((output, stderr))
}

/// Swallows `times` kills, then lets the next one through.
fn stubborn<'s>(s: &'s Scope<'s, '_>, me: &Current<()>, times: u32) -> Greenlet<()> {
    let g = s.spawn(me, move |me: &Current<(), ()>, ()| {
        me.set_name("stubborn");
        for _ in 0..times {
            let kill = catch_unwind(AssertUnwindSafe(|| me.receive()));
            assert!(kill.is_err());
        }
        let _ = me.receive();
    });
    let _ = me.switch(&g, ());
    g
}

#[test]
fn the_hundredth_swallowed_kill_is_reported_with_name_and_site() {
    let test = "processes::the_hundredth_swallowed_kill_is_reported_with_name_and_site";
    let Some((output, stderr)) = observe(test, || {
        scope(|s, me: &Current<()>| {
            let g = stubborn(s, me, 150);
            assert_eq!(me.kill(&g), Ok(()));
            assert!(g.is_dead());
        });
    }) else {
        return;
    };
    assert!(output.status.success(), "{}", describe(&output));
    let reports: Vec<_> = stderr.lines().filter(|l| l.contains("swallowed")).collect();
    let [report] = reports[..] else {
        panic!("{}", describe(&output));
    };
    assert!(
        report.contains("'stubborn'") && report.contains("processes.rs:"),
        "{report}"
    );
}

#[test]
fn ninety_nine_are_not_reported() {
    let Some((output, stderr)) = observe("processes::ninety_nine_are_not_reported", || {
        scope(|s, me: &Current<()>| {
            stubborn(s, me, 99 - 1);
        });
    }) else {
        return;
    };
    assert!(
        output.status.success() && !stderr.contains("swallowed"),
        "{}",
        describe(&output)
    );
}

#[test]
fn at_the_end_of_a_scope_it_aborts() {
    let Some((output, stderr)) = observe("processes::at_the_end_of_a_scope_it_aborts", || {
        scope(|s, me: &Current<()>| {
            stubborn(s, me, u32::MAX);
        });
    }) else {
        return;
    };
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}",
        describe(&output)
    );
    assert!(
        stderr.contains("swallowed 100 kills") && stderr.contains("'stubborn'"),
        "{stderr}"
    );
}

#[test]
fn a_panic_that_nobody_receives_is_reported_once_by_default() {
    let test = "processes::a_panic_that_nobody_receives_is_reported_once_by_default";
    let Some((output, stderr)) = observe(test, || {
        scope(|s, outer: &Current<()>| {
            let g = s.spawn(outer, |me: &Current<(), ()>, ()| {
                me.set_name("unheard");
                resume_unwind(Box::new("the text".to_owned()))
            });
            scope(|_, inner: &Current<()>| drop(inner.switch(&g, ())));
        });
    }) else {
        return;
    };
    assert!(output.status.success(), "{}", describe(&output));
    let reports: Vec<_> = stderr.lines().filter(|l| l.contains("the text")).collect();
    let [report] = reports[..] else {
        panic!("{}", describe(&output));
    };
    assert!(
        report.contains("'unheard'") && report.contains("processes.rs:"),
        "{report}"
    );
}

#[test]
fn or_aborts_by_policy() {
    let Some((output, stderr)) = observe("processes::or_aborts_by_policy", || {
        set_panic_policy(PanicPolicy::Abort);
        scope(|s, me: &Current<()>| {
            let dead = s.spawn(me, |_: &Current<(), ()>, ()| ());
            me.kill(&dead).unwrap();
            let g = s.spawn(&dead, |_: &Current<(), ()>, ()| {
                resume_unwind(Box::new("fatal"))
            });
            let _ = me.switch(&g, ());
        });
    }) else {
        return;
    };
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}",
        describe(&output)
    );
    assert!(stderr.contains("fatal"), "{stderr}");
}

#[test]
fn a_panic_that_leaves_a_destructor_during_a_kill_aborts_as_rust_does() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("in a destructor");
        }
    }
    let test = "processes::a_panic_that_leaves_a_destructor_during_a_kill_aborts_as_rust_does";
    let Some((output, stderr)) = observe(test, || {
        scope(|s, me: &Current<()>| {
            let g = s.spawn(me, |me: &Current<(), ()>, ()| {
                let _bomb = Bomb;
                let _ = me.switch(&me.parent().unwrap(), ());
            });
            me.switch(&g, ()).unwrap();
            let _ = me.kill(&g);
        });
    }) else {
        return;
    };
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}",
        describe(&output)
    );
    assert!(stderr.contains("in a destructor"), "{stderr}");
}

#[test]
fn a_stack_that_overflows_is_named_and_aborts() {
    fn endless(n: u64) -> u64 {
        std::hint::black_box(if n == u64::MAX { 0 } else { endless(n + 1) + 1 })
    }
    let Some((output, stderr)) = observe(
        "processes::a_stack_that_overflows_is_named_and_aborts",
        || {
            scope(|s, me: &Current<u64>| {
                let g = s.spawn(me, |me: &Current<u64, u64>, n| {
                    me.set_name("deep");
                    endless(n)
                });
                let _ = me.switch(&g, 0);
            });
        },
    ) else {
        return;
    };
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}",
        describe(&output)
    );
    assert!(
        stderr.contains("stack overflow") && stderr.contains("deep"),
        "{stderr}"
    );
}

#[test]
fn the_default_panic_hook_with_a_backtrace_fits_on_the_smallest_stack() {
    let test = "processes::the_default_panic_hook_with_a_backtrace_fits_on_the_smallest_stack";
    let body = || {
        scope(|s, me: &Current<()>| {
            let g = s.spawn(me, |_: &Current<(), ()>, ()| panic!("with a backtrace"));
            let caught = catch_unwind(AssertUnwindSafe(|| me.switch(&g, ())));
            assert!(caught.is_err() && g.is_dead());
        });
    };
    if is_child(test) {
        return body();
    }
    let output = run(child(test).env("RUST_BACKTRACE", "full"));
    assert!(output.status.success(), "{}", describe(&output));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("with a backtrace") && stderr.contains("stack backtrace"),
        "{stderr}"
    );
}
