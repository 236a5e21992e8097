//! Standard input, in the shape of std's, cooperative.
//!
//! ```text
//!   Stdin (any number) ──lock──► StdinLock: the process's one buffer
//!                                   │ empty
//!                                   ▼
//!                               poll(2): would a read block? ──no──► read(2), once
//!                                   │ yes                              ▲
//!                                   └── wait in the hub for a duplicate┘
//! ```
//!
//! The open file behind descriptor 0 is shared with the shell and with other processes, so its mode is left alone: the read
//! blocks as ever, and is called when the system says that it would not. What another process takes in between is waited
//! for in the system. Files on a disk are always ready, and read at once.
//!
//! The lock is one of this crate, so that who waits for input does not stop a thread that only wants the lock.
#![forbid(unsafe_code)]

use core::panic::Location;
use std::io::{self, BufRead, BufReader, IsTerminal, Lines, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::LazyLock;

use super::os;
use super::ready::run_shared;
use super::source::{Call, Until};
use crate::reactor::Direction;
use crate::sync::{Mutex, MutexGuard};

/// The bytes themselves.
#[derive(Debug)]
struct Raw;

impl Read for Raw {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let call = Call {
            direction: Direction::Read,
            kind: "read of standard input",
            until: Until::Ever,
            site: Location::caller(),
        };
        match run_shared(io::stdin().as_fd(), &call, |fd| os::read(fd, buf)) {
            // Closed before the process began: empty, as for std.
            Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(0),
            other => other,
        }
    }
}

static INPUT: LazyLock<Mutex<BufReader<Raw>>> = LazyLock::new(|| Mutex::new(BufReader::new(Raw)));

/// The process's standard input: [`std::io::Stdin`], cooperative. From [`stdin`].
#[derive(Debug)]
pub struct Stdin {
    /// Whose buffer is not used.
    std: io::Stdin,
}

/// The process's standard input.
///
/// It has one buffer for all tasks and threads, which is not the one of [`std::io::stdin`]: use one of them only.
///
/// ```no_run
/// for line in greenloom::io::stdin().lines() {
///     println!("read: {}", line?); // other tasks run between the lines
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdin() -> Stdin {
    Stdin { std: io::stdin() }
}

impl Stdin {
    /// Keeps all others from reading, and reads with the buffer: [`BufRead`].
    ///
    /// # Blocking
    /// Switches while another has the lock, which may be until there is input.
    ///
    /// # Panics
    /// Where nothing can wait, if another has the lock.
    #[track_caller]
    pub fn lock(&self) -> StdinLock<'static> {
        StdinLock {
            input: locked(INPUT.lock()),
        }
    }

    /// Reads a line, with its end, and adds it to `buf`. 0 at the end of the input.
    ///
    /// # Blocking
    /// Switches if there is no line yet.
    ///
    /// # Errors
    /// `InvalidData` if it is not UTF-8; otherwise those of every wait: see [`PipeReader`](super::PipeReader).
    #[track_caller]
    pub fn read_line(&self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_line(buf)
    }

    /// The lines, without their ends. Keeps the lock.
    #[track_caller]
    pub fn lines(self) -> Lines<StdinLock<'static>> {
        self.lock().lines()
    }

    /// Whether a terminal is there.
    pub fn is_terminal(&self) -> bool {
        self.std.is_terminal()
    }
}

fn locked<T>(result: std::sync::LockResult<T>) -> T {
    match result {
        Ok(guard) => guard,
        Err(_) => unreachable!("locks of this crate are not poisoned"),
    }
}

/// The locked standard input: see [`Stdin::lock`].
#[must_use = "it is unlocked by its drop"]
#[derive(Debug)]
pub struct StdinLock<'a> {
    input: MutexGuard<'a, BufReader<Raw>>,
}

/// # Blocking
/// Switches if there is nothing to read, and now and then if there always is.
impl Read for StdinLock<'_> {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.input.read(buf)
    }
}

/// As [`Read`].
impl BufRead for StdinLock<'_> {
    #[track_caller]
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.input.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.input.consume(amount);
    }
}

/// Locks for each call.
impl Read for Stdin {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    #[track_caller]
    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        self.lock().read_to_end(buf)
    }

    #[track_caller]
    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        self.lock().read_to_string(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

/// Locks for each call.
impl Read for &Stdin {
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.lock().read(buf)
    }

    #[track_caller]
    fn read_exact(&mut self, buf: &mut [u8]) -> io::Result<()> {
        self.lock().read_exact(buf)
    }
}

impl AsFd for Stdin {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.std.as_fd()
    }
}

impl AsRawFd for Stdin {
    fn as_raw_fd(&self) -> RawFd {
        self.std.as_raw_fd()
    }
}
