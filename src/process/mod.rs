//! Child processes, shaped as `std::process`: what would block the thread parks the task instead.
//!
//! ```text
//! command   Command: std's, which starts the child
//! child     Child: wait, kill, its output              select    a child as an arm, and in a `wait`
//! pipe      ChildStdin, ChildStdout, ChildStderr ─┐
//! exit      its end: a pidfd                      ─┴─► io::source: the would-block loop
//! os        system calls, the only unsafe code
//! ```
//!
//! ```
//! use greenloom::process::{Command, Stdio};
//! use std::io::{Read, Write};
//!
//! let mut child = Command::new("tr").args(["a-z", "A-Z"])
//!     .stdin(Stdio::piped())
//!     .stdout(Stdio::piped())
//!     .spawn()?;
//! let mut input = child.stdin.take().unwrap();
//! let writer = greenloom::spawn(move || input.write_all(b"hello"));
//! let mut text = String::new();
//! child.stdout.take().unwrap().read_to_string(&mut text)?;
//! writer.join().unwrap()?;
//! assert!(child.wait()?.success());
//! assert_eq!(text, "HELLO");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A thread without a hub waits as std does. One process more costs one descriptor more, and no thread. On a kernel
//! without pidfds (before Linux 5.3) a thread waits for each.

mod child;
mod command;
mod exit;
mod os;
mod pipe;
mod select;

pub use std::process::{
    CommandArgs, CommandEnvs, ExitCode, ExitStatus, Output, Stdio, Termination, abort, exit, id,
};

pub use self::child::Child;
pub use self::command::Command;
pub use self::pipe::{ChildStderr, ChildStdin, ChildStdout};
