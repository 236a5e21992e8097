//! What io needs of the system and of memory that safe Rust does not offer: `ppoll` and epoll, reads and writes of borrowed
//! descriptors, their mode, event descriptors, hooks on `fork` and `exit`, two atomic cells.
//!
//! ```text
//! TokenCell   0, or the bits of a reactor's Token     written by who registers, read by any thread
//! SiteCell    null, or a &'static Location            written by who waits, read by who is refused
//! forks       how many forks lie between the process that first looked and this one
//! ```
//!
//! The only file of `io` that holds `unsafe`. It knows nothing of waiting: `poll` here is the system call, and
//! only plain threads let it block.

use core::mem::transmute;
use core::panic::Location;
use core::ptr;
use core::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::Duration;

use crate::reactor::{Direction, Token};

/// A token that other threads may read while it is replaced.
pub(super) struct TokenCell(AtomicU64);

// A slot and a generation of 32 bits each leave no room for padding, and the generation is never zero.
const _: () = assert!(size_of::<Token>() == size_of::<u64>());

impl TokenCell {
    pub(super) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn set(&self, token: Token) {
        // SAFETY: equal size, see the assertion above; `Token` is two plain numbers without padding.
        let bits = unsafe { transmute::<Token, u64>(token) };
        // Release: who reads this token sees that the state no longer names the hub that the last one was of.
        self.0.store(bits, Ordering::Release);
    }

    /// The token last set, if any ever was.
    #[inline]
    pub(super) fn get(&self) -> Option<Token> {
        let bits = self.0.load(Ordering::Acquire);
        // SAFETY: field `0` is zero, which is excluded here, or was stored whole by `set`.
        (bits != 0).then(|| unsafe { transmute::<u64, Token>(bits) })
    }
}

/// Where the caller of something was.
pub(super) struct SiteCell(AtomicPtr<Location<'static>>);

impl SiteCell {
    pub(super) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    #[inline]
    pub(super) fn set(&self, site: &'static Location<'static>) {
        self.0
            .store(ptr::from_ref(site).cast_mut(), Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> Option<&'static Location<'static>> {
        // SAFETY: field `0` is null or was made by `set` from a reference that lives for ever; what it points to is
        // constant data of the program, which every thread sees initialised.
        unsafe { self.0.load(Ordering::Relaxed).as_ref() }
    }
}

static FORKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn in_child() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}

/// How often this process and those it comes from were forked, since the first [`watch_forks`].
#[inline]
pub(super) fn forks() -> u64 {
    FORKS.load(Ordering::Relaxed)
}

/// Sees to it that [`forks`] counts. Once per process.
pub(super) fn watch_forks() -> io::Result<()> {
    static WATCHED: OnceLock<i32> = OnceLock::new();
    let error = *WATCHED.get_or_init(|| {
        // SAFETY: the handler changes one atomic number, which is async-signal-safe.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) }
    });
    if error == 0 {
        Ok(())
    } else {
        Err(io::Error::from_raw_os_error(error))
    }
}

/// What to ask of a descriptor in a direction. Hung up and failed are answered in any case.
pub(super) fn interest(direction: Direction) -> libc::c_short {
    match direction {
        Direction::Read => libc::POLLIN | libc::POLLRDHUP,
        Direction::Write => libc::POLLOUT,
    }
}

/// Whether `fd` becomes ready within `timeout` (`None`: however long that takes). Hung up and failed are ready.
///
/// # Errors
/// `Interrupted`; `EBADF` if the descriptor is none; `ENOMEM`.
pub(super) fn poll(
    fd: BorrowedFd<'_>,
    direction: Direction,
    timeout: Option<Duration>,
) -> io::Result<bool> {
    let mut entry = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: interest(direction),
        revents: 0,
    };
    let ready = poll_all(core::slice::from_mut(&mut entry), timeout)?;
    if entry.revents & libc::POLLNVAL != 0 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    Ok(ready > 0)
}

/// How many of `entries` become ready within `timeout` (`None`: however long that takes); each says what it found.
///
/// # Errors
/// `Interrupted`; `ENOMEM`; `EINVAL` if there are more than the process may have descriptors.
pub(super) fn poll_all(
    entries: &mut [libc::pollfd],
    timeout: Option<Duration>,
) -> io::Result<usize> {
    let timeout = timeout.map(|t| libc::timespec {
        tv_sec: t.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: t.subsec_nanos().into(),
    });
    let timeout = timeout.as_ref().map_or(ptr::null(), ptr::from_ref);
    let count = entries.len() as libc::nfds_t;
    // SAFETY: so many entries that the caller lends, a timeout that is null or in this frame, no signal mask.
    let ready = unsafe { libc::ppoll(entries.as_mut_ptr(), count, timeout, ptr::null()) };
    usize::try_from(ready).map_err(|_| io::Error::last_os_error())
}

/// Puts the open file behind `fd` into non-blocking mode, or out of it.
pub(crate) fn set_nonblocking(fd: BorrowedFd<'_>, nonblocking: bool) -> io::Result<()> {
    let mut on = libc::c_int::from(nonblocking);
    // SAFETY: `FIONBIO` reads one int, which is in this frame.
    match unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONBIO, &raw mut on) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// A new epoll instance with all of `entries`, each for what it asks. It is readable while any of them is ready.
///
/// # Errors
/// `EPERM` for what is always ready, so ask by [`poll_all`] first; no descriptor could be had.
pub(super) fn epoll_of(entries: &[libc::pollfd]) -> io::Result<OwnedFd> {
    // SAFETY: takes a number.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    if epoll < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just made it for this call.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    for (i, entry) in entries.iter().enumerate() {
        let control = |operation, events: libc::c_short| {
            let mut event = libc::epoll_event {
                // The bits of both calls are the same.
                events: events as u32,
                u64: 0,
            };
            // SAFETY: the event is in this frame.
            match unsafe { libc::epoll_ctl(epoll.as_raw_fd(), operation, entry.fd, &raw mut event) }
            {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        };
        match control(libc::EPOLL_CTL_ADD, entry.events) {
            // It was there before: for both of what was asked.
            Err(e) if e.raw_os_error() == Some(libc::EEXIST) => {
                let same = entries[..=i].iter().filter(|other| other.fd == entry.fd);
                control(
                    libc::EPOLL_CTL_MOD,
                    same.fold(0, |all, other| all | other.events),
                )?;
            }
            other => other?,
        }
    }
    Ok(epoll)
}

/// Reads once, as the system does it.
pub(super) fn read(fd: BorrowedFd<'_>, buf: &mut [u8]) -> io::Result<usize> {
    let len = buf.len().min(isize::MAX as usize);
    // SAFETY: `buf` is a buffer of at least that length, lent for this call.
    let n = unsafe { libc::read(fd.as_raw_fd(), buf.as_mut_ptr().cast(), len) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Writes once, as the system does it.
pub(super) fn write(fd: BorrowedFd<'_>, buf: &[u8]) -> io::Result<usize> {
    let len = buf.len().min(isize::MAX as usize);
    // SAFETY: `buf` is a buffer of at least that length, lent for this call.
    let n = unsafe { libc::write(fd.as_raw_fd(), buf.as_ptr().cast(), len) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// Has `handler` called when the process ends by `exit` or by the end of `main`. False if the system has no room for it.
pub(super) fn at_exit(handler: extern "C" fn()) -> bool {
    // SAFETY: the handler is a function of the program, which is there until its end, and does not unwind: `extern "C"`.
    unsafe { libc::atexit(handler) == 0 }
}

impl FromRawFd for super::PipeReader {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: the caller's promise is the same: `fd` is open and owned by nobody else.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

impl FromRawFd for super::PipeWriter {
    unsafe fn from_raw_fd(fd: RawFd) -> Self {
        // SAFETY: as above.
        unsafe { OwnedFd::from_raw_fd(fd) }.into()
    }
}

/// A new event descriptor: non-blocking, closed by `exec`.
pub(super) fn event() -> io::Result<OwnedFd> {
    // SAFETY: takes two numbers.
    let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the system has just made it for this call.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;

    #[test]
    fn cells_give_back_what_was_put_in() {
        let mut reactor = crate::reactor::Reactor::<u8>::new().unwrap();
        let (a, b) = io::pipe().unwrap();
        let cell = TokenCell::new();
        assert_eq!(cell.get(), None);
        for fd in [a.as_raw_fd(), b.as_raw_fd()] {
            let token = reactor.register(fd).unwrap();
            cell.set(token);
            assert_eq!(cell.get(), Some(token));
        }
        let site = SiteCell::new();
        assert!(site.get().is_none());
        site.set(Location::caller());
        assert_eq!(site.get().unwrap().file(), file!());
    }

    #[test]
    fn poll_tells_ready_from_late_and_accepts_any_duration() {
        let (reader, mut writer) = io::pipe().unwrap();
        let fd = reader.as_fd();
        assert!(!poll(fd, Direction::Read, Some(Duration::ZERO)).unwrap());
        assert!(poll(writer.as_fd(), Direction::Write, Some(Duration::MAX)).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(poll(fd, Direction::Read, Some(Duration::MAX)).unwrap());
        assert!(poll(fd, Direction::Read, None).unwrap());
    }
}
