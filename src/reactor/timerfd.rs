//! A timer of the kernel's as a file descriptor, for deadlines finer than epoll's milliseconds.
//!
//! ```text
//!   idle ──arm──► armed(deadline) ──event──► idle
//!                   │        ▲
//!                   └──arm───┘  a system call only if the new deadline is earlier, or the old one has passed
//! ```
//!
//! Armed too early does no harm: the poll ends, finds nothing expired, and arms again. So a later deadline
//! leaves the timer alone, and nothing ever disarms it.
//!
//! It is never read. Setting the timer takes back the expirations that were not read, and each new one is a
//! new edge for epoll. Therefore an event is always that of the deadline it is armed for now.
//!
//! On other systems than Linux there is none: `new` fails, and the reactor rounds to milliseconds.
//!
//! The reactor's only file with `unsafe`: system calls that neither std nor mio has.
#![allow(unsafe_code)]

#[cfg(target_os = "linux")]
pub(super) use linux::TimerFd;
#[cfg(not(target_os = "linux"))]
pub(super) use none::TimerFd;

#[cfg(target_os = "linux")]
mod linux {
    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
    use std::ptr;

    use crate::clock::Instant;

    const NANOS_PER_SEC: i64 = 1_000_000_000;

    /// The timer: see the file's head.
    #[derive(Debug)]
    pub(in crate::reactor) struct TimerFd {
        fd: OwnedFd,
        /// What `CLOCK_MONOTONIC` read, in nanoseconds, when [`Instant`] was zero.
        offset: i64,
        armed: Option<Instant>,
    }

    impl TimerFd {
        /// An idle timer.
        pub(in crate::reactor) fn new() -> io::Result<Self> {
            let flags = libc::TFD_CLOEXEC | libc::TFD_NONBLOCK;
            // SAFETY: takes no pointers.
            let fd = unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, flags) };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: `fd` was opened by the call above and belongs to nobody else.
            let fd = unsafe { OwnedFd::from_raw_fd(fd) };
            Ok(Self {
                fd,
                offset: offset()?,
                armed: None,
            })
        }

        /// Makes sure of an event at `deadline` or before it. Whether that took a system call.
        pub(in crate::reactor) fn arm(
            &mut self,
            deadline: Instant,
            now: Instant,
        ) -> io::Result<bool> {
            if self
                .armed
                .is_some_and(|armed| now < armed && armed <= deadline)
            {
                return Ok(false);
            }
            // All zero would mean to disarm.
            let nanos = deadline.as_nanos().saturating_add(self.offset).max(1);
            let mut spec = libc::itimerspec {
                it_interval: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
                it_value: libc::timespec {
                    tv_sec: 0,
                    tv_nsec: 0,
                },
            };
            // Inferred casts: the fields' widths differ between targets.
            spec.it_value.tv_sec = (nanos / NANOS_PER_SEC) as _;
            spec.it_value.tv_nsec = (nanos % NANOS_PER_SEC) as _;
            // SAFETY: the field `fd` is an open timerfd, `spec` outlives the call, and a null pointer says that
            // the old setting is not wanted.
            let result = unsafe {
                libc::timerfd_settime(
                    self.fd.as_raw_fd(),
                    libc::TFD_TIMER_ABSTIME,
                    &raw const spec,
                    ptr::null_mut(),
                )
            };
            if result < 0 {
                return Err(io::Error::last_os_error());
            }
            self.armed = Some(deadline);
            Ok(true)
        }

        /// Its event came.
        pub(in crate::reactor) fn fired(&mut self) {
            self.armed = None;
        }
    }

    impl AsRawFd for TimerFd {
        fn as_raw_fd(&self) -> RawFd {
            self.fd.as_raw_fd()
        }
    }

    /// How far `CLOCK_MONOTONIC` is ahead of [`Instant`], which counts the same clock from another zero.
    ///
    /// The clocks are read one after the other, so each sample is too great by what passed in between, and a
    /// timer can only be late by it, never early. The least of a few samples is late by nanoseconds.
    fn offset() -> io::Result<i64> {
        let mut least = i64::MAX;
        for _ in 0..4 {
            let ours = Instant::now();
            least = least.min(monotonic()? - ours.as_nanos());
        }
        Ok(least)
    }

    fn monotonic() -> io::Result<i64> {
        let mut time = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `time` is valid for the write.
        if unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) } < 0 {
            return Err(io::Error::last_os_error());
        }
        #[allow(clippy::useless_conversion)] // the fields' widths differ between targets
        Ok(i64::from(time.tv_sec) * NANOS_PER_SEC + i64::from(time.tv_nsec))
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use std::time::Duration;

        #[test]
        fn a_system_call_only_where_the_armed_one_does_not_serve() {
            let mut timer = TimerFd::new().expect("a timerfd");
            let now = Instant::now();
            let hour = |count: u64| now + Duration::from_secs(3600 * count);
            let mut arm = |deadline, now| timer.arm(deadline, now).expect("armed");
            assert!(arm(hour(2), now), "the first");
            assert!(!arm(hour(2), now), "the same");
            assert!(!arm(hour(3), now), "a later one");
            assert!(arm(hour(1), now), "an earlier one");
            assert!(!arm(hour(2), now), "a later one than that");
            assert!(arm(hour(2), hour(1)), "the armed one has passed");
            timer.fired();
            assert!(
                timer.arm(hour(2), now).expect("armed"),
                "its event has come"
            );
        }

        #[test]
        fn it_is_the_clock_that_instants_count() {
            // Were the offset wrong by more than the readings are apart, one of these would fail.
            let low = monotonic().expect("a clock");
            let offset = offset().expect("a clock");
            let between = Instant::now().as_nanos() + offset;
            assert!(low <= between);
            // A minute more than any pause between the readings: it is another clock that this is to find.
            let later = monotonic().expect("a clock") - Instant::now().as_nanos();
            assert!(offset <= later + 60 * NANOS_PER_SEC);
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod none {
    use std::io;
    use std::os::fd::{AsRawFd, RawFd};

    use crate::clock::Instant;

    /// No such timer can be made here.
    #[derive(Debug)]
    pub(in crate::reactor) enum TimerFd {}

    impl TimerFd {
        pub(in crate::reactor) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(in crate::reactor) fn arm(&mut self, _: Instant, _: Instant) -> io::Result<bool> {
            match *self {}
        }

        pub(in crate::reactor) fn fired(&mut self) {
            match *self {}
        }
    }

    impl AsRawFd for TimerFd {
        fn as_raw_fd(&self) -> RawFd {
            match *self {}
        }
    }
}
