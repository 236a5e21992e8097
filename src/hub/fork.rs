//! What a `fork` does to a hub.
//!
//! The child has a copy of everything and shares the parent's epoll instance. A handler that libc calls in the child
//! marks the thread's runtime as `Forked`; from then on every call that needs the hub fails with
//! [`Forked`](super::Forked) until [`reinit`] gives the child a hub of its own. Sockets that are dropped only close their
//! descriptor, since taking them out of the shared epoll instance would be the parent's loss.
//!
//! Control that would reach the parent's hub in the child (the body of the greenlet that forked returns, say) ends the
//! child with exit status 70 and a message: there is nothing it could go on with.

use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};

use super::deadlock;
use super::sched;
use crate::greenlet::control::{ControlRef, attention, flag};
use crate::greenlet::engine;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::greenlet::seed;

/// Exit status of a child whose control reached its parent's hub (`EX_SOFTWARE`).
const EXIT_STATUS: i32 = 70;

/// How many forks lie between the first process that watched for them and this one.
static GENERATION: AtomicU64 = AtomicU64::new(0);

/// A number that a forked child does not share with its parent, once forks are [watched](watch) for.
#[inline]
pub(crate) fn generation() -> u64 {
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
    deadlock::no_helpers();
    let hot = hot();
    let Some(hub) = sched::get(hot) else { return };
    hub.owner().alone();
    if hot.phase.get() == Phase::Active {
        hot.phase.set(Phase::Forked);
        if let Some(me) = hot.current.get() {
            me.attend(attention::UNUSUAL);
        }
        // The next pick comes to the hub's turn, which ends the child.
        hot.queue.set_budget(0);
    }
}

/// Sees to it that forks are noticed. Once per process.
pub(crate) fn watch() -> io::Result<()> {
    // 0: not yet; 1: done. Two threads that race install it twice, which is harmless.
    static DONE: AtomicI32 = AtomicI32::new(0);
    if DONE.load(Ordering::Acquire) != 0 {
        return Ok(());
    }
    // SAFETY: the handler touches only atomics and this thread's hot data, which is there at any time (invariant 12), and calls
    // nothing that is not async-signal-safe.
    let error = unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    if error != 0 {
        return Err(io::Error::from_raw_os_error(error));
    }
    DONE.store(1, Ordering::Release);
    Ok(())
}

/// Whether `c`, a task that ends, is the copy of one of the parent's: its end is the parent's business.
pub(crate) fn is_parents(hot: &Hot, c: ControlRef) -> bool {
    hot.phase.get() != Phase::Active || !c.has(flag::TASK)
}

/// Control reached the parent's hub in the child.
#[cold]
pub(crate) fn abandoned(_: &'static Hot) -> ! {
    const TEXT: &[u8] =
        b"greenloom: control reached the parent's hub in a forked child: exiting with status 70\n";
    // SAFETY: plain system calls on a constant. `_exit`, since destructors and exit handlers are the parent's.
    unsafe {
        let _ = libc::write(2, TEXT.as_ptr().cast(), TEXT.len());
        libc::_exit(EXIT_STATUS)
    }
}

/// Gives a forked child a hub of its own.
///
/// Tasks, timers and waits of the parent are forgotten here: they go on in the parent, and no destructor of theirs runs
/// in the child. The greenlet that forked goes on; when its body returns, the child exits with status 70.
///
/// In a process that is not a forked child, or was given a hub already, this does nothing.
///
/// # Errors
/// No descriptor for the poll could be had. The call may be repeated.
pub fn reinit() -> io::Result<()> {
    let hot = hot();
    if hot.phase.get() != Phase::Forked {
        return Ok(());
    }
    let Some(old) = sched::get(hot) else {
        unreachable!("a fork without a hub is not noticed")
    };
    // First, so that their descriptors are there for the new ones.
    old.disown();
    if let Some(me) = hot.current.get().filter(|me| *me != hot.hub()) {
        me.ignore(attention::UNUSUAL);
    }
    hot.queue.clear();
    // They are in no count of the new hub, and nothing here is to end them.
    engine::for_each(hot, |c| c.clear_flag(flag::TASK));
    seed::abandon(hot);
    hot.phase.set(Phase::Active);
    if let Err(error) = sched::start(hot, old.limits.get()) {
        hot.phase.set(Phase::Forked);
        return Err(error);
    }
    Ok(())
}
