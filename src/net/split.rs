//! A stream as two handles: one that reads, one that writes and says when it is done.
//!
//! ```text
//!   into_split ──► OwnedReadHalf ─┬── Arc<stream> ──┬─ OwnedWriteHalf ──drop──► shutdown(Write)
//!                                 └─── reunite ─────┘
//! ```
//!
//! Safe code over the streams' own `Read` and `Write`; nothing here waits.
#![forbid(unsafe_code)]

use core::fmt;
use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::sync::Arc;

use crate::io::ShutdownWrite;

/// The half of a stream that reads: from `into_split` of [`TcpStream`](super::TcpStream) and
/// [`UnixStream`](super::unix::UnixStream).
///
/// `S` is the stream. Its drop does nothing to the connection while the other half lives.
#[must_use = "a half that is dropped cannot be reunited"]
pub struct OwnedReadHalf<S: ShutdownWrite> {
    stream: Arc<S>,
}

/// The half of a stream that writes. Its drop shuts down the direction of writing: the peer finds the end of the stream.
///
/// So a task that owns it says that it is done by ending, also by a panic or a kill. [`forget`](Self::forget) leaves the
/// direction open, until the other half is dropped as well.
///
/// ```
/// use greenloom::net::{TcpListener, TcpStream};
/// use std::io::{Read, Write};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let (mut read, mut write) = TcpStream::connect(listener.local_addr()?)?.into_split();
/// let mut peer = listener.accept()?.0;
///
/// let writer = greenloom::spawn(move || write.write_all(b"all there is"));
/// let mut text = String::new();
/// peer.read_to_string(&mut text)?; // ends, since the writer has
/// assert_eq!(text, "all there is");
/// peer.write_all(b"thanks")?;
/// drop(peer);
/// text.clear();
/// read.read_to_string(&mut text)?;
/// assert_eq!(text, "thanks");
/// # writer.join().unwrap()?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[must_use = "its drop tells the peer that nothing more comes"]
pub struct OwnedWriteHalf<S: ShutdownWrite> {
    /// Taken out where the drop is to leave the direction open.
    stream: Option<Arc<S>>,
}

/// Both halves of `stream`.
pub(super) fn halves<S: ShutdownWrite>(stream: S) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
    let stream = Arc::new(stream);
    let write = OwnedWriteHalf {
        stream: Some(Arc::clone(&stream)),
    };
    (OwnedReadHalf { stream }, write)
}

impl<S: ShutdownWrite> OwnedReadHalf<S> {
    /// The stream again, from both its halves.
    ///
    /// ```
    /// use greenloom::net::unix::UnixStream;
    ///
    /// let (a, b) = UnixStream::pair()?;
    /// let ((a_read, a_write), (b_read, b_write)) = (a.into_split(), b.into_split());
    /// let error = a_read.reunite(b_write).unwrap_err();
    /// let (a_read, b_write) = error.into_inner();
    /// let a: UnixStream = a_read.reunite(a_write)?;
    /// let b: UnixStream = b_read.reunite(b_write)?;
    /// # drop((a, b));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// Both halves, if they are of two streams.
    pub fn reunite(self, mut write: OwnedWriteHalf<S>) -> Result<S, ReuniteError<S>> {
        if !Arc::ptr_eq(&self.stream, write.shared()) {
            return Err(ReuniteError { read: self, write });
        }
        // Its drop finds nothing to shut down.
        drop(write.stream.take());
        match Arc::try_unwrap(self.stream) {
            Ok(stream) => Ok(stream),
            Err(_) => unreachable!("a stream of more than two halves"),
        }
    }
}

impl<S: ShutdownWrite> OwnedWriteHalf<S> {
    fn shared(&self) -> &Arc<S> {
        match &self.stream {
            Some(stream) => stream,
            None => unreachable!("a half that was given up is not used"),
        }
    }

    /// Drops it without telling the peer: the direction stays open while the other half lives.
    pub fn forget(mut self) {
        drop(self.stream.take());
    }
}

impl<S: ShutdownWrite> Drop for OwnedWriteHalf<S> {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream {
            // Fails if the connection has ended already.
            let _ = stream.shutdown_write();
        }
    }
}

/// The stream, for everything but writing.
impl<S: ShutdownWrite> AsRef<S> for OwnedReadHalf<S> {
    fn as_ref(&self) -> &S {
        &self.stream
    }
}

/// The stream, for everything but reading.
impl<S: ShutdownWrite> AsRef<S> for OwnedWriteHalf<S> {
    fn as_ref(&self) -> &S {
        self.shared()
    }
}

/// As of the stream.
impl<S: ShutdownWrite> Read for OwnedReadHalf<S>
where
    for<'a> &'a S: Read,
{
    #[track_caller]
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        (&*self.stream).read(buf)
    }

    #[track_caller]
    fn read_vectored(&mut self, bufs: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self.stream).read_vectored(bufs)
    }
}

/// As of the stream.
impl<S: ShutdownWrite> Write for OwnedWriteHalf<S>
where
    for<'a> &'a S: Write,
{
    #[track_caller]
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        (&**self.shared()).write(buf)
    }

    #[track_caller]
    fn write_vectored(&mut self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        (&**self.shared()).write_vectored(bufs)
    }

    fn flush(&mut self) -> io::Result<()> {
        (&**self.shared()).flush()
    }
}

impl<S: ShutdownWrite + fmt::Debug> fmt::Debug for OwnedReadHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedReadHalf").field(&self.stream).finish()
    }
}

impl<S: ShutdownWrite + fmt::Debug> fmt::Debug for OwnedWriteHalf<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnedWriteHalf")
            .field(self.shared())
            .finish()
    }
}

/// The two halves were not of one stream: see [`OwnedReadHalf::reunite`].
pub struct ReuniteError<S: ShutdownWrite> {
    read: OwnedReadHalf<S>,
    write: OwnedWriteHalf<S>,
}

impl<S: ShutdownWrite> ReuniteError<S> {
    /// What was passed in.
    #[must_use = "the drop of the writing half tells its peer that nothing more comes"]
    pub fn into_inner(self) -> (OwnedReadHalf<S>, OwnedWriteHalf<S>) {
        (self.read, self.write)
    }
}

impl<S: ShutdownWrite> fmt::Debug for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReuniteError").finish_non_exhaustive()
    }
}

impl<S: ShutdownWrite> fmt::Display for ReuniteError<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the two halves are of two streams")
    }
}

impl<S: ShutdownWrite> std::error::Error for ReuniteError<S> {}
