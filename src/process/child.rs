//! `Child`: a process that was started, until it was waited for.
//!
//! ```text
//! running ── ends ──► zombie ── wait, wait_timeout, try_wait, a select ──► status known
//!    │                  │
//!    └── drop: lives on ┴── drop: stays, until this process ends (or the next spawn, if it was killed by `kill_on_drop`)
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use std::io::{self, Read};
use std::panic::resume_unwind;
use std::process::{self, ExitStatus, Output};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::command::OnDrop;
use super::exit::{Exit, Reserved};
use super::pipe::{ChildStderr, ChildStdin, ChildStdout};
use super::select::Watchers;
use crate::io::source::Until;
use crate::select::wait;
use crate::signal::SignalKind;
use crate::task::{self, JoinError, JoinHandle};

/// Children that were killed by a drop, and may not have ended yet. The next spawn asks for them, so there are no more
/// than ended since.
static KILLED: Mutex<Vec<Exit>> = Mutex::new(Vec::new());

fn killed(change: impl FnOnce(&mut Vec<Exit>)) {
    // Nothing that could panic leaves it half done.
    change(&mut KILLED.lock().unwrap_or_else(PoisonError::into_inner));
}

/// Reaps what a drop has killed.
pub(super) fn reap_killed() {
    // One that cannot be asked for any more was reaped by somebody else, or is a forked process's parent's.
    killed(|list| list.retain(|exit| matches!(exit.ask(), Ok(None))));
}

/// A child process: [`std::process::Child`], cooperative.
///
/// Made by [`Command::spawn`](super::Command::spawn). A child that is dropped runs on, and nobody waits for it: when it has
/// ended it stays in the system's table (a zombie) until this process ends. A task that is killed while it waits leaves
/// the child as it is.
///
/// It is an arm of a [`Select`](crate::select::Select), by [`child`](crate::select::Select::child), and one of the things that
/// [`wait`](crate::select::wait) and [`iwait`](crate::select::iwait) take.
pub struct Child {
    /// The child's input, if it is a pipe.
    pub stdin: Option<ChildStdin>,
    /// The child's output, if it is a pipe.
    pub stdout: Option<ChildStdout>,
    /// The child's errors, if they are a pipe.
    pub stderr: Option<ChildStderr>,
    /// `None` once a drop has taken it.
    exit: Option<Exit>,
    on_drop: OnDrop,
    pub(super) watchers: Watchers,
}

impl Child {
    /// Takes a child of std's over. Without a descriptor to wait by it is ended again: it would be one nobody can wait for.
    pub(super) fn adopt(mut child: process::Child, reserved: Reserved) -> io::Result<Self> {
        Self::take_over(&mut child, reserved).inspect_err(|_| {
            // What goes wrong here is not what the caller is to know. Killed, it ends at once.
            let _ = child.kill();
            let _ = child.wait();
        })
    }

    fn take_over(child: &mut process::Child, reserved: Reserved) -> io::Result<Self> {
        Ok(Self {
            stdin: child.stdin.take().map(ChildStdin::try_from).transpose()?,
            stdout: child.stdout.take().map(ChildStdout::try_from).transpose()?,
            stderr: child.stderr.take().map(ChildStderr::try_from).transpose()?,
            exit: Some(Exit::of(child.id(), reserved)?),
            on_drop: OnDrop::Leave,
            watchers: Watchers::new(),
        })
    }

    pub(super) fn exit(&self) -> &Exit {
        match &self.exit {
            Some(exit) => exit,
            None => unreachable!("a child that is used after its drop"),
        }
    }

    pub(super) fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.on_drop = on_drop;
        self
    }

    /// The process's number. It may be another's once the child was waited for.
    pub fn id(&self) -> u32 {
        self.exit().pid()
    }

    /// Waits until the child has ended, and returns how. Its [`stdin`](Self::stdin) is closed first, as std does, so that
    /// it does not wait for input for ever.
    ///
    /// ```
    /// use greenloom::process::Command;
    ///
    /// let mut child = Command::new("sh").args(["-c", "exit 3"]).spawn()?;
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// assert_eq!(child.wait()?.code(), Some(3));
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Blocking
    /// Switches, unless it has ended. Kills are delivered here, and leave the child as it is.
    ///
    /// # Errors
    /// The system's: `ECHILD` if somebody else has waited for it, or if `SIGCHLD` is ignored. `TimedOut` if an
    /// enclosing [`timeout`](crate::timeout) expired ([`TimeoutElapsed`](crate::io::TimeoutElapsed) inside); where nothing
    /// can wait, [`InCallback`](crate::hub::InCallback), [`Unwinding`](crate::hub::Unwinding) or
    /// [`Forked`](crate::hub::Forked).
    #[track_caller]
    pub fn wait(&mut self) -> io::Result<ExitStatus> {
        drop(self.stdin.take());
        self.exit().wait(Until::Ever)
    }

    /// As [`wait`](Self::wait), for at most `d`. `None` if it has not ended by then: it runs on, and can be waited for.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::process::Command;
    ///
    /// let mut child = Command::new("sleep").arg("1000").spawn()?;
    /// assert_eq!(child.wait_timeout(Duration::from_millis(1))?, None);
    /// child.kill()?;
    /// assert!(!child.wait()?.success());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Blocking
    /// As [`wait`](Self::wait).
    ///
    /// # Errors
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout(&mut self, d: Duration) -> io::Result<Option<ExitStatus>> {
        drop(self.stdin.take());
        match self.exit().wait(Until::within(d)) {
            Ok(status) => Ok(Some(status)),
            // Its own: that of an enclosing `timeout` has something inside.
            Err(e) if e.kind() == io::ErrorKind::TimedOut && e.get_ref().is_none() => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// How the child has ended; `None` if it runs. Its input is left open.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `ECHILD`, as [`wait`](Self::wait).
    pub fn try_wait(&mut self) -> io::Result<Option<ExitStatus>> {
        self.exit().ask()
    }

    /// Ends it, by `SIGKILL`. It is still to be waited for. Does nothing if it has ended.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `PermissionDenied`, if it runs as another user.
    pub fn kill(&mut self) -> io::Result<()> {
        self.send_signal(SignalKind::KILL)
    }

    /// Asks it to end, by `SIGTERM`; it may refuse. Does nothing if it has ended.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `PermissionDenied`, if it runs as another user.
    pub fn terminate(&self) -> io::Result<()> {
        self.send_signal(SignalKind::TERMINATE)
    }

    /// Sends it a signal, through a descriptor: never to another process that has got its number. Does nothing if it has
    /// ended.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// `PermissionDenied`, if it runs as another user; `InvalidInput`, if there is no such signal.
    pub fn send_signal(&self, signal: SignalKind) -> io::Result<()> {
        self.exit().send(signal.as_raw())
    }

    /// Closes the child's input, reads all that it writes, both at once, and waits for its end.
    ///
    /// If both its output and its errors are pipes, a task is spawned to read the latter.
    ///
    /// # Blocking
    /// Switches. A kill or an enclosing [`timeout`](crate::timeout) ends the reading; the child is dropped then.
    ///
    /// # Errors
    /// Those of the reads and of [`wait`](Self::wait); no task could be had.
    #[track_caller]
    pub fn wait_with_output(mut self) -> io::Result<Output> {
        drop(self.stdin.take());
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        match (self.stdout.take(), self.stderr.take()) {
            (Some(mut out), Some(err)) => {
                let errors = Reader::spawn(err)?;
                out.read_to_end(&mut stdout)?;
                stderr = errors.join()?;
            }
            (Some(mut out), None) => drop(out.read_to_end(&mut stdout)?),
            (None, Some(mut err)) => drop(err.read_to_end(&mut stderr)?),
            (None, None) => {}
        }
        let status = self.wait()?;
        Ok(Output {
            status,
            stdout,
            stderr,
        })
    }
}

/// The task that reads a child's errors; killed if nobody waits for it any more.
struct Reader(Option<JoinHandle<io::Result<Vec<u8>>>>);

impl Reader {
    fn spawn(mut err: ChildStderr) -> io::Result<Self> {
        let read = move || {
            let mut stderr = Vec::new();
            err.read_to_end(&mut stderr).map(|_| stderr)
        };
        task::try_spawn(read).map(|task| Self(Some(task)))
    }

    fn join(mut self) -> io::Result<Vec<u8>> {
        // Not by `join`, which would take the handle: if this wait unwinds, the drop of `self` kills the task.
        drop(wait(&self.0, None, None));
        match self.0.take().map(JoinHandle::join) {
            Some(Ok(read)) => read,
            Some(Err(JoinError::Panicked(payload))) => resume_unwind(payload),
            Some(Err(JoinError::CannotWait(e))) => Err(e),
            Some(Err(e)) => Err(io::Error::other(e.to_string())),
            None => unreachable!("a reader is joined once"),
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(task) = self.0.take() {
            task.kill();
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.on_drop == OnDrop::Leave {
            return;
        }
        if let Some(exit) = self.exit.take()
            && exit.known().is_none()
        {
            // Fails only for a child that runs as another user, and a drop cannot tell.
            let _ = exit.send(libc::SIGKILL);
            if matches!(exit.ask(), Ok(None)) {
                killed(|list| list.push(exit));
            }
        }
    }
}

/// Takes over a child that std has started, with its pipes.
///
/// # Errors
/// No descriptor to wait for it by could be had: then it was killed; or it was waited for already.
impl TryFrom<process::Child> for Child {
    type Error = io::Error;

    fn try_from(child: process::Child) -> io::Result<Self> {
        Self::adopt(child, Reserved::new()?)
    }
}

impl fmt::Debug for Child {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Child")
            .field("id", &self.id())
            .field("status", &self.exit().known())
            .field("stdin", &self.stdin)
            .field("stdout", &self.stdout)
            .field("stderr", &self.stderr)
            .finish_non_exhaustive()
    }
}
