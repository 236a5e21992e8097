//! The system calls that the stacks are made of, as functions that return `io::Result`.
//!
//! Nothing here keeps state, except for the page size. Every function is a thin wrapper: what a sequence of them means
//! is decided by `slab` (mapping), `guard` (the ladder) and `arena` (trimming).

use std::io;
use std::ptr;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Linux 6.13: makes a range fault on access without splitting its mapping. Not yet named by libc.
pub(super) const MADV_GUARD_INSTALL: libc::c_int = 102;

/// Ranges per `process_madvise`: the kernel takes 1024, but the list lies on a stack that may be a small one.
const RANGES: usize = 128;

static PAGE: AtomicUsize = AtomicUsize::new(0);

/// The size of a page. Safe in a signal handler.
pub(super) fn page_size() -> usize {
    match PAGE.load(Relaxed) {
        0 => {
            // SAFETY: no memory is involved; `sysconf` of this name is a constant of the process.
            let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
            let size = usize::try_from(size)
                .ok()
                .filter(|size| size.is_power_of_two())
                .unwrap_or(4096);
            PAGE.store(size, Relaxed);
            size
        }
        size => size,
    }
}

/// Maps `len` bytes of stack memory at an address of the kernel's choosing. Reserves no swap, touches nothing.
pub(super) fn map(len: usize) -> io::Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_STACK;
    // SAFETY: a new mapping at an address that the kernel chooses overlaps nothing.
    let start = unsafe {
        libc::mmap(
            ptr::null_mut(),
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
    Ok(start.expose_provenance())
}

/// Unmaps a range. A failure leaves it mapped, which wastes address space and nothing else.
///
/// # Safety
///
/// The range was mapped by [`map`] and nothing uses it any more.
pub(super) unsafe fn unmap(start: usize, len: usize) {
    if len > 0 {
        // SAFETY: as the caller promises.
        let done = unsafe { libc::munmap(ptr::with_exposed_provenance_mut(start), len) };
        debug_assert_eq!(done, 0, "munmap of a range of our own");
    }
}

/// `madvise`.
///
/// # Safety
///
/// The range belongs to a mapping of ours, and nobody relies on what the advice destroys.
pub(super) unsafe fn advise(start: usize, len: usize, advice: libc::c_int) -> io::Result<()> {
    // SAFETY: as the caller promises.
    check(unsafe { libc::madvise(ptr::with_exposed_provenance_mut(start), len, advice) })
}

/// Takes every access to the range away. Splits the mapping.
///
/// # Safety
///
/// The range belongs to a mapping of ours and nobody uses it.
pub(super) unsafe fn protect(start: usize, len: usize) -> io::Result<()> {
    // SAFETY: as the caller promises.
    check(unsafe {
        libc::mprotect(
            ptr::with_exposed_provenance_mut(start),
            len,
            libc::PROT_NONE,
        )
    })
}

/// How many bytes from `start` on, in whole pages, are in no memory, before the first that is. What was
/// swapped out counts as not touched.
///
/// # Errors
///
/// As mincore(2).
pub(super) fn untouched(start: usize, len: usize) -> io::Result<usize> {
    let page = page_size();
    let mut pages = vec![0_u8; len.div_ceil(page)];
    // SAFETY: mincore reads no memory of ours; it writes one byte per page of the range, and the vector has so many.
    let result = unsafe { libc::mincore(start as *mut libc::c_void, len, pages.as_mut_ptr()) };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    let first = pages.iter().position(|p| p & 1 != 0);
    Ok(first.map_or(len, |n| n * page))
}

/// Advises `count` ranges of `len` bytes, `stride` apart, by as few system calls as possible. Returns how many were
/// done, from the first on: fewer than `count` if the kernel refuses.
///
/// # Safety
///
/// As for [`advise`], for every range.
pub(super) unsafe fn advise_strided(
    first: usize,
    stride: usize,
    len: usize,
    count: usize,
    advice: libc::c_int,
) -> usize {
    // Opened for each batch: a descriptor that is kept would name the parent after a fork.
    // SAFETY: no memory is involved.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, libc::getpid(), 0) } as libc::c_int;
    if pidfd < 0 {
        return 0;
    }
    let mut done = 0;
    while done < count {
        let mut ranges = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: len,
        }; RANGES];
        let n = RANGES.min(count - done);
        for (i, range) in ranges[..n].iter_mut().enumerate() {
            range.iov_base = ptr::with_exposed_provenance_mut(first + (done + i) * stride);
        }
        // SAFETY: `ranges` holds `n` ranges for which the caller vouches, and the descriptor is this process.
        let bytes = unsafe {
            libc::syscall(
                libc::SYS_process_madvise,
                pidfd,
                ranges.as_ptr(),
                n,
                advice,
                0,
            )
        };
        match usize::try_from(bytes) {
            // Less than asked for is not an error: the rest is asked for again, and that fails if it must.
            Ok(bytes) if bytes >= len => done += bytes / len,
            Ok(_) => break,
            Err(_) if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    // SAFETY: the descriptor was opened above and is not used again.
    unsafe { libc::close(pidfd) };
    done
}

fn check(result: libc::c_int) -> io::Result<()> {
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
