//! Files, shaped as `std::fs`: what would block the thread runs on a thread of the pool, and parks the task instead.
//!
//! ```text
//! file     File: read, write, seek …         ─┐
//! lock     File: lock, unlock                 │
//! options  OpenOptions                        ├─► io::offload ─► blocking: the default pool
//! dir      ReadDir, DirEntry, DirBuilder      │
//! paths    read, write, copy, metadata …     ─┘
//! raw      FromRawFd
//! ```
//!
//! ```
//! use greenloom::fs;
//! use std::io::{Read, Write};
//!
//! # greenloom::spawn(|| {
//! let path = std::env::temp_dir().join(format!("greenloom-doc-{}", std::process::id()));
//! let mut file = fs::File::create(&path)?;
//! file.write_all(b"hello")?;
//! drop(file);
//!
//! let mut text = String::new();
//! fs::File::open(&path)?.read_to_string(&mut text)?;
//! assert_eq!(text, "hello");
//! fs::remove_file(&path)
//! # }).join().unwrap()?;
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! A file is always "ready", so there is nothing to wait for but the call itself: every call goes to a thread of the
//! [default pool](crate::blocking::default_pool) and back. That costs some microseconds. So use
//! [`BufReader`](std::io::BufReader) and [`BufWriter`](std::io::BufWriter) for small pieces, and [`read`] and [`write()`] for whole files.
//! On a thread without a hub, which nobody shares, each call is std's own.
//!
//! # Blocking
//!
//! Every function and method here switches, unless it says otherwise: kills and deadlines are delivered. An enclosing
//! [`timeout`](crate::timeout) that expires is an error of the kind `TimedOut`, with
//! [`TimeoutElapsed`](crate::io::TimeoutElapsed) inside.
//!
//! # A call that is broken off
//!
//! By a kill or a timeout. A call of the system cannot be taken back: it is made all the same, once a thread has taken it, and
//! its result is dropped. What the program passes is owned by then, so nothing of the caller's is touched any more. What that
//! means for a file: after a read or write that was broken off, the file's position may have moved, and what was to be written
//! may be written, or be written later. Seek before the file is used again, or use `read_at` and `write_at`.
//!
//! # Errors
//!
//! The system's, as with std. Besides: `TimedOut`; the system's if the pool can get no thread; where nothing can wait,
//! [`InCallback`](crate::hub::InCallback), [`Unwinding`](crate::hub::Unwinding) or [`Forked`](crate::hub::Forked) inside; an
//! error of the kind `Other` if the default pool was closed.
//!
//! # Differences from `std::fs`
//!
//! - [`read`](std::io::Read::read) and [`write`](std::io::Write::write) move at most [`CHUNK`] bytes in one call.
//! - [`File::lock`] asks again and again, with pauses: it keeps no thread, and a lock that nobody waits for any more is let go.
//! - A file may be in use by a call that was broken off, so the conversions into std's types are `TryFrom`: they duplicate the
//!   descriptor then. For the same reason there is no `IntoRawFd`: go by way of [`OwnedFd`](std::os::fd::OwnedFd).
//! - What `std::os::unix::fs` has as functions is here too: [`symlink`], [`chown`], [`lchown`].

mod dir;
mod file;
mod lock;
mod options;
mod paths;
mod raw;

pub use std::fs::{FileTimes, FileType, Metadata, Permissions, TryLockError};

pub use self::dir::{DirBuilder, DirEntry, ReadDir, read_dir};
pub use self::file::{CHUNK, File};
pub use self::options::OpenOptions;
pub use self::paths::{
    canonicalize, chown, copy, create_dir, create_dir_all, exists, hard_link, lchown, metadata,
    read, read_link, read_to_string, remove_dir, remove_dir_all, remove_file, rename,
    set_permissions, symlink, symlink_metadata, write,
};
