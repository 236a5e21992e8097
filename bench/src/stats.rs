//! What an echo server tells about itself: requests, CPU time and allocations, on a signal.
//!
//! | signal | line on stdout | then |
//! | --- | --- | --- |
//! | SIGUSR1 | `stats requests=… cpu_ns=… allocations=…` | goes on |
//! | SIGTERM, SIGALRM | `total requests=… cpu_ns=… allocations=…` | `_exit(0)` |
//!
//! A signal handler rather than a thread that waits: a second thread would make every system call of the
//! server dearer (the kernel counts references to a file table that is shared) and so spoil the reference.
//! The handler may run at any point of the server, on a coroutine's stack as well: it uses async-signal-safe
//! calls only, formats into an array of its own, allocates nothing, and leaves `errno` as it found it.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::alloc;

/// Requests answered so far.
static REQUESTS: AtomicU64 = AtomicU64::new(0);

/// Counts one request. Call it from the server's one thread only: it is a load and a store, which costs
/// nothing beside the system calls, where an atomic addition would not.
pub(crate) fn request() {
    REQUESTS.store(REQUESTS.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
}

/// One line of a server, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Requests answered.
    pub(crate) requests: u64,
    /// CPU time of the process, user and system.
    pub(crate) cpu_ns: u64,
    /// Allocations of the server's thread.
    pub(crate) allocations: u64,
}

impl Stats {
    /// Reads a line that [`report_on_signals`] made, or `None` if it is another.
    pub(crate) fn from_line(line: &str) -> Option<Stats> {
        let mut words = line.split_whitespace();
        if !matches!(words.next()?, "stats" | "total") {
            return None;
        }
        let mut field = |name: &str| {
            let (key, digits) = words.next()?.split_once('=')?;
            (key == name).then(|| digits.parse().ok()).flatten()
        };
        Some(Stats {
            requests: field("requests")?,
            cpu_ns: field("cpu_ns")?,
            allocations: field("allocations")?,
        })
    }
}

/// Installs the handler of the table above. The server must have one thread.
pub(crate) fn report_on_signals() -> io::Result<()> {
    for signal in [libc::SIGUSR1, libc::SIGTERM, libc::SIGALRM] {
        // SAFETY: `sigaction` is plain data, of which all-zero is "no flags, no mask, default action".
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = report as extern "C" fn(libc::c_int) as usize;
        action.sa_flags = libc::SA_RESTART;
        // SAFETY: `action` lives through the calls; `report` has the signature of a handler without
        // SA_SIGINFO and is async-signal-safe, as its own comments argue.
        let result = unsafe {
            // While one line is being written no other may begin.
            libc::sigfillset(&mut action.sa_mask);
            libc::sigaction(signal, &action, std::ptr::null_mut())
        };
        if result == -1 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The handler: writes one line, and ends the process unless asked for an interim one.
extern "C" fn report(signal: libc::c_int) {
    // SAFETY: the address of this thread's errno is valid for as long as the thread runs.
    let errno = unsafe { *libc::__errno_location() };
    let mut line = Line::new();
    line.text(match signal {
        libc::SIGUSR1 => b"stats",
        _ => b"total",
    });
    line.text(b" requests=");
    line.number(REQUESTS.load(Ordering::Relaxed));
    line.text(b" cpu_ns=");
    line.number(cpu_ns());
    line.text(b" allocations=");
    // The handler runs on the server's only thread, so this is that thread's count.
    line.number(alloc::count());
    line.text(b"\n");
    let bytes = line.bytes();
    // SAFETY: `bytes` is valid for reads of its length, and `write` is async-signal-safe. A line this short
    // is written to a pipe in one piece; a reader that is gone is no reason to do anything.
    unsafe { libc::write(libc::STDOUT_FILENO, bytes.as_ptr().cast(), bytes.len()) };
    if signal != libc::SIGUSR1 {
        // SAFETY: `_exit` is async-signal-safe; the server holds nothing that needs a destructor.
        unsafe { libc::_exit(0) };
    }
    // SAFETY: as for the read above.
    unsafe { *libc::__errno_location() = errno };
}

/// CPU time of this process so far.
fn cpu_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is valid for the write; the call is async-signal-safe.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// A line of text in an array; what does not fit is dropped.
struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Line {
    fn new() -> Line {
        Line {
            bytes: [0; 160],
            length: 0,
        }
    }

    fn text(&mut self, text: &[u8]) {
        for &byte in text {
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
        }
    }

    fn number(&mut self, mut n: u64) {
        // The longest u64 has 20 digits; they come out last first.
        let mut digits = [0; 20];
        let mut start = digits.len();
        loop {
            start -= 1;
            digits[start] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                break;
            }
        }
        self.text(&digits[start..]);
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length() {
        for n in [0, 7, 10, 909, u64::MAX] {
            let mut line = Line::new();
            line.number(n);
            assert_eq!(line.bytes(), n.to_string().as_bytes());
        }
    }

    #[test]
    fn lines_read_back() {
        let stats = Stats::from_line("stats requests=3 cpu_ns=1200 allocations=0");
        let expected = Stats {
            requests: 3,
            cpu_ns: 1200,
            allocations: 0,
        };
        assert_eq!(stats, Some(expected));
        assert_eq!(Stats::from_line("listening on 127.0.0.1:80"), None);
        assert_eq!(Stats::from_line("stats requests=3 cpu_ns=x"), None);
    }
}
