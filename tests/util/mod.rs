//! Helpers of the integration tests: child processes, leak checks, values that count their drops.
//!
//! ```text
//! test ── child("test") ──> the same binary, this one test, GREENLOOM_CHILD=test
//!                             └─ is_child("test") is true there, so the body does what the parent looks at
//! ```
//!
//! A test that crashes, exits, or counts what belongs to the whole process (descriptors, mappings) runs its
//! body in a child: neighbours in the same process would disturb the count. Nothing here sleeps or waits for
//! a time to pass.
#![forbid(unsafe_code)]
#![allow(dead_code)] // each test binary uses its part

use std::env;
use std::fs;
use std::process::{Command, Output, Stdio};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Set in child processes, to the name of the test that started them.
const CHILD: &str = "GREENLOOM_CHILD";

/// A command that runs the test `test_name` of this binary again, alone, as a child process.
///
/// The name is the full path of the test as the harness prints it: `overflow::names_the_task`.
pub(crate) fn child(test_name: &str) -> Command {
    let mut command = Command::new(env::current_exe().expect("the test binary's own path"));
    command.args([test_name, "--exact", "--nocapture", "--test-threads=1"]);
    command
        .env(CHILD, test_name)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::null());
    command
}

/// Whether this process was started by [`child`] for the test of that name.
pub(crate) fn is_child(test_name: &str) -> bool {
    env::var_os(CHILD).is_some_and(|name| name == test_name)
}

/// Runs `body` in a process of its own and fails with that process's output if it fails.
///
/// To be called as all that a test does, with the test's own name:
/// `util::alone("closes_all", || { … })`.
#[track_caller]
pub(crate) fn alone(test_name: &str, body: impl FnOnce()) {
    if is_child(test_name) {
        return body();
    }
    let output = run(&mut child(test_name));
    assert!(output.status.success(), "{}", describe(&output));
    // A wrong name matches no test, and a harness that runs no test succeeds.
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        told.contains("1 passed"),
        "no test is named {test_name}:\n{}",
        describe(&output)
    );
}

/// Runs a command to its end with its output captured.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {command:?}: {error}"),
    }
}

/// Status and output of a finished child, for the message of an assertion.
pub(crate) fn describe(output: &Output) -> String {
    format!(
        "{}\n--- stdout\n{}\n--- stderr\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    )
}

/// How many file descriptors this process has open.
pub(crate) fn open_fds() -> usize {
    // Reading the folder takes a descriptor, which is listed.
    fs::read_dir("/proc/self/fd")
        .expect("/proc/self/fd")
        .count()
        - 1
}

/// How many mappings this process has.
pub(crate) fn mappings() -> usize {
    fs::read_to_string("/proc/self/maps")
        .expect("/proc/self/maps")
        .lines()
        .count()
}

/// How much address space this process has mapped, in KiB.
pub(crate) fn mapped_kib() -> usize {
    let status = fs::read_to_string("/proc/self/status").expect("/proc/self/status");
    let size = status.lines().find_map(|line| line.strip_prefix("VmSize:"));
    let number = size.and_then(|size| size.split_whitespace().next());
    number.expect("a VmSize line").parse().expect("a number")
}

/// Runs `round` again and again and fails if it leaves descriptors, mappings or address space behind each time.
///
/// What the first rounds build up (a hub, its slabs, the allocator's own memory) is allowed. To be called
/// within [`alone`].
#[track_caller]
pub(crate) fn assert_no_leak(mut round: impl FnMut()) {
    const WARM_UP: usize = 3;
    const ROUNDS: usize = 16;
    for _ in 0..WARM_UP {
        round();
    }
    let (fds, maps, kib) = (open_fds(), mappings(), mapped_kib());
    for _ in 0..ROUNDS {
        round();
    }
    assert_eq!(
        open_fds(),
        fds,
        "file descriptors after {ROUNDS} more rounds, and before"
    );
    if cfg!(feature = "sanitizer") {
        // AddressSanitizer holds back what is freed, so that memory grows without a leak.
        return;
    }
    // The allocator may still map a little; a leak shows in every round.
    let grown = mappings().saturating_sub(maps);
    assert!(
        grown < ROUNDS / 2,
        "{grown} more mappings after {ROUNDS} more rounds"
    );
    // Neighbouring mappings of one kind merge into one, so the number alone does not tell. Half a stack of
    // the smallest class in each round is more than an allocator's noise.
    let grown = mapped_kib().saturating_sub(kib);
    assert!(
        grown < ROUNDS * 32,
        "{grown} KiB more are mapped after {ROUNDS} more rounds"
    );
}

/// Counts the values made from it, and their drops.
#[derive(Clone, Debug, Default)]
pub(crate) struct Drops(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    made: AtomicUsize,
    dropped: AtomicUsize,
}

impl Drops {
    /// A counter of nothing.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// A value whose drop is counted; it can be sent to other threads.
    #[must_use = "a guard that is not kept is dropped at once"]
    pub(crate) fn guard(&self) -> Counted {
        self.0.made.fetch_add(1, Ordering::SeqCst);
        Counted(self.clone())
    }

    /// The same, but not `Send`: for what has to be dropped on its own thread.
    #[must_use = "a guard that is not kept is dropped at once"]
    pub(crate) fn local_guard(&self) -> Rc<Counted> {
        Rc::new(self.guard())
    }

    /// How many of the guards have been dropped.
    pub(crate) fn dropped(&self) -> usize {
        self.0.dropped.load(Ordering::SeqCst)
    }

    /// How many of the guards are alive.
    pub(crate) fn alive(&self) -> usize {
        self.0.made.load(Ordering::SeqCst) - self.dropped()
    }
}

/// A value made by [`Drops::guard`].
#[derive(Debug)]
pub(crate) struct Counted(Drops);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}
