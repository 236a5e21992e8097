//! The system calls of the harness behind safe functions: epoll, sockets, eventfd, memory, pinning, clocks, signals.
//!
//! Everything `unsafe` of the bench package is here, in [`crate::alloc`], [`crate::slots`] and [`crate::stats`]. The wrappers
//! add nothing to the calls but the conversion of the error, because the bare server is the reference that
//! others are measured against. None of them retries: what EINTR and EAGAIN mean is the caller's business.

use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// Turns a C result into a Rust one.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

/// An event as the kernel fills it in.
pub(crate) type Event = libc::epoll_event;

/// An event that says nothing, to make a buffer of.
pub(crate) const NO_EVENT: Event = Event { events: 0, u64: 0 };

/// An epoll instance.
#[derive(Debug)]
pub(crate) struct Epoll(OwnedFd);

impl Epoll {
    /// Creates one, closed on exec.
    pub(crate) fn new() -> io::Result<Epoll> {
        // SAFETY: the call takes no pointer.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just given us `fd`, and nothing else owns it.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Starts watching `fd`; its events will carry `token`.
    pub(crate) fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes what `fd` is watched for.
    pub(crate) fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: i32) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    fn control(
        &self,
        operation: libc::c_int,
        fd: BorrowedFd<'_>,
        token: u64,
        interest: i32,
    ) -> io::Result<()> {
        let mut event = Event {
            events: interest as u32,
            u64: token,
        };
        // SAFETY: `event` lives through the call, which only reads it; both descriptors are open.
        check(unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), operation, fd.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }

    /// Waits for events, at most `timeout` milliseconds (-1: for ever), and returns those there are.
    pub(crate) fn wait<'e>(
        &self,
        events: &'e mut [Event],
        timeout: libc::c_int,
    ) -> io::Result<&'e [Event]> {
        let room = libc::c_int::try_from(events.len()).unwrap_or(libc::c_int::MAX);
        // SAFETY: `events` is valid for writes of `room` events through the call.
        let n = check(unsafe {
            libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), room, timeout)
        })?;
        Ok(&events[..n as usize])
    }

    /// The same, but asks again and again for as long as `spin` before it waits: not at all if that is zero.
    pub(crate) fn wait_after_spin<'e>(
        &self,
        events: &'e mut [Event],
        spin: Duration,
        timeout: libc::c_int,
    ) -> io::Result<&'e [Event]> {
        if !spin.is_zero() {
            let mut end = None;
            loop {
                let n = self.wait(events, 0)?.len();
                if n > 0 {
                    return Ok(&events[..n]);
                }
                // What has come already pays for no look at the clock.
                let now = Instant::now();
                if now >= *end.get_or_insert(now + spin) {
                    break;
                }
            }
        }
        self.wait(events, timeout)
    }
}

/// `read(2)`.
pub(crate) fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    // SAFETY: `buffer` is valid for writes of its length; `fd` is open.
    let n = unsafe { libc::read(fd.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// `write(2)`; Rust's start-up code has set SIGPIPE to be ignored.
pub(crate) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: `bytes` is valid for reads of its length; `fd` is open.
    let n = unsafe { libc::write(fd.as_raw_fd(), bytes.as_ptr().cast(), bytes.len()) };
    usize::try_from(n).map_err(|_| io::Error::last_os_error())
}

/// `accept4(2)`: the next connection, non-blocking from birth.
pub(crate) fn accept(listener: &TcpListener) -> io::Result<OwnedFd> {
    let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: null address pointers mean that the peer's address is not asked for.
    let fd = check(unsafe {
        libc::accept4(
            listener.as_raw_fd(),
            std::ptr::null_mut(),
            std::ptr::null_mut(),
            flags,
        )
    })?;
    // SAFETY: the kernel has just given us `fd`, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Pins the calling thread, and what it starts from now on, to one core.
pub(crate) fn pin(core: usize) -> io::Result<()> {
    if core >= libc::CPU_SETSIZE as usize {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: a CPU set is an array of integers, of which all-zero is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `core` is below CPU_SETSIZE, checked above.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` lives through the call, which reads its size in bytes; 0 is the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) })?;
    Ok(())
}

/// Raises the limit on open files as far as the process may, and fails if that is below `wanted`.
pub(crate) fn raise_open_files(wanted: u64) -> io::Result<()> {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is valid for the write through the call.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` lives through the call, which only reads it.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    if limit.rlim_cur < wanted {
        return Err(io::Error::other(format!(
            "{wanted} open files are needed, {} are allowed (ulimit -Hn)",
            limit.rlim_cur
        )));
    }
    Ok(())
}

/// Sends `signal` to the process `pid`, which must be a child of ours that we have not yet waited for.
pub(crate) fn signal(pid: u32, signal: libc::c_int) -> io::Result<()> {
    // SAFETY: the call takes no pointer; an unwaited child's id cannot have been given to another process.
    check(unsafe { libc::kill(pid as libc::pid_t, signal) })?;
    Ok(())
}

/// Lets this process get SIGTERM when its parent ends, and SIGALRM after `seconds`.
pub(crate) fn live_at_most(seconds: u32) -> io::Result<()> {
    // SAFETY: PR_SET_PDEATHSIG takes one integer.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM as libc::c_ulong) })?;
    // SAFETY: the call takes no pointer.
    unsafe { libc::alarm(seconds) };
    Ok(())
}

/// Has a program that is not ours run on `core`, if it can, and end with this process, or after ten minutes.
pub(crate) fn at_start(command: &mut std::process::Command, core: usize) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only async-signal-safe system calls are made, and nothing is allocated.
    unsafe {
        command.pre_exec(move || {
            // With one core, or none that may be chosen, the numbers will be worse: no reason not to run.
            let _ = pin(core);
            live_at_most(600)
        });
    }
}

/// Has a program that is not ours end with this process, or after ten minutes.
pub(crate) fn end_with_us(command: &mut std::process::Command) {
    use std::os::unix::process::CommandExt;
    // SAFETY: between fork and exec only async-signal-safe system calls are made, and nothing is allocated.
    unsafe { command.pre_exec(|| live_at_most(600)) };
}

/// Bytes that the process has from `malloc` and has not given back, headers and rounding included.
pub(crate) fn heap_in_use() -> usize {
    // SAFETY: the call takes no pointer.
    let info = unsafe { libc::mallinfo2() };
    // In arenas, and in mappings of their own.
    info.uordblks + info.hblkhd
}

/// CPU time of this process so far, in user and kernel mode.
pub(crate) fn cpu_time() -> io::Result<std::time::Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there for the call to fill.
    check(unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) })?;
    Ok(std::time::Duration::new(
        time.tv_sec as u64,
        time.tv_nsec as u32,
    ))
}

/// A counter that a thread can sleep on, in the kernel's hands.
#[derive(Debug)]
pub(crate) struct EventFd(OwnedFd);

impl EventFd {
    /// Creates one with a count of zero, closed on exec.
    pub(crate) fn new() -> io::Result<EventFd> {
        // SAFETY: the call takes no pointer.
        let fd = check(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) })?;
        // SAFETY: the kernel has just given us `fd`, and nothing else owns it.
        Ok(EventFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds one.
    pub(crate) fn ring(&self) -> io::Result<()> {
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight bytes to read through the call.
        let n = unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        check(n as libc::c_int).map(drop)
    }

    /// Sleeps until the count is not zero, and makes it zero.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let mut count = [0; 8];
        // SAFETY: eight bytes to be written through the call.
        let n = unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
        check(n as libc::c_int).map(drop)
    }
}

/// Memory of the process's own: zero until it is touched, in pages of the usual size.
#[derive(Debug)]
pub(crate) struct Mapping {
    address: usize,
    len: usize,
}

impl Mapping {
    /// Maps so many bytes.
    pub(crate) fn new(len: usize) -> io::Result<Mapping> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a mapping at an address of the kernel's choice touches no other.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                flags,
                -1,
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let mapping = Mapping {
            address: start as usize,
            len,
        };
        // SAFETY: advice about the mapping just made. A kernel without huge pages refuses it, and has none to use.
        unsafe { libc::madvise(start, len, libc::MADV_NOHUGEPAGE) };
        Ok(mapping)
    }

    pub(crate) fn address(&self) -> usize {
        self.address
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `new`, and whoever has an address of it keeps this.
        unsafe { libc::munmap(self.address as *mut libc::c_void, self.len) };
    }
}
