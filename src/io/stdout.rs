//! Standard output and standard error, in the shape of std's, cooperative.
//!
//! ```text
//!   Stdout (any number) ──lock──► StdoutLock: the process's one buffer of lines
//!                                    │ end of a line, flush, full, end of the process
//!                                    ▼
//!   Stderr ──lock──► StderrLock ──► poll(2): would a write block? ──no──► write(2) of at most a page
//!                                    │ yes                                  ▲
//!                                    └── wait in the hub for a duplicate ───┘
//! ```
//!
//! The open files behind descriptors 1 and 2 are shared with the shell and with other processes, so their mode is left alone,
//! as with standard input. A pipe that is ready takes a page (`PIPE_BUF`) and may block for more, so more is never given to
//! it at once.
//!
//! The lock is one of this crate, and as in std the task that has it can lock again. The writer is taken out of its cell for
//! each call: nothing of ours is borrowed while a write waits (invariant 5).
#![forbid(unsafe_code)]

use core::cell::Cell;
use core::fmt;
use core::panic::Location;
use core::sync::atomic::{AtomicBool, Ordering};
use std::io::{self, IsTerminal, LineWriter, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::LazyLock;

use super::os;
use super::ready::run_shared;
use super::source::{Call, Until};
use crate::reactor::Direction;
use crate::sync::{ReentrantMutex, ReentrantMutexGuard};

/// What a pipe that is ready takes without blocking.
const PAGE: usize = libc::PIPE_BUF;

/// The process ends: nobody can wait any more.
static EXITING: AtomicBool = AtomicBool::new(false);

/// Writes some of `buf`.
#[track_caller]
fn write(fd: BorrowedFd<'_>, kind: &'static str, buf: &[u8]) -> io::Result<usize> {
    let call = Call {
        direction: Direction::Write,
        kind,
        until: Until::Ever,
        site: Location::caller(),
    };
    let result = if EXITING.load(Ordering::Relaxed) {
        os::write(fd, buf)
    } else {
        run_shared(fd, &call, |fd| os::write(fd, &buf[..buf.len().min(PAGE)]))
    };
    match result {
        // Closed before the process began: swallows all, as for std.
        Err(e) if e.raw_os_error() == Some(libc::EBADF) => Ok(buf.len()),
        other => other,
    }
}

struct RawOut;

impl Write for RawOut {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        write(io::stdout().as_fd(), "write to standard output", buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// `None` while a call is under way.
struct Lines(Cell<Option<LineWriter<RawOut>>>);

impl Lines {
    /// Puts the writer back on every way out.
    fn with<R>(&self, f: impl FnOnce(&mut LineWriter<RawOut>) -> io::Result<R>) -> io::Result<R> {
        struct Out<'a>(&'a Lines, Option<LineWriter<RawOut>>);
        impl Drop for Out<'_> {
            fn drop(&mut self) {
                self.0.0.set(self.1.take());
            }
        }
        let mut out = Out(self, self.0.take());
        match &mut out.1 {
            Some(writer) => f(writer),
            // Only the end of the process can come in the middle of a call of the task that has the lock.
            None => Err(io::ErrorKind::ResourceBusy.into()),
        }
    }
}

static OUTPUT: LazyLock<ReentrantMutex<Lines>> = LazyLock::new(|| {
    // Without it the rest of a line would be lost; then nothing is worse than that.
    os::at_exit(flush_at_exit);
    ReentrantMutex::new(Lines(Cell::new(Some(LineWriter::new(RawOut)))))
});

static ERRORS: ReentrantMutex<()> = ReentrantMutex::new(());

/// What is left of a line goes out when the process ends, unless somebody is writing.
extern "C" fn flush_at_exit() {
    EXITING.store(true, Ordering::Relaxed);
    // Out of here no panic may come.
    let _ = catch_unwind(AssertUnwindSafe(|| {
        if let Some(lines) = OUTPUT.try_lock() {
            let _ = lines.with(Write::flush);
        }
    }));
}

/// The process's standard output: [`std::io::Stdout`], cooperative. From [`stdout`].
#[derive(Debug)]
pub struct Stdout {
    /// Whose buffer is not used.
    std: io::Stdout,
}

/// The process's standard error: [`std::io::Stderr`], cooperative. From [`stderr`].
#[derive(Debug)]
pub struct Stderr {
    /// Whose buffer is not used.
    std: io::Stderr,
}

/// The process's standard output, in lines: what is written goes out at the end of a line, at a flush, and when the process
/// ends by the end of `main` or [`exit`](std::process::exit).
///
/// Its buffer is not the one of [`std::io::stdout`] and `println!`; lines of both come out in order, parts of lines need not.
///
/// ```
/// use std::io::Write;
///
/// let mut out = greenloom::io::stdout().lock();
/// writeln!(out, "no other task's lines")?;
/// writeln!(out, "come between these")?;
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn stdout() -> Stdout {
    Stdout { std: io::stdout() }
}

/// The process's standard error, not buffered.
pub fn stderr() -> Stderr {
    Stderr { std: io::stderr() }
}

/// The locked standard output: see [`Stdout::lock`].
#[must_use = "it is unlocked by its drop"]
pub struct StdoutLock<'a> {
    lines: ReentrantMutexGuard<'a, Lines>,
}

/// The locked standard error: see [`Stderr::lock`].
#[must_use = "it is unlocked by its drop"]
#[derive(Debug)]
pub struct StderrLock<'a> {
    _guard: ReentrantMutexGuard<'a, ()>,
}

impl fmt::Debug for StdoutLock<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StdoutLock").finish_non_exhaustive()
    }
}

impl Stdout {
    /// Keeps all others from writing. The task that has the lock can lock again.
    ///
    /// # Blocking
    /// Switches while another has the lock.
    ///
    /// # Panics
    /// Where nothing can wait, if another has the lock.
    #[track_caller]
    pub fn lock(&self) -> StdoutLock<'static> {
        StdoutLock {
            lines: OUTPUT.lock(),
        }
    }
}

impl Stderr {
    /// Keeps all others from writing. The task that has the lock can lock again.
    ///
    /// # Blocking
    /// Switches while another has the lock.
    ///
    /// # Panics
    /// Where nothing can wait, if another has the lock.
    #[track_caller]
    pub fn lock(&self) -> StderrLock<'static> {
        StderrLock {
            _guard: ERRORS.lock(),
        }
    }
}

/// # Blocking
/// Switches at the end of a line if the other side does not take it yet.
impl Write for StdoutLock<'_> {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.lines.with(|out| out.write(buf))
    }

    #[track_caller]
    fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.lines.with(|out| out.write_all(buf))
    }

    #[track_caller]
    fn flush(&mut self) -> io::Result<()> {
        self.lines.with(Write::flush)
    }
}

/// # Blocking
/// Switches if the other side does not take it yet.
impl Write for StderrLock<'_> {
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        write(io::stderr().as_fd(), "write to standard error", buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What both have, each for itself.
macro_rules! output {
    ($Output:ident) => {
        impl $Output {
            /// Whether a terminal is there.
            pub fn is_terminal(&self) -> bool {
                self.std.is_terminal()
            }
        }

        /// Locks for each call.
        impl Write for $Output {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(args)
            }

            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }
        }

        /// Locks for each call.
        impl Write for &$Output {
            #[track_caller]
            fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
                self.lock().write(buf)
            }

            #[track_caller]
            fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
                self.lock().write_all(buf)
            }

            #[track_caller]
            fn write_fmt(&mut self, args: fmt::Arguments<'_>) -> io::Result<()> {
                self.lock().write_fmt(args)
            }

            #[track_caller]
            fn flush(&mut self) -> io::Result<()> {
                self.lock().flush()
            }
        }

        impl AsFd for $Output {
            fn as_fd(&self) -> BorrowedFd<'_> {
                self.std.as_fd()
            }
        }

        impl AsRawFd for $Output {
            fn as_raw_fd(&self) -> RawFd {
                self.std.as_raw_fd()
            }
        }
    };
}

output!(Stdout);
output!(Stderr);
