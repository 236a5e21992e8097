//! greenloom in a program built with `panic = "abort"`, where no greenlet can be unwound.
//!
//! The harness itself always unwinds, so the cases are in a program of their own, `tests/abort-child`, which is
//! built here once (into a target folder of its own: the build that runs this test may hold the usual one) and
//! run once per case. No case may end in a destructor that has been skipped silently: either the greenlet goes
//! on, or the process aborts and says which greenlet it was.
#![forbid(unsafe_code)]

mod util;

use std::env;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use util::describe;

const SIGABRT: i32 = 6;

/// The built program.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let target = root.join("target").join("rel-abort-child");
        let mut build = Command::new(env!("CARGO"));
        build
            .args([
                "build",
                "--profile",
                "rel-abort",
                "-p",
                "abort-child",
                "--target-dir",
            ])
            .arg(&target);
        // What this test was built with (a sanitizer, a model checker) is not meant for the program.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            build.env_remove(name);
        }
        let output = util::run(build.current_dir(root));
        assert!(output.status.success(), "{}", describe(&output));
        target.join("rel-abort").join("abort-child")
    })
}

fn case(name: &str) -> Output {
    util::run(Command::new(program()).arg(name).env("RUST_BACKTRACE", "0"))
}

#[track_caller]
fn assert_prints(name: &str, expected: &str) {
    let output = case(name);
    assert!(output.status.success(), "{}", describe(&output));
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        expected,
        "{}",
        describe(&output)
    );
}

/// The case aborts, and stderr has all of `parts`.
#[track_caller]
fn assert_aborts(name: &str, parts: &[&str]) {
    let output = case(name);
    assert_eq!(
        output.status.signal(),
        Some(SIGABRT),
        "{}",
        describe(&output)
    );
    let told = String::from_utf8_lossy(&output.stderr);
    for part in parts {
        assert!(told.contains(part), "no {part:?} in\n{}", describe(&output));
    }
    assert!(
        !String::from_utf8_lossy(&output.stdout).contains("end of main"),
        "{}",
        describe(&output)
    );
}

#[test]
fn switches_and_tasks_work() {
    assert_prints("switch", "answer 42\njoined task\nend of main\n");
}

#[test]
fn killing_a_started_greenlet_is_refused() {
    assert_prints(
        "kill-started",
        "kill refused\nwent on\ndropped local\nend of main\n",
    );
}

#[test]
fn killing_an_unstarted_task_drops_its_captures() {
    assert_prints(
        "kill-unstarted",
        "dropped capture\njoin is an error: true\nend of main\n",
    );
}

#[test]
fn an_expired_timeout_lets_a_sleep_go_on() {
    assert_prints("timeout", "ok: slept on\nend of main\n");
}

#[test]
fn a_generator_that_ran_out_is_dropped() {
    assert_prints("generator-run-out", "sum 6\nend of main\n");
}

#[test]
fn a_scope_with_a_suspended_greenlet_aborts_and_names_it() {
    // Where it was spawned, for it has no name.
    assert_aborts("scope-leftover", &["greenlet", "abort-child/src/main.rs:"]);
}

#[test]
fn a_panic_in_a_task_aborts() {
    assert_aborts("panic", &["on purpose"]);
}
