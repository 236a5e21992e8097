//! The stack that the overflow handler runs on: every thread that has greenlets needs one.
//!
//! A signal handler cannot run on the stack that has just overflowed. Threads of std have an alternate stack already,
//! and so has `main`; threads that C code started have none. What is there is used, whoever made it; otherwise one is
//! mapped here, with a guard page below, and freed when the thread ends. Its owner is a thread-local with a destructor,
//! apart from the hot one (invariant 12).
//!
//! ```text
//! │ guard page │ 32 KiB, or what the processor's state needs and 16 KiB │
//! start        ss_sp
//! ```

use std::cell::Cell;
use std::{io, mem, ptr};

use super::sys;

/// Auxiliary vector: how much of a signal stack the saved processor state takes. Not named by every libc.
const AT_MINSIGSTKSZ: libc::c_ulong = 51;

/// An alternate stack of our own.
struct Own {
    start: Cell<usize>,
    len: Cell<usize>,
}

thread_local! {
    static OWN: Own = const { Own { start: Cell::new(0), len: Cell::new(0) } };
}

/// Makes sure that this thread has an alternate signal stack.
///
/// # Errors
///
/// What the system says if there is none and none can be mapped.
pub(crate) fn ensure_alt_stack() -> io::Result<()> {
    if current()?.ss_flags & libc::SS_DISABLE == 0 {
        return Ok(());
    }
    OWN.try_with(|own| own.install())
        .map_err(|_| io::Error::other("the thread is ending"))?
}

impl Own {
    fn install(&self) -> io::Result<()> {
        // SAFETY: no memory is involved; an unknown key gives 0.
        let state = unsafe { libc::getauxval(AT_MINSIGSTKSZ) } as usize;
        let page = sys::page_size();
        let size = (32 << 10).max(state + (16 << 10)).next_multiple_of(page);
        if self.len.get() == 0 {
            let start = sys::map(page + size)?;
            // SAFETY: mapped just now, and its lowest page is known to nobody.
            if let Err(error) = unsafe { sys::protect(start, page) } {
                // SAFETY: as above.
                unsafe { sys::unmap(start, page + size) };
                return Err(error);
            }
            self.start.set(start);
            self.len.set(page + size);
        }
        let stack = libc::stack_t {
            ss_sp: ptr::with_exposed_provenance_mut(self.start.get() + page),
            ss_flags: 0,
            ss_size: self.len.get() - page,
        };
        // SAFETY: the range stays mapped until `drop` has taken it away from the kernel (the fields of `self`).
        match unsafe { libc::sigaltstack(&raw const stack, ptr::null_mut()) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        if self.len.get() == 0 {
            return;
        }
        let ours = self.start.get() + sys::page_size();
        match current() {
            Ok(stack) if stack.ss_sp.addr() == ours => {
                let none = libc::stack_t {
                    ss_sp: ptr::null_mut(),
                    ss_flags: libc::SS_DISABLE,
                    ss_size: 0,
                };
                // SAFETY: `none` is a valid request; refused only while running on it, and then it is not unmapped.
                if unsafe { libc::sigaltstack(&raw const none, ptr::null_mut()) } != 0 {
                    return;
                }
            }
            // Somebody else's by now, who may put ours back: leave it mapped rather than guess.
            _ => return,
        }
        // SAFETY: the kernel no longer knows the range, and nobody else ever did.
        unsafe { sys::unmap(self.start.get(), self.len.get()) };
    }
}

fn current() -> io::Result<libc::stack_t> {
    // SAFETY: `stack_t` is plain data, for which zero is a value.
    let mut stack: libc::stack_t = unsafe { mem::zeroed() };
    // SAFETY: a null first argument only asks; `stack` is written.
    match unsafe { libc::sigaltstack(ptr::null(), &raw mut stack) } {
        0 => Ok(stack),
        _ => Err(io::Error::last_os_error()),
    }
}
