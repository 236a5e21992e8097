//! `SignalKind`: the number of a signal, with its name. This file makes no system calls.
#![forbid(unsafe_code)]

use core::fmt;
use std::error::Error;
use std::io;

use libc::c_int;

/// The highest number that a signal can have.
pub(super) const MAX: c_int = 64;

/// A signal.
///
/// ```
/// use greenloom::signal::SignalKind;
///
/// assert_eq!(SignalKind::TERMINATE.to_string(), "SIGTERM");
/// assert_eq!(SignalKind::from_raw(libc::SIGTERM), SignalKind::TERMINATE);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SignalKind(c_int);

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $name:ident = $signal:ident,)*) => {
        impl SignalKind {
            $(
                $(#[doc = $doc])+
                pub const $name: Self = Self(libc::$signal);
            )*

            fn name(self) -> Option<&'static str> {
                match self.0 {
                    $(libc::$signal => Some(stringify!($signal)),)*
                    libc::SIGSEGV => Some("SIGSEGV"),
                    libc::SIGBUS => Some("SIGBUS"),
                    libc::SIGFPE => Some("SIGFPE"),
                    libc::SIGILL => Some("SIGILL"),
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// `SIGALRM`: a timer of `alarm` or `setitimer` has gone off.
    ALARM = SIGALRM,
    /// `SIGCHLD`: a child process has ended, or was stopped. Not needed for [`process`](crate::process).
    CHILD = SIGCHLD,
    /// `SIGCONT`: goes on after it was stopped.
    CONTINUE = SIGCONT,
    /// `SIGHUP`: the terminal is gone. Daemons read their settings again.
    HANGUP = SIGHUP,
    /// `SIGINT`: ctrl-C.
    INTERRUPT = SIGINT,
    /// `SIGIO`: a descriptor in asynchronous mode is ready.
    IO = SIGIO,
    /// `SIGKILL`: ends a process. Can be sent, not handled.
    KILL = SIGKILL,
    /// `SIGPIPE`: was written to a pipe that nobody reads. Rust's runtime ignores it: the write fails instead.
    PIPE = SIGPIPE,
    /// `SIGQUIT`: ctrl-\.
    QUIT = SIGQUIT,
    /// `SIGSTOP`: stops a process. Can be sent, not handled.
    STOP = SIGSTOP,
    /// `SIGTERM`: asks a process to end.
    TERMINATE = SIGTERM,
    /// `SIGTSTP`: ctrl-Z.
    TERMINAL_STOP = SIGTSTP,
    /// `SIGUSR1`: means what the program says.
    USER1 = SIGUSR1,
    /// `SIGUSR2`: means what the program says.
    USER2 = SIGUSR2,
    /// `SIGWINCH`: the terminal's window has another size.
    WINDOW_CHANGE = SIGWINCH,
}

impl SignalKind {
    /// The signal of that number. Whether there is one is found out when it is used.
    pub const fn from_raw(number: c_int) -> Self {
        Self(number)
    }

    /// Its number.
    pub const fn as_raw(self) -> c_int {
        self.0
    }

    /// Whether it can be handled at all.
    pub(super) fn check(self) -> io::Result<()> {
        let refused = match self.0 {
            libc::SIGKILL | libc::SIGSTOP => Refusal::NeverHandled,
            libc::SIGSEGV | libc::SIGBUS | libc::SIGFPE | libc::SIGILL => Refusal::Fault,
            1..=MAX => return Ok(()),
            _ => Refusal::NoSignal,
        };
        let refused = Refused {
            kind: self,
            why: refused,
        };
        Err(io::Error::new(io::ErrorKind::InvalidInput, refused))
    }
}

/// Its name, `SIGTERM`; `signal 34` if it has none.
impl fmt::Display for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "signal {}", self.0),
        }
    }
}

impl fmt::Debug for SignalKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignalKind({self})")
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    NeverHandled,
    Fault,
    NoSignal,
}

/// This signal cannot be handled: found inside an [`io::Error`] of kind `InvalidInput`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused {
    kind: SignalKind,
    why: Refusal,
}

impl Refused {
    /// The signal.
    pub fn kind(&self) -> SignalKind {
        self.kind
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = self.kind;
        match self.why {
            Refusal::NeverHandled => write!(f, "{kind} cannot be handled"),
            Refusal::Fault => write!(
                f,
                "{kind} is a fault of the code that runs, which no task can handle"
            ),
            Refusal::NoSignal => write!(f, "there is no {kind}"),
        }
    }
}

impl Error for Refused {}
