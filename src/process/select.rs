//! Children as arms of a select, and as things of a `wait`.
//!
//! ```text
//! arm       the arm of the child's descriptor, as io has it; chosen, it fetches the status
//! notice    a daemon task that waits for the descriptor, and tells when it ends, however that comes
//! ```
#![forbid(unsafe_code)]

use core::fmt;
use std::io;
use std::os::fd::AsFd;
use std::process::ExitStatus;
use std::sync::Arc;

use super::child::Child;
use crate::io::{Readiness, readable, wait_readable};
use crate::park::{Board, Lock, Notice};
use crate::select::sealed::{Arm, Slot};
use crate::select::{Arms, Select, Source, Waitable};
use crate::task::{Builder, JoinHandle};

/// Ready when the child has ended; brings what [`Child::wait`] returns. Its input stays open.
impl<'a> Source for &'a mut Child {
    type Output = io::Result<ExitStatus>;
    type Arm = ChildArm<'a>;

    #[track_caller]
    fn into_arm(self) -> ChildArm<'a> {
        let child: &'a Child = self;
        ChildArm {
            ready: readable(child.exit().fd()).into_arm(),
            child,
        }
    }
}

/// The arm of a child.
pub struct ChildArm<'a> {
    ready: <Readiness<'a> as Source>::Arm,
    child: &'a Child,
}

impl Arm for ChildArm<'_> {
    type Output = io::Result<ExitStatus>;

    fn slot(&mut self) -> Slot<'_> {
        self.ready.slot()
    }

    fn take(self) -> io::Result<ExitStatus> {
        self.ready.take()?;
        match self.child.exit().ask()? {
            Some(status) => Ok(status),
            // Its descriptor is readable from the end on, for ever.
            None => unreachable!("a child that has ended has no status"),
        }
    }
}

impl fmt::Debug for ChildArm<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ChildArm").field(self.child).finish()
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits until `child` has ended; `f` gets what [`Child::wait`] returns. If the arm is not chosen, the child is as it
    /// was. Its input stays open.
    ///
    /// ```
    /// use std::time::Duration;
    /// use greenloom::process::Command;
    /// use greenloom::select::Select;
    ///
    /// let mut slow = Command::new("sleep").arg("1000").spawn()?;
    /// let mut quick = Command::new("true").spawn()?;
    /// let first = Select::new()
    ///     .child(&mut slow, |_| "slow")
    ///     .child(&mut quick, |status| if status.unwrap().success() { "quick" } else { "failed" })
    ///     .wait();
    /// assert_eq!(first, "quick");
    /// slow.kill()?;
    /// slow.wait()?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[track_caller]
    pub fn child(
        self,
        child: &mut Child,
        f: impl FnOnce(io::Result<ExitStatus>) -> R,
    ) -> Select<R, impl Arms<R>> {
        self.on(child, f)
    }
}

/// Who waits for a child by a notice: the notices, and the tasks that tell them.
pub(super) struct Watchers(Lock<Vec<(Arc<Notice>, JoinHandle<()>)>>);

impl Watchers {
    pub(super) fn new() -> Self {
        Self(Lock::new(Vec::new()))
    }
}

/// Tells its notice when it is dropped: with the task's body, run or not.
struct Told(Arc<Notice>);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.tell();
    }
}

/// Ready when the child has ended; its status is still to be fetched. Each wait takes a descriptor and a task of this thread's
/// hub as long as it lasts. Where one cannot be had the child counts as ready, and its own wait says why.
impl Waitable for Child {
    fn watch(&self, notice: Notice) {
        let notice = Arc::new(notice);
        let told = Told(Arc::clone(&notice));
        let Ok(fd) = self.exit().fd().try_clone() else {
            return;
        };
        let wait = move || {
            let _told = told;
            // Whatever ends it, the child's own wait finds out.
            let _ = wait_readable(fd.as_fd(), None);
        };
        let builder = Builder::new().name(format!("wait for child {}", self.id()));
        if let Ok(task) = builder.daemon().spawn(wait) {
            self.watchers.0.with(|list| list.push((notice, task)));
        }
    }

    fn unwatch(&self, board: &Board) {
        let ours: Vec<_> = self
            .watchers
            .0
            .with(|list| list.extract_if(.., |w| w.0.is_of(board)).collect());
        for (_, task) in ours {
            task.kill();
        }
    }
}
