//! The fault handler that turns a stack overflow into a report.
//!
//! ```text
//!                    ┌─ address in the guard of a registered slot, stack pointer there too, header open
//! SIGSEGV, SIGBUS ───┤      → one line on stderr, abort
//!                    └─ anything else → the handler that was there before, as if this one did not exist
//! ```
//!
//! An overflow becomes an abort, not a panic: the frame that overflowed may be C code, or hold a lock halfway.
//!
//! The handler runs on an alternate stack, at any instruction of any thread. It may load atomics, read the header of the
//! slot that the thread runs on, and call `write` and `abort`. It may not allocate, lock, or reach a thread-local (a
//! patched greenlet has other ones). It may not print about a fault that is not an overflow, because others handle
//! faults too: std reports overflows of its own threads, runtimes map pages on demand.
//!
//! Two checks keep it from blaming the wrong greenlet. A signal that a process sent carries no address
//! (`si_code` ≤ 0). And a stray pointer into a guard is not an overflow unless the stack pointer is in that slot, or
//! in the one below, which is where a large frame of C code moves it before its first access.

use std::panic::Location;
use std::sync::{Once, OnceLock};
use std::{io, mem, ptr};

use super::guard;
use super::header::{self, Slot};
use super::registry::{self, Place};
use super::size::StackSize;

/// The signals that a guard raises: SIGSEGV on Linux; SIGBUS elsewhere, and for a few kinds of memory here.
const SIGNALS: [libc::c_int; 2] = [libc::SIGSEGV, libc::SIGBUS];

/// Who handled them before.
static PREVIOUS: [OnceLock<libc::sigaction>; 2] = [const { OnceLock::new() }; 2];

/// Installs the handler, once per process.
pub(super) fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for (signal, previous) in SIGNALS.into_iter().zip(&PREVIOUS) {
            // SAFETY: `sigaction` is plain data, for which zero is a value; a null action only asks.
            let mut old: libc::sigaction = unsafe { mem::zeroed() };
            // SAFETY: as above; `old` is written.
            if unsafe { libc::sigaction(signal, ptr::null(), &raw mut old) } != 0 {
                continue;
            }
            // Known before the handler can run.
            let _ = previous.set(old);
            let mut new = old;
            new.sa_sigaction = on_fault as *const () as usize;
            // The mask and the rest of the flags are those that the previous handler expects to run under. Not one-shot:
            // that is between it and `chain`.
            new.sa_flags =
                (old.sa_flags & !libc::SA_RESETHAND) | libc::SA_SIGINFO | libc::SA_ONSTACK;
            // SAFETY: `on_fault` has the signature that SA_SIGINFO asks for and lives as long as the process.
            unsafe { libc::sigaction(signal, &raw const new, ptr::null_mut()) };
        }
    });
}

/// The handler.
extern "C" fn on_fault(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    // SAFETY: the kernel passes a valid `siginfo_t` to a handler with SA_SIGINFO.
    let (code, address) = unsafe { ((*info).si_code, (*info).si_addr().addr()) };
    if code > 0
        // SAFETY: the kernel passes the interrupted context, valid during the handler.
        && let Some(slot) = overflowed(address, unsafe { stack_pointer(context) })
    {
        report(slot);
    }
    chain(signal, code, info, context);
}

/// The slot in whose guard an access at `address` is an overflow by code with this stack pointer.
fn overflowed(address: usize, stack_pointer: Option<usize>) -> Option<Slot> {
    let Place { size, limit } = registry::find(address)?;
    let (below, end) = (limit.saturating_sub(size.stride()), limit + size.stride());
    let here = stack_pointer.is_none_or(|sp| (below..end).contains(&sp));
    if address - limit >= guard::len(size) || !here {
        return None;
    }
    // SAFETY: the address lies in a registered slab, so there is a slot; this thread runs on it, so it stays mapped
    // (invariant 9). A slot that was not carved yet has no guard, and a header that reads as "nobody".
    let slot = unsafe { Slot::with_last_page((end >> header::PAGE_SHIFT) - 1, size) };
    slot.is_open().then_some(slot)
}

/// Where the interrupted code had its stack, on the processors whose context we know.
///
/// # Safety
///
/// `context` is what the kernel passed to a signal handler that has not returned.
unsafe fn stack_pointer(context: *mut libc::c_void) -> Option<usize> {
    let context = context.cast::<libc::ucontext_t>();
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    // SAFETY: as the caller promises.
    let sp = Some(unsafe { (*context).uc_mcontext.gregs[libc::REG_RSP as usize] } as usize);
    #[cfg(all(target_os = "linux", target_arch = "aarch64"))]
    // SAFETY: as the caller promises.
    let sp = Some(unsafe { (*context).uc_mcontext.sp } as usize);
    #[cfg(not(all(
        target_os = "linux",
        any(target_arch = "x86_64", target_arch = "aarch64")
    )))]
    let sp = {
        let _ = context;
        None
    };
    sp
}

/// Says what happened, and ends the process.
fn report(slot: Slot) -> ! {
    let mut line = Line {
        text: [0; 640],
        len: 0,
    };
    slot.with_name(|name| {
        line.overflow(
            name,
            slot.id().map_or(0, |id| id.get()),
            slot.size(),
            slot.site(),
        )
    });
    let mut rest = line.bytes();
    while !rest.is_empty() {
        // SAFETY: the range is that of `rest`. `write` is safe in a signal handler.
        match unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) } {
            n @ 1.. => rest = &rest[n as usize..],
            _ if io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {}
            // Closed, or full and non-blocking: aborting matters more than the rest of the line.
            _ => break,
        }
    }
    // SAFETY: safe in a signal handler by POSIX; does not return.
    unsafe { libc::abort() }
}

/// Does what would have happened without this handler.
fn chain(
    signal: libc::c_int,
    code: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let at = usize::from(signal == libc::SIGBUS);
    let Some(previous) = PREVIOUS[at].get() else {
        return;
    };
    match previous.sa_sigaction {
        libc::SIG_DFL => {
            restore_default(signal);
            // The access recurs upon return, and kills. A signal that was sent does not: send it again, to be
            // delivered upon return.
            if code <= 0 {
                // SAFETY: no memory is involved.
                unsafe { libc::raise(signal) };
            }
        }
        // An ignored fault kills all the same: the kernel does not let the access recur for ever.
        libc::SIG_IGN if code > 0 => restore_default(signal),
        libc::SIG_IGN => {}
        handler => {
            if previous.sa_flags & libc::SA_RESETHAND != 0 {
                restore_default(signal);
            }
            if previous.sa_flags & libc::SA_SIGINFO != 0 {
                type Action = extern "C" fn(libc::c_int, *mut libc::siginfo_t, *mut libc::c_void);
                // SAFETY: whoever installed it with SA_SIGINFO vouched for this signature.
                let handler = unsafe { mem::transmute::<usize, Action>(handler) };
                handler(signal, info, context);
            } else {
                // SAFETY: whoever installed it without SA_SIGINFO vouched for this signature.
                let handler =
                    unsafe { mem::transmute::<usize, extern "C" fn(libc::c_int)>(handler) };
                handler(signal);
            }
        }
    }
}

fn restore_default(signal: libc::c_int) {
    // SAFETY: `sigaction` is plain data; zero means SIG_DFL, no flags, an empty mask.
    unsafe {
        let default: libc::sigaction = mem::zeroed();
        libc::sigaction(signal, &raw const default, ptr::null_mut());
    }
}

/// A line of limited length. What does not fit is cut off.
///
/// Not by `fmt`: it takes a good part of the 8 KiB that std gives its alternate stacks, of which the kernel takes up to
/// half for the processor's state.
struct Line {
    text: [u8; 640],
    len: usize,
}

impl Line {
    fn overflow(
        &mut self,
        name: Option<&str>,
        id: u64,
        size: StackSize,
        site: Option<&Location<'_>>,
    ) {
        self.text("\ngreenloom: stack overflow in ");
        if let Some(name) = name {
            self.text("task '").text(cut(name, 128)).text("'");
        } else {
            self.text("unnamed task");
        }
        self.text(" (id ")
            .number(id)
            .text("): its stack is ")
            .number(size.bytes() as u64 >> 10)
            .text(" KiB");
        if let Some(site) = site {
            self.text("; spawned at ").text(cut(site.file(), 256));
            self.text(":")
                .number(site.line().into())
                .text(":")
                .number(site.column().into());
        }
        self.text("; a larger one: Builder::stack_size\n");
    }

    fn text(&mut self, text: &str) -> &mut Line {
        let n = text.len().min(self.text.len() - self.len);
        self.text[self.len..][..n].copy_from_slice(&text.as_bytes()[..n]);
        self.len += n;
        self
    }

    fn number(&mut self, number: u64) -> &mut Line {
        if number > 9 {
            self.number(number / 10);
        }
        self.text(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"][(number % 10) as usize])
    }

    fn bytes(&self) -> &[u8] {
        &self.text[..self.len]
    }
}

/// At most `max` bytes of a text, whole characters.
fn cut(text: &str, max: usize) -> &str {
    &text[..text.floor_char_boundary(max)]
}
