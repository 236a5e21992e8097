//! The functions on paths: each is std's, on a thread of the pool, with owned arguments.
#![forbid(unsafe_code)]

use std::fs;
use std::io;
use std::os::unix::fs as unix;
use std::path::{Path, PathBuf};

use super::{Metadata, Permissions};
use crate::io::offload::offloaded;

/// Functions of one path, with the same name in std.
macro_rules! on_path {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)+) => {
        $(
            $(#[$doc])*
            ///
            /// # Blocking
            /// Switches; see the [module](super).
            ///
            /// # Errors
            #[doc = concat!("As [`std::fs::", stringify!($name), "`]; see the [module](super).")]
            pub fn $name<P: AsRef<Path>>(path: P) -> io::Result<$result> {
                let path = path.as_ref().to_path_buf();
                offloaded(move || fs::$name(path))?
            }
        )+
    };
}

on_path! {
    /// Reads a whole file.
    read -> Vec<u8>;
    /// Reads a whole file of UTF-8.
    read_to_string -> String;
    /// Removes a file.
    remove_file -> ();
    /// Creates a folder.
    create_dir -> ();
    /// Creates a folder, and those above it that are missing.
    create_dir_all -> ();
    /// Removes an empty folder.
    remove_dir -> ();
    /// Removes a folder with everything in it. Does not follow symbolic links. If it is broken off, the rest is removed all
    /// the same.
    remove_dir_all -> ();
    /// What the system knows of a file. Follows symbolic links.
    metadata -> Metadata;
    /// What the system knows of a file, or of a symbolic link itself.
    symlink_metadata -> Metadata;
    /// Where a symbolic link points to.
    read_link -> PathBuf;
    /// The absolute path, without symbolic links.
    canonicalize -> PathBuf;
    /// Whether there is something at the path. Follows symbolic links.
    exists -> bool;
}

/// Functions of two paths, with the same name in std.
macro_rules! on_paths {
    ($($(#[$doc:meta])* $name:ident -> $result:ty;)+) => {
        $(
            $(#[$doc])*
            ///
            /// # Blocking
            /// Switches; see the [module](super).
            ///
            /// # Errors
            #[doc = concat!("As [`std::fs::", stringify!($name), "`]; see the [module](super).")]
            pub fn $name<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<$result> {
                let (from, to) = (from.as_ref().to_path_buf(), to.as_ref().to_path_buf());
                offloaded(move || fs::$name(from, to))?
            }
        )+
    };
}

on_paths! {
    /// Copies a file with its permissions; how many bytes that were. If it is broken off, the rest is copied all the same.
    copy -> u64;
    /// Renames a file or folder, and replaces what is there.
    rename -> ();
    /// Gives a file another name: a hard link.
    hard_link -> ();
}

/// Makes a symbolic link at `link` that points to `original`, which need not be there: [`std::os::unix::fs::symlink`].
///
/// # Blocking
/// Switches; see the [module](super).
///
/// # Errors
/// As [`std::os::unix::fs::symlink`]; see the [module](super).
#[doc(alias = "soft_link")]
pub fn symlink<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    let (original, link) = (original.as_ref().to_path_buf(), link.as_ref().to_path_buf());
    offloaded(move || unix::symlink(original, link))?
}

/// Functions that change whose a file is, with the same name in `std::os::unix::fs`.
macro_rules! of_owners {
    ($($(#[$doc:meta])* $name:ident;)+) => {
        $(
            $(#[$doc])*
            ///
            /// `None` leaves the user, or the group, as it is.
            ///
            /// # Blocking
            /// Switches; see the [module](super).
            ///
            /// # Errors
            #[doc = concat!("As [`std::os::unix::fs::", stringify!($name), "`]; see the [module](super).")]
            pub fn $name<P: AsRef<Path>>(path: P, uid: Option<u32>, gid: Option<u32>) -> io::Result<()> {
                let path = path.as_ref().to_path_buf();
                offloaded(move || unix::$name(path, uid, gid))?
            }
        )+
    };
}

of_owners! {
    /// Changes whose a file is. Follows symbolic links.
    chown;
    /// Changes whose a file is, or a symbolic link itself.
    lchown;
}

/// Writes a whole file, which is made or replaced. The contents are copied first; a `Vec` that is not needed any more is better
/// written by [`offload`](crate::offload).
///
/// # Blocking
/// Switches; see the [module](super).
///
/// # Errors
/// As [`std::fs::write`]; see the [module](super).
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let (path, contents) = (path.as_ref().to_path_buf(), contents.as_ref().to_vec());
    offloaded(move || fs::write(path, contents))?
}

/// Changes the permissions of a file.
///
/// # Blocking
/// Switches; see the [module](super).
///
/// # Errors
/// As [`std::fs::set_permissions`]; see the [module](super).
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    let path = path.as_ref().to_path_buf();
    offloaded(move || fs::set_permissions(path, permissions))?
}
