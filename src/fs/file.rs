//! `File`: std's, each call on a thread of the pool.
//!
//! ```text
//! read(buf)    spare ──► [owned buffer] ──► worker: read ──► copied into buf ──► spare
//! write(buf)   spare ──► [copy of buf]  ──► worker: write ─────────────────────► spare
//!                              └─ broken off: the buffer is the worker's, and goes with it (invariant 13)
//! ```
//!
//! A file keeps one spare buffer of at most `CHUNK` bytes, so that reads and writes that follow each other do not allocate
//! one each. Calls at the same time take turns at nothing: the second makes a buffer of its own.
//!
//! The descriptor is shared with the calls in progress by `Arc`: it is closed after the last of them.
#![forbid(unsafe_code)]

use core::fmt;
use std::fs;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::SystemTime;

use super::{FileTimes, Metadata, OpenOptions, Permissions};
use crate::io::offload::offloaded;
use crate::park::Lock;

/// At most so many bytes go through a `read` or `write` of a [`File`] in one call, by way of a buffer that the file keeps.
///
/// `read_to_end`, `read_to_string`, [`read`](super::read) and [`write`](super::write) move everything in one call.
pub const CHUNK: usize = 128 * 1024;

/// An open file: [`std::fs::File`], cooperative.
///
/// Reading, writing and seeking take `&self` too (`&File` is [`Read`], [`Write`] and [`Seek`]), and there is std's
/// [`FileExt`]. `Send` and `Sync`. See the [module](super) for what differs, and for calls that are broken off.
///
/// Dropping it closes it, after the calls that are under way; errors of that are lost, as with std: see
/// [`sync_all`](Self::sync_all).
pub struct File {
    pub(super) file: Arc<fs::File>,
    spare: Lock<Option<Vec<u8>>>,
}

impl File {
    /// Opens a file to be read.
    ///
    /// # Blocking
    /// Switches; see the [module](super).
    ///
    /// # Errors
    /// As [`std::fs::File::open`].
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::options().read(true).open(path)
    }

    /// Opens a file to be written, which is made or made empty.
    ///
    /// # Blocking
    /// Switches; see the [module](super).
    ///
    /// # Errors
    /// As [`std::fs::File::create`].
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::options()
            .write(true)
            .create(true)
            .truncate(true)
            .open(path)
    }

    /// Makes a file, to be read and written.
    ///
    /// # Blocking
    /// Switches; see the [module](super).
    ///
    /// # Errors
    /// `AlreadyExists`; as [`std::fs::File::create_new`].
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<Self> {
        Self::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(path)
    }

    /// Options to open a file with.
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Another handle to the same open file: they share one position.
    ///
    /// # Blocking
    /// Never switches.
    ///
    /// # Errors
    /// No descriptor could be had.
    pub fn try_clone(&self) -> io::Result<Self> {
        self.file.try_clone().map(Self::from)
    }

    /// Runs `f` with the file on a thread of the pool.
    pub(super) fn with<T: Send + 'static>(
        &self,
        f: impl FnOnce(&fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let file = Arc::clone(&self.file);
        offloaded(move || f(&file))?
    }

    /// Runs `f` with a buffer. What it leaves there is seen by `and_then`, with what it returned.
    fn with_buffer<T>(
        &self,
        fill: impl FnOnce(&mut Vec<u8>),
        mut f: impl FnMut(&fs::File, &mut Vec<u8>) -> io::Result<usize> + Send + 'static,
        and_then: impl FnOnce(usize, &[u8]) -> T,
    ) -> io::Result<T> {
        let mut buffer = self.spare.with(Option::take).unwrap_or_default();
        fill(&mut buffer);
        let file = Arc::clone(&self.file);
        let (result, buffer) = offloaded(move || {
            loop {
                match f(&file, &mut buffer) {
                    Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                    result => return (result, buffer),
                }
            }
        })?;
        let value = result.map(|n| and_then(n, &buffer));
        // That of a call at the same time may be there already.
        drop(self.spare.with(|spare| spare.replace(buffer)));
        value
    }

    fn read_by(
        &self,
        buf: &mut [u8],
        mut read: impl FnMut(&fs::File, &mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<usize> {
        let wanted = buf.len().min(CHUNK);
        self.with_buffer(
            |buffer| {
                // Only what was never there before is set to zero.
                if buffer.len() < wanted {
                    buffer.resize(wanted, 0);
                }
            },
            move |file, buffer| read(file, &mut buffer[..wanted]),
            |n, buffer| {
                buf[..n].copy_from_slice(&buffer[..n]);
                n
            },
        )
    }

    fn write_by(
        &self,
        buf: &[u8],
        mut write: impl FnMut(&fs::File, &[u8]) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<usize> {
        let buf = &buf[..buf.len().min(CHUNK)];
        let wanted = buf.len();
        self.with_buffer(
            |buffer| {
                if buffer.len() < wanted {
                    buffer.resize(wanted, 0);
                }
                buffer[..wanted].copy_from_slice(buf);
            },
            move |file, buffer| write(file, &buffer[..wanted]),
            |n, _| n,
        )
    }

    /// Cuts the file off, or fills it up with zeros, to this length. The position stays.
    ///
    /// # Errors
    /// As [`std::fs::File::set_len`].
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.with(move |file| file.set_len(size))
    }

    /// Waits until contents and metadata are on the disk.
    ///
    /// # Errors
    /// As [`std::fs::File::sync_all`].
    #[doc(alias = "fsync")]
    pub fn sync_all(&self) -> io::Result<()> {
        self.with(fs::File::sync_all)
    }

    /// Waits until the contents are on the disk.
    ///
    /// # Errors
    /// As [`std::fs::File::sync_data`].
    #[doc(alias = "fdatasync")]
    pub fn sync_data(&self) -> io::Result<()> {
        self.with(fs::File::sync_data)
    }

    /// What the system knows of the file.
    ///
    /// # Errors
    /// As [`std::fs::File::metadata`].
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.with(fs::File::metadata)
    }

    /// Changes the permissions.
    ///
    /// # Errors
    /// As [`std::fs::File::set_permissions`].
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.with(move |file| file.set_permissions(permissions))
    }

    /// Changes the times of the last access and the last change.
    ///
    /// # Errors
    /// As [`std::fs::File::set_times`].
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.with(move |file| file.set_times(times))
    }

    /// Changes the time of the last change.
    ///
    /// # Errors
    /// As [`std::fs::File::set_modified`].
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.with(move |file| file.set_modified(time))
    }
}

impl Read for &File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.read_by(buf, |mut file, buffer| file.read(buffer))
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        let (result, bytes) = self.with(|mut file| {
            let mut bytes = Vec::new();
            let result = file.read_to_end(&mut bytes);
            Ok((result, bytes))
        })?;
        // Also what came before an error.
        if buf.is_empty() {
            *buf = bytes;
        } else {
            buf.extend_from_slice(&bytes);
        }
        result
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        let text = self.with(|mut file| {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            Ok(text)
        })?;
        buf.push_str(&text);
        Ok(text.len())
    }
}

impl Write for &File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.write_by(buf, |mut file, buffer| file.write(buffer))
    }

    /// Does nothing: a file has no buffer of unwritten bytes.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        self.with(move |mut file| file.seek(pos))
    }
}

impl Read for File {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buf)
    }

    fn read_to_end(&mut self, buf: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buf)
    }

    fn read_to_string(&mut self, buf: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buf)
    }
}

impl Write for File {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&*self).write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&*self).flush()
    }
}

impl Seek for File {
    fn seek(&mut self, pos: SeekFrom) -> io::Result<u64> {
        (&*self).seek(pos)
    }
}

/// Reads and writes at a place of one's own: the file's position is neither used nor moved. Moves at most [`CHUNK`] bytes in one call.
impl FileExt for File {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_by(buf, move |file, buffer| file.read_at(buffer, offset))
    }

    fn write_at(&self, buf: &[u8], offset: u64) -> io::Result<usize> {
        self.write_by(buf, move |file, buffer| file.write_at(buffer, offset))
    }
}

impl From<fs::File> for File {
    fn from(file: fs::File) -> Self {
        Self {
            file: Arc::new(file),
            spare: Lock::new(None),
        }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> Self {
        fs::File::from(fd).into()
    }
}

/// A duplicate of the descriptor, if a call that was broken off still uses it.
impl TryFrom<File> for fs::File {
    type Error = io::Error;

    fn try_from(file: File) -> io::Result<Self> {
        match Arc::try_unwrap(file.file) {
            Ok(file) => Ok(file),
            Err(shared) => shared.try_clone(),
        }
    }
}

/// As that into [`std::fs::File`].
impl TryFrom<File> for OwnedFd {
    type Error = io::Error;

    fn try_from(file: File) -> io::Result<Self> {
        fs::File::try_from(file).map(Self::from)
    }
}

/// For [`Command`](crate::process::Command); as that into [`std::fs::File`].
impl TryFrom<File> for Stdio {
    type Error = io::Error;

    fn try_from(file: File) -> io::Result<Self> {
        fs::File::try_from(file).map(Self::from)
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

impl fmt::Debug for File {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}
