//! Both ways between two connections, until both have ended: what a proxy does.
//!
//! ```text
//!   copy_bidirectional ── try_scope ─┬─ task: a ──read──► buffer ──write──► b     end of a: shut down b's writing
//!                                    └─ task: b ──read──► buffer ──write──► a     end of b: shut down a's writing
//! ```
//!
//! Safe code over tasks and the streams' own calls; this file parks nowhere itself.
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};

use crate::task::try_scope;

/// Bytes that are on their way in one direction.
const BUFFER: usize = 16 << 10;

/// A connection of which one side can say that it writes no more, while it goes on reading.
pub trait ShutdownWrite {
    /// Tells the peer that nothing more comes: it finds the end of the stream.
    ///
    /// # Errors
    /// `NotConnected` if the connection has ended.
    fn shutdown_write(&self) -> io::Result<()>;
}

/// Copies from `a` to `b` and from `b` to `a` at once, until both have ended. How many bytes went each way: from `a`, from `b`.
///
/// The end of one is passed on to the other as a shutdown of its writing; the other direction goes on, for a peer that has
/// asked and waits for the answer.
///
/// ```
/// use greenloom::io::copy_bidirectional;
/// use greenloom::net::unix::UnixStream;
/// use std::io::{Read, Write};
/// use std::net::Shutdown;
///
/// let (mut client, near) = UnixStream::pair()?;
/// let (far, mut server) = UnixStream::pair()?;
/// let proxy = greenloom::spawn(move || copy_bidirectional(&near, &far));
///
/// client.write_all(b"ping")?;
/// client.shutdown(Shutdown::Write)?;
/// let mut text = String::new();
/// server.read_to_string(&mut text)?; // ends: the shutdown came through
/// server.write_all(b"pong!")?;
/// drop(server);
/// client.read_to_string(&mut text)?;
/// assert_eq!(text, "pingpong!");
/// assert_eq!(proxy.join().unwrap()?, (4, 5));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Blocking
/// Switches: each direction is a task. A thread without a hub gets one. A kill or an enclosing
/// [`timeout`](crate::timeout) ends both directions, with what was read and not yet written lost.
///
/// # Errors
/// The first of either direction; the other one is ended then, wherever it is.
#[track_caller]
pub fn copy_bidirectional<A, B>(a: &A, b: &B) -> io::Result<(u64, u64)>
where
    A: ShutdownWrite,
    B: ShutdownWrite,
    for<'x> &'x A: Read + Write,
    for<'x> &'x B: Read + Write,
{
    try_scope(|s| {
        let from_a = s.spawn(|| one_way(a, b));
        let from_b = s.spawn(|| one_way(b, a));
        match (from_a.join(), from_b.join()) {
            (Ok(Some(from_a)), Ok(Some(from_b))) => Ok((from_a, from_b)),
            (Err(e), _) | (_, Err(e)) => Err(io::Error::other(e.to_string())),
            // The scope has the error of the one that has no value.
            _ => Err(io::ErrorKind::Other.into()),
        }
    })
}

fn one_way<F, T>(mut from: &F, mut to: &T) -> io::Result<u64>
where
    T: ShutdownWrite,
    for<'x> &'x F: Read,
    for<'x> &'x T: Write,
{
    let mut buf = vec![0; BUFFER];
    let mut all = 0;
    loop {
        match from.read(&mut buf) {
            Ok(0) => break,
            Ok(n) => {
                to.write_all(&buf[..n])?;
                all += n as u64;
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    to.flush()?;
    match to.shutdown_write() {
        // It has ended in both directions: then there is nobody to tell.
        Err(e) if e.kind() == io::ErrorKind::NotConnected && e.raw_os_error().is_some() => Ok(all),
        other => other.map(|()| all),
    }
}
