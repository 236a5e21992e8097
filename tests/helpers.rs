//! The helpers of the other tests, shown to notice what they are there to notice.
#![forbid(unsafe_code)]

mod util;

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::thread;

use util::Drops;

fn fails(f: impl FnOnce()) -> bool {
    catch_unwind(AssertUnwindSafe(f)).is_err()
}

#[test]
fn a_child_runs_the_named_test_only() {
    const NAME: &str = "a_child_runs_the_named_test_only";
    if util::is_child(NAME) {
        println!("in the child");
        process::exit(7);
    }
    let output = util::run(&mut util::child(NAME));
    assert_eq!(output.status.code(), Some(7), "{}", util::describe(&output));
    assert!(util::describe(&output).contains("in the child"));
    assert!(!util::is_child("a_child_runs"));
}

#[test]
fn alone_runs_the_body_in_another_process() {
    const NAME: &str = "alone_runs_the_body_in_another_process";
    let mut ran_here = false;
    util::alone(NAME, || ran_here = true);
    assert_eq!(ran_here, util::is_child(NAME));
}

#[test]
fn alone_reports_a_failing_body_and_a_wrong_name() {
    const NAME: &str = "alone_reports_a_failing_body_and_a_wrong_name";
    if util::is_child(NAME) {
        return util::alone(NAME, || panic!("on purpose"));
    }
    assert!(fails(|| util::alone(NAME, || ())));
    assert!(fails(|| util::alone("no_such_test", || ())));
}

#[test]
fn a_leaked_descriptor_is_noticed() {
    util::alone("a_leaked_descriptor_is_noticed", || {
        let mut kept = Vec::new();
        assert!(fails(|| util::assert_no_leak(
            || kept.push(File::open("/dev/null").unwrap())
        )));
        util::assert_no_leak(|| drop(File::open("/dev/null").unwrap()));
    });
}

#[test]
fn leaked_address_space_is_noticed() {
    util::alone("leaked_address_space_is_noticed", || {
        let block = || vec![0_u8; 1 << 20];
        let mut kept = Vec::new();
        let noticed = fails(|| util::assert_no_leak(|| kept.push(block())));
        // Under AddressSanitizer address space is not looked at.
        assert_eq!(noticed, !cfg!(feature = "sanitizer"));
        util::assert_no_leak(|| drop(block()));
    });
}

#[test]
fn a_leaked_mapping_is_noticed() {
    util::alone("a_leaked_mapping_is_noticed", || {
        // A thread that never ends keeps its stack and the guard below it.
        let before = util::mappings();
        let threads = 8;
        for _ in 0..threads {
            thread::spawn(|| {
                loop {
                    thread::park();
                }
            });
        }
        assert!(util::mappings() >= before + threads);
    });
}

#[test]
fn drops_are_counted() {
    let drops = Drops::new();
    let (a, b) = (drops.guard(), drops.local_guard());
    let again = b.clone();
    assert_eq!((drops.alive(), drops.dropped()), (2, 0));
    drop((a, b));
    assert_eq!((drops.alive(), drops.dropped()), (1, 1));
    drop(again);
    assert_eq!((drops.alive(), drops.dropped()), (0, 2));
}
