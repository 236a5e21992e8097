//! Tests of the stacks, as the layers above use them, and what they share.
//!
//! What ends a process, changes its limits, or must not be disturbed by other tests runs in a child: the test's own
//! binary again, with only that test. See [`in_child`].

#![cfg_attr(feature = "sanitizer", allow(unused_imports, dead_code))] // its runtime excludes some tests

mod arena;
mod guards;
mod overflow;

use std::hint::black_box;
use std::num::NonZeroU64;
use std::os::unix::process::ExitStatusExt;
use std::panic::Location;
use std::process::{Command, Output};
use std::{env, fs, io, ptr};

use super::{Slot, run_on, sys};

/// Tells a child which part of its test to play.
const PART: &str = "GREENLOOM_TEST_PART";

/// The part that this process plays, if it is a child.
fn part() -> Option<String> {
    env::var(PART).ok()
}

/// Runs the test `name` (its path below `stack::tests`) in a process of its own, playing `part`.
fn in_child(name: &str, part: &str) -> Output {
    Command::new(env::current_exe().unwrap())
        .args([
            &format!("stack::tests::{name}"),
            "--exact",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(PART, part)
        .env_remove("RUST_BACKTRACE")
        .output()
        .unwrap()
}

/// Runs `body` in a process of its own, and expects it to end well.
fn alone(name: &str, body: impl FnOnce()) {
    if part().is_some() {
        return body();
    }
    let output = in_child(name, "body");
    let text = shown(&output);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

/// A child's status and what it wrote.
fn shown(output: &Output) -> String {
    format!(
        "{:?}\n{}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Whether the child was ended by a signal.
fn died_of(output: &Output, signal: i32) -> bool {
    output.status.signal() == Some(signal)
}

/// Opens a slot as greenlet `id`, spawned at the caller.
#[track_caller]
fn open(slot: Slot, id: u64) {
    slot.open(NonZeroU64::new(id).unwrap(), Location::caller());
}

/// Uses up the stack that it runs on.
#[inline(never)]
#[allow(unconditional_recursion)] // that is the point
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 32]);
    recurse(black_box(depth + 1)) + black_box(frame)[3]
}

/// Overflows a slot.
fn overflow(slot: Slot) {
    // SAFETY: the test owns the slot, and does not come back.
    unsafe { run_on(slot, || recurse(0)) };
}

/// Whether the kernel can read the word at `address`: asked of the kernel, so that a guard does not fault here.
fn readable(address: usize) -> bool {
    let word = ptr::with_exposed_provenance_mut::<u64>(address & !7);
    let mut copy = 0_u64;
    let local = libc::iovec {
        iov_base: (&raw mut copy).cast(),
        iov_len: 8,
    };
    let remote = libc::iovec {
        iov_base: word.cast(),
        iov_len: 8,
    };
    // SAFETY: `copy` is written; the kernel checks `remote`.
    let copied = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    match (copied, io::Error::last_os_error().raw_os_error()) {
        (8, _) => return true,
        (_, Some(libc::EFAULT)) => return false,
        _ => {}
    }
    // Not permitted in some containers. This call (which valgrind does itself) reads a signal set before it finds that
    // the first argument is none of the three it knows.
    // SAFETY: the kernel checks the address, and changes nothing.
    let done = unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            -1,
            word,
            ptr::null_mut::<u64>(),
            8,
        )
    };
    let error = io::Error::last_os_error().raw_os_error();
    assert!(
        done == -1 && matches!(error, Some(libc::EFAULT | libc::EINVAL)),
        "{error:?}"
    );
    error == Some(libc::EINVAL)
}

/// Writes a byte to each page of the stack of a slot, above the guard.
fn dirty(slot: Slot) {
    for address in (slot.limit()..slot.top())
        .step_by(sys::page_size())
        .filter(|&a| a >= stack_start(slot))
    {
        // SAFETY: the slot is live and nothing runs on it; the address is above its guard.
        unsafe { ptr::with_exposed_provenance_mut::<u8>(address).write_volatile(0xa5) };
    }
}

/// The lowest address above the guard.
fn stack_start(slot: Slot) -> usize {
    slot.limit() + super::guard::len(slot.size())
}

/// The byte at an address inside a slot.
fn byte(address: usize) -> u8 {
    // SAFETY: the tests pass addresses inside carved slots of an arena that is alive, above the guard.
    unsafe { ptr::with_exposed_provenance::<u8>(address).read_volatile() }
}

/// How many mappings of this process overlap the given ranges.
fn mappings(ranges: &[(usize, usize)]) -> usize {
    fs::read_to_string("/proc/self/maps")
        .unwrap()
        .lines()
        .filter(|line| {
            let (start, end) = line.split(' ').next().unwrap().split_once('-').unwrap();
            let number = |text| usize::from_str_radix(text, 16).unwrap();
            let (start, end) = (number(start), number(end));
            ranges
                .iter()
                .any(|&(base, len)| start < base + len && base < end)
        })
        .count()
}

/// Lowers the limit on this process's address space.
fn limit_address_space(bytes: u64) {
    let limit = libc::rlimit {
        rlim_cur: bytes,
        rlim_max: bytes,
    };
    // SAFETY: `limit` is a valid request.
    let set = unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) };
    assert_eq!(set, 0, "{}", io::Error::last_os_error());
}

/// Random numbers that are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % n
    }
}
