//! Folders: `ReadDir`, `DirEntry`, `DirBuilder`.
//!
//! ```text
//! read_dir ──► ReadDir { rest: std's iterator, batch: entries read ahead }
//!                  next: batch empty? rest goes to a worker and comes back with up to BATCH entries
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, DirEntryExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{FileType, Metadata};
use crate::io::offload::offloaded;

/// Entries that are read in one go.
const BATCH: usize = 64;

/// The entries of a folder; see [`read_dir`].
pub struct ReadDir {
    /// `None` at the end, and after a call that was broken off.
    rest: Option<fs::ReadDir>,
    batch: VecDeque<io::Result<DirEntry>>,
}

/// Reads a folder. The entries come in no particular order, without `.` and `..`; they are read ahead, 64 at a time.
///
/// ```
/// # greenloom::spawn(|| {
/// let names: Vec<_> = greenloom::fs::read_dir("/proc/self")?
///     .map(|entry| Ok(entry?.file_name()))
///     .collect::<std::io::Result<_>>()?;
/// assert!(names.iter().any(|name| name == "status"));
/// # std::io::Result::Ok(()) }).join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Blocking
/// Switches, and so does `next`, every 64 entries. A `next` that is broken off ends the iteration.
///
/// # Errors
/// As [`std::fs::read_dir`]; see the [module](super).
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    let path = path.as_ref().to_path_buf();
    let (rest, batch) = offloaded(move || fs::read_dir(path).map(read_ahead))??;
    Ok(ReadDir { rest, batch })
}

/// The next entries, and the rest if there may be one.
fn read_ahead(mut rest: fs::ReadDir) -> (Option<fs::ReadDir>, VecDeque<io::Result<DirEntry>>) {
    let batch: VecDeque<_> = rest
        .by_ref()
        .take(BATCH)
        .map(|entry| entry.map(|entry| DirEntry(Arc::new(entry))))
        .collect();
    let more = batch.len() == BATCH;
    (more.then_some(rest), batch)
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(entry) = self.batch.pop_front() {
            return Some(entry);
        }
        let rest = self.rest.take()?;
        match offloaded(move || read_ahead(rest)) {
            Ok((rest, batch)) => (self.rest, self.batch) = (rest, batch),
            Err(e) => return Some(Err(e)),
        }
        self.batch.pop_front()
    }
}

impl fmt::Debug for ReadDir {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadDir")
            .field("read_ahead", &self.batch.len())
            .finish_non_exhaustive()
    }
}

/// An entry of a folder: [`std::fs::DirEntry`], with std's [`DirEntryExt`].
pub struct DirEntry(Arc<fs::DirEntry>);

impl DirEntry {
    /// The path: that of the folder, as it was given, and the name.
    ///
    /// # Blocking
    /// Never switches.
    pub fn path(&self) -> PathBuf {
        self.0.path()
    }

    /// The name.
    ///
    /// # Blocking
    /// Never switches.
    pub fn file_name(&self) -> OsString {
        self.0.file_name()
    }

    /// What the system knows of the entry. Does not follow symbolic links.
    ///
    /// # Errors
    /// As [`std::fs::DirEntry::metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        let entry = Arc::clone(&self.0);
        offloaded(move || entry.metadata())?
    }

    /// Whether it is a file, a folder or something else. Does not follow symbolic links.
    ///
    /// # Errors
    /// As [`std::fs::DirEntry::file_type`].
    pub fn file_type(&self) -> io::Result<FileType> {
        let entry = Arc::clone(&self.0);
        offloaded(move || entry.file_type())?
    }
}

impl DirEntryExt for DirEntry {
    fn ino(&self) -> u64 {
        self.0.ino()
    }
}

impl fmt::Debug for DirEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a folder is created: [`std::fs::DirBuilder`], with std's [`DirBuilderExt`].
#[derive(Clone, Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// One folder, whose parent is there, with the permissions that the process gives by default.
    #[must_use]
    #[allow(clippy::new_without_default, reason = "std's has no default either")]
    pub fn new() -> Self {
        Self {
            recursive: false,
            mode: None,
        }
    }

    /// Whether those above it are created, too, if they are missing. It is no error then if it is there itself.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Creates it.
    ///
    /// # Blocking
    /// Switches; see the [module](super).
    ///
    /// # Errors
    /// As [`std::fs::DirBuilder::create`]; see the [module](super).
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let (settings, path) = (self.clone(), path.as_ref().to_path_buf());
        offloaded(move || {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(settings.recursive);
            if let Some(mode) = settings.mode {
                builder.mode(mode);
            }
            builder.create(path)
        })?
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }
}
