//! The handler, who is told by it, and what was installed before it. The only file of `signal` with `unsafe`.
//!
//! ```text
//!            ┌── each slot of the list that wants the signal: count it, ring, an event on its descriptor
//! handler ───┤
//!            └── the handler that was there before, if there was one
//!
//! SLOTS ──► Slot ──► Slot ──► null      one for each hub that ever had a registration at the same time; never freed,
//!                                       used again by the next hub, its descriptor never closed
//! ```
//!
//! # What the handler may do
//!
//! It runs at any instruction of any thread. It loads and changes atomics, calls `write` and the previous handler, and
//! leaves `errno` as it was. It takes no lock, allocates nothing and reaches no thread-local. Since slots are never freed and
//! their descriptors never closed, it does not matter how long it is held up in the middle: at worst a hub that has the
//! slot now looks in vain.
//!
//! # One signal
//!
//! | users | installed | ours is | |
//! | --- | --- | --- | --- |
//! | 0 | no | not there | the disposition is the program's |
//! | > 0 | yes | on top | |
//! | any | yes | beneath another's | somebody has put a handler over ours, and calls it: neither goes on top again, which would make them call each other for ever, nor restores anything |
//! | > 0 | no | – | forbidden |
//!
//! All this changes under one lock, which the handler does not take.
//!
//! # Fork
//!
//! The child has no hub, so nobody there could be told, and a signal that should end it would vanish. A handler of the
//! fork puts back what was there before, closes the slots' descriptors, which are the parent's as well, and begins anew.
//! That thread is the only one of the child.

use core::cell::UnsafeCell;
use core::mem;
use core::ptr;
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::io;
use std::os::fd::RawFd;
use std::sync::OnceLock;

use libc::c_int;

use super::kind::MAX;
use crate::hub::primitives::relax;

const COUNT: usize = MAX as usize;

/// Where one hub is told; see the file's head.
pub(super) struct Slot {
    next: *const Slot,
    /// An eventfd.
    fd: RawFd,
    /// A hub has it.
    taken: AtomicBool,
    /// Bit n - 1 for signal n.
    wanted: AtomicU64,
    rung: AtomicBool,
    /// How often signal n came, at n - 1.
    counts: [AtomicU32; COUNT],
}

// SAFETY: field `next` is written before the slot is published and leads to a slot that is never freed; all else is
// atomic or never changes.
unsafe impl Sync for Slot {}

static SLOTS: AtomicPtr<Slot> = AtomicPtr::new(ptr::null_mut());

/// How many forks lie between the process that first looked and this one.
static EPOCH: AtomicU64 = AtomicU64::new(0);

/// The table in the file's head, for each signal.
struct Line {
    users: AtomicUsize,
    installed: AtomicBool,
    /// What was there before ours; leaked, since the handler may be reading it.
    previous: AtomicPtr<libc::sigaction>,
}

static LINES: [Line; COUNT] = [const {
    Line {
        users: AtomicUsize::new(0),
        installed: AtomicBool::new(false),
        previous: AtomicPtr::new(ptr::null_mut()),
    }
}; COUNT];

/// Held for a few system calls by who changes `LINES`; not a lock of std, so that a fork can open it in the child.
static LOCK: AtomicBool = AtomicBool::new(false);

struct Locked(());

fn lock() -> Locked {
    let mut round = 0;
    while LOCK.swap(true, Ordering::Acquire) {
        relax(round);
        round = round.saturating_add(1);
    }
    Locked(())
}

impl Drop for Locked {
    fn drop(&mut self) {
        LOCK.store(false, Ordering::Release);
    }
}

fn index(signal: c_int) -> usize {
    signal as usize - 1
}

/// See [`EPOCH`].
pub(super) fn epoch() -> u64 {
    EPOCH.load(Ordering::Relaxed)
}

impl Slot {
    /// A slot for the calling thread's hub.
    ///
    /// # Errors
    /// No descriptor could be had.
    pub(super) fn claim() -> io::Result<&'static Self> {
        watch_forks()?;
        let mut at = SLOTS.load(Ordering::Acquire).cast_const();
        // SAFETY: every pointer in the list is null or leads to a slot that is never freed (see `Slot`).
        while let Some(slot) = unsafe { at.as_ref() } {
            if !slot.taken.swap(true, Ordering::Acquire) {
                slot.clear();
                return Ok(slot);
            }
            at = slot.next;
        }
        // SAFETY: a plain system call.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if fd == -1 {
            return Err(io::Error::last_os_error());
        }
        let slot: &'static mut Self = Box::leak(Box::new(Self {
            next: ptr::null(),
            fd,
            taken: AtomicBool::new(true),
            wanted: AtomicU64::new(0),
            rung: AtomicBool::new(false),
            counts: [const { AtomicU32::new(0) }; COUNT],
        }));
        let mut head = SLOTS.load(Ordering::Acquire);
        loop {
            slot.next = head;
            let new = ptr::from_mut(slot);
            match SLOTS.compare_exchange_weak(head, new, Ordering::AcqRel, Ordering::Acquire) {
                Ok(_) => return Ok(slot),
                Err(other) => head = other,
            }
        }
    }

    /// Back to the list, wanting nothing.
    pub(super) fn release(&self) {
        self.wanted.store(0, Ordering::SeqCst);
        self.taken.store(false, Ordering::Release);
    }

    fn clear(&self) {
        self.rung.store(false, Ordering::SeqCst);
        for count in &self.counts {
            count.store(0, Ordering::SeqCst);
        }
    }

    /// What the hub polls. Each ring is an event; nobody reads it, which a counter of 64 bits bears.
    pub(super) fn fd(&self) -> RawFd {
        self.fd
    }

    pub(super) fn rung(&self) -> bool {
        self.rung.load(Ordering::SeqCst)
    }

    /// From here on the next signal rings again. Then the counts are to be taken.
    pub(super) fn answered(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }

    /// The signals that it is told of.
    pub(super) fn wanted(&self) -> impl Iterator<Item = c_int> {
        let wanted = self.wanted.load(Ordering::SeqCst);
        (1..=MAX).filter(move |signal| wanted & bit(*signal) != 0)
    }

    /// How often `signal` came since this was last asked.
    pub(super) fn take(&self, signal: c_int) -> u32 {
        self.counts[index(signal)].swap(0, Ordering::SeqCst)
    }

    pub(super) fn want(&self, signal: c_int) {
        if self.wanted.load(Ordering::SeqCst) & bit(signal) == 0 {
            self.take(signal);
            self.wanted.fetch_or(bit(signal), Ordering::SeqCst);
        }
    }

    pub(super) fn unwant(&self, signal: c_int) {
        self.wanted.fetch_and(!bit(signal), Ordering::SeqCst);
    }

    /// By the handler.
    fn ring(&self, signal: c_int) {
        self.counts[index(signal)].fetch_add(1, Ordering::SeqCst);
        if !self.rung.swap(true, Ordering::SeqCst) {
            let one = 1_u64;
            // SAFETY: eight bytes of this frame, to field `fd`, which is never closed. `write` is async-signal-safe. It
            // fails only if the counter is full, and then the hub has an event already.
            unsafe { libc::write(self.fd, (&raw const one).cast(), 8) };
        }
    }
}

fn bit(signal: c_int) -> u64 {
    1 << index(signal)
}

/// The handler: see the file's head.
extern "C" fn on_signal(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the address of this thread's `errno`, which is there at any time.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let before = unsafe { *errno };
    let mut at = SLOTS.load(Ordering::Acquire).cast_const();
    // SAFETY: as in `claim`.
    while let Some(slot) = unsafe { at.as_ref() } {
        if slot.wanted.load(Ordering::SeqCst) & bit(signal) != 0 {
            slot.ring(signal);
        }
        at = slot.next;
    }
    chain(signal, info, context);
    // SAFETY: as above.
    unsafe { *errno = before };
}

/// Calls the handler that was there before, if there was one.
fn chain(signal: c_int, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: field `previous` is null or leads to a leaked box that is never changed.
    let Some(previous) = (unsafe {
        LINES[index(signal)]
            .previous
            .load(Ordering::Acquire)
            .as_ref()
    }) else {
        return;
    };
    if !is_function(previous) {
        return;
    }
    if previous.sa_flags & libc::SA_SIGINFO != 0 {
        type Action = extern "C" fn(c_int, *mut libc::siginfo_t, *mut libc::c_void);
        // SAFETY: whoever installed it with SA_SIGINFO vouched for this signature.
        let f = unsafe { mem::transmute::<usize, Action>(previous.sa_sigaction) };
        f(signal, info, context);
    } else {
        // SAFETY: whoever installed it without SA_SIGINFO vouched for this signature.
        let f = unsafe { mem::transmute::<usize, extern "C" fn(c_int)>(previous.sa_sigaction) };
        f(signal);
    }
}

fn is_function(action: &libc::sigaction) -> bool {
    !matches!(action.sa_sigaction, libc::SIG_DFL | libc::SIG_IGN)
}

fn ours() -> usize {
    on_signal as *const () as usize
}

/// What is installed now.
fn ask(signal: c_int) -> io::Result<libc::sigaction> {
    let action = UnsafeCell::new(mem::MaybeUninit::zeroed());
    // SAFETY: a null action only asks; the answer is written to this frame.
    if unsafe { libc::sigaction(signal, ptr::null(), action.get().cast()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `sigaction` is plain data, zeroed above and then written.
    Ok(unsafe { action.into_inner().assume_init() })
}

fn set(signal: c_int, action: &libc::sigaction) -> io::Result<()> {
    // SAFETY: `action` is what `ask` returned, or that with our handler, of the signature that its flags ask for.
    match unsafe { libc::sigaction(signal, action, ptr::null_mut()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// One more user of `signal`: ours is installed, unless it is.
///
/// # Errors
/// `InvalidInput`: the C library keeps the signal for itself.
pub(super) fn install(signal: c_int) -> io::Result<()> {
    let _locked = lock();
    let line = &LINES[index(signal)];
    let now = ask(signal)?;
    // Beneath a function it stays where it is: see the table. Over one it goes if that was there first.
    let beneath = line.installed.load(Ordering::Relaxed) && is_function(&now);
    if now.sa_sigaction != ours() && !beneath {
        let mut new = now;
        new.sa_sigaction = ours();
        // Calls of other threads go on by themselves, those that can. Greenlets' stacks are small: not on them.
        new.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | libc::SA_RESTART;
        line.keep(&now);
        // Before it is there, so that a fork between the two puts back the same as was there.
        line.installed.store(true, Ordering::Relaxed);
        if let Err(e) = set(signal, &new) {
            line.installed.store(false, Ordering::Relaxed);
            return Err(e);
        }
    }
    line.users.fetch_add(1, Ordering::Relaxed);
    Ok(())
}

/// One user less: after the last one, what was there before comes back.
pub(super) fn remove(signal: c_int) {
    let _locked = lock();
    let line = &LINES[index(signal)];
    if line.users.fetch_sub(1, Ordering::Relaxed) == 1 {
        line.restore(signal);
    }
}

impl Line {
    /// Remembers what was there before. A box that says the same is used again, so that only what differs is leaked.
    fn keep(&self, action: &libc::sigaction) {
        // SAFETY: as in `chain`.
        let same = unsafe { self.previous.load(Ordering::Acquire).as_ref() }.is_some_and(|kept| {
            (kept.sa_sigaction, kept.sa_flags) == (action.sa_sigaction, action.sa_flags)
        });
        if !same {
            let kept = Box::into_raw(Box::new(*action));
            self.previous.store(kept, Ordering::Release);
        }
    }

    /// Puts back what was there before, if ours is on top. Also called in a forked child, where nothing may be allocated.
    fn restore(&self, signal: c_int) {
        let Ok(now) = ask(signal) else { return };
        if now.sa_sigaction == ours() {
            // SAFETY: as in `chain`.
            if let Some(previous) = unsafe { self.previous.load(Ordering::Acquire).as_ref() } {
                // Fails for no signal for which it succeeded before.
                let _ = set(signal, previous);
            }
            self.installed.store(false, Ordering::Relaxed);
        } else if !is_function(&now) {
            // Replaced by somebody who does not call it.
            self.installed.store(false, Ordering::Relaxed);
        }
    }
}

extern "C" fn in_child() {
    EPOCH.fetch_add(1, Ordering::Relaxed);
    let mut at = SLOTS.swap(ptr::null_mut(), Ordering::Relaxed).cast_const();
    // SAFETY: as in `claim`.
    while let Some(slot) = unsafe { at.as_ref() } {
        // SAFETY: this process has one thread, and from the swap on its handler finds no slot that names the descriptor.
        unsafe { libc::close(slot.fd) };
        at = slot.next;
    }
    for (line, signal) in LINES.iter().zip(1..) {
        line.users.store(0, Ordering::Relaxed);
        if line.installed.load(Ordering::Relaxed) {
            line.restore(signal);
        }
    }
    // Whoever held it is not here.
    LOCK.store(false, Ordering::Relaxed);
}

/// Sees to it that a forked child begins anew. Once per process.
fn watch_forks() -> io::Result<()> {
    static WATCHED: OnceLock<c_int> = OnceLock::new();
    // SAFETY: the handler changes atomics and calls `sigaction` and `close`, which are async-signal-safe.
    match *WATCHED.get_or_init(|| unsafe { libc::pthread_atfork(None, None, Some(in_child)) }) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(error)),
    }
}
