//! Stacks that overflow, and faults that are none.

mod util;

use std::hint::black_box;
use std::os::unix::process::ExitStatusExt;

use greenloom::stack::StackSize;
use greenloom::task::Builder;
use greenloom::{spawn, yield_now};
use util::describe;

/// Uses up any stack.
#[inline(never)]
#[allow(unconditional_recursion)]
fn recurse(n: u64) -> u64 {
    let frame = black_box([n; 32]);
    recurse(n + 1) + frame[0]
}

/// A fault that is none of greenloom's: Rust's own handler sees it, or AddressSanitizer's, where that is.
#[track_caller]
fn dies_of_a_foreign_fault(test_name: &str, signal: i32, parts: &[&str]) {
    let told = if cfg!(feature = "sanitizer") {
        let output = util::run(&mut util::child(test_name));
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains("AddressSanitizer"), "{}", describe(&output));
        told
    } else {
        let told = dies(test_name, signal);
        for part in parts {
            assert!(told.contains(part), "no {part:?} in\n{told}");
        }
        told
    };
    assert!(!told.contains("greenloom: stack overflow"), "{told}");
}

/// The text on stderr of the child of `test_name`, which dies of `signal`.
#[track_caller]
fn dies(test_name: &str, signal: i32) -> String {
    let output = util::run(&mut util::child(test_name));
    assert_eq!(
        output.status.signal(),
        Some(signal),
        "{}",
        describe(&output)
    );
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_task_that_recurses_without_end_is_named() {
    const NAME: &str = "a_task_that_recurses_without_end_is_named";
    if util::is_child(NAME) {
        let bystander = spawn(|| {
            loop {
                yield_now()
            }
        });
        let task = Builder::new()
            .name("glutton")
            .stack_size(StackSize::K256)
            .spawn(|| recurse(0))
            .unwrap();
        println!("{:?}", task.join());
        drop(bystander);
        return;
    }
    let told = dies(NAME, libc::SIGABRT);
    for part in ["stack overflow", "'glutton'", "256 KiB", "overflow.rs:"] {
        assert!(told.contains(part), "no {part:?} in\n{told}");
    }
}

#[test]
fn an_overflow_of_main_is_not_taken_for_a_tasks() {
    const NAME: &str = "an_overflow_of_main_is_not_taken_for_a_tasks";
    if util::is_child(NAME) {
        spawn(|| ()).join().unwrap();
        println!("{}", recurse(0));
        return;
    }
    dies_of_a_foreign_fault(NAME, libc::SIGABRT, &["overflowed its stack"]);
}

#[test]
fn an_overflow_of_a_plain_thread_is_not_taken_for_a_tasks() {
    const NAME: &str = "an_overflow_of_a_plain_thread_is_not_taken_for_a_tasks";
    if util::is_child(NAME) {
        spawn(|| ()).join().unwrap();
        let thread = std::thread::Builder::new()
            .name("plain".into())
            .spawn(|| recurse(0));
        println!("{:?}", thread.unwrap().join());
        return;
    }
    dies_of_a_foreign_fault(NAME, libc::SIGABRT, &["'plain'", "overflowed its stack"]);
}

#[test]
fn a_null_dereference_in_a_task_is_a_fault_like_any() {
    const NAME: &str = "a_null_dereference_in_a_task_is_a_fault_like_any";
    if util::is_child(NAME) {
        let task = spawn(|| {
            // In the page that is never mapped; not 0 itself, which debug builds look for.
            let wild: *const u8 = black_box(std::ptr::without_provenance(8));
            // SAFETY: none: the fault is what is tested, in a process of its own.
            let _ = black_box(unsafe { wild.read_volatile() });
        });
        println!("{:?}", task.join());
        return;
    }
    dies_of_a_foreign_fault(NAME, libc::SIGSEGV, &[]);
}
