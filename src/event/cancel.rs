//! `CancelToken`: asks for an end, politely. A tree, in which a request goes down and never up.
//!
//! ```text
//!   root ◄── parent: Arc ── child ◄── grandchild        a child keeps its parent alive
//!    └─ children: Weak, by a key that the child knows     and is taken out of the list when its last handle goes
//! ```
//!
//! | state of a node | its children |
//! | --- | --- |
//! | not cancelled | in its list, so that `cancel` finds them |
//! | cancelled | cancelled too, or about to be by the one who cancelled it; the list is empty for good |
//!
//! A child is put into the list under the lock under which `cancel` looks at it, so either that finds it or the child is
//! born cancelled. Trees may be as deep as one likes: both cancelling and dropping are loops.
#![forbid(unsafe_code)]

use core::fmt;
use std::error::Error;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use slab::Slab;

use super::latch::Latch;
use super::links::{Links, run_soon};
use super::wait;
use crate::clock::deadline_after;
use crate::park::{LinkId, Lock};

pub(super) const WAIT: &str = "wait for a cancellation";

type Link = Box<dyn FnOnce() + Send>;

pub(super) struct Node {
    pub(super) latch: Latch,
    links: Links<Link>,
    children: Lock<Slab<Weak<Node>>>,
    /// With the key of this node there.
    parent: Option<(Arc<Node>, usize)>,
}

impl Node {
    fn new(parent: Option<(Arc<Self>, usize)>) -> Self {
        Self {
            latch: Latch::new(),
            links: Links::new(),
            children: Lock::new(Slab::new()),
            parent,
        }
    }

    /// Cancels this node alone, and returns its children. Its links are to be run.
    fn cancel(&self, links: &mut Vec<Link>) -> Slab<Weak<Self>> {
        if !self.latch.raise(|| ()) {
            return Slab::new();
        }
        links.extend(self.links.take().into_iter().map(|(_, link)| link));
        // After the latch, as `Links` has it: who comes too late for this list sees the latch.
        self.children.with(core::mem::take)
    }

    /// Leaves the parent's list.
    fn leave(&mut self) -> Option<Arc<Self>> {
        let (parent, key) = self.parent.take()?;
        drop(parent.children.with(|children| children.try_remove(key)));
        Some(parent)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // The last handle of a leaf may be the last of a thousand ancestors: not by recursion.
        let mut parent = self.leave();
        while let Some(node) = parent {
            parent = Arc::into_inner(node).and_then(|mut node| node.leave());
        }
    }
}

/// Asks tasks to come to an end, by errors only: nothing is unwound, and who does not look goes on.
///
/// A handle: clones are the same token. [`child`](Self::child) tokens are cancelled with it, and on their own.
///
/// ```
/// use greenloom::event::{CancelToken, Cancelled};
///
/// let token = CancelToken::new();
/// let asked = token.child();
/// let worker = greenloom::spawn(move || -> Result<(), Cancelled> {
///     loop {
///         asked.check()?;
///         greenloom::yield_now();
///     }
/// });
/// greenloom::yield_now();
/// token.cancel();
/// assert_eq!(worker.join().unwrap(), Err(Cancelled));
/// ```
///
/// To wait for something or the end, whichever comes first, put both into a [`Select`](crate::select::Select). To end a task
/// that does not look, kill it.
#[derive(Clone)]
pub struct CancelToken {
    pub(super) node: Arc<Node>,
}

impl CancelToken {
    /// A token that is not cancelled and has no parent.
    pub fn new() -> Self {
        Self {
            node: Arc::new(Node::new(None)),
        }
    }

    /// A token that is cancelled when this one is, or when it is cancelled itself. Born cancelled if this one is.
    ///
    /// Costs nothing any more once its last handle is dropped. It keeps this one alive.
    #[doc(alias = "child_token")]
    pub fn child(&self) -> Self {
        let node = Arc::new_cyclic(|child: &Weak<Node>| {
            let parent = &self.node;
            let key = parent.children.with(|children| {
                (!parent.latch.is_up()).then(|| children.insert(Weak::clone(child)))
            });
            Node::new(key.map(|key| (Arc::clone(parent), key)))
        });
        let token = Self { node };
        // Also if it was cancelled since the lock was let go, before the child could be found by its name.
        if self.is_cancelled() {
            token.cancel();
        }
        token
    }

    /// Cancels the token and all that come from it: their waits end, their checks fail, their callbacks run. The second
    /// time it does nothing.
    ///
    /// When it returns, all of them are cancelled; meanwhile another thread may see some that are and some that are not.
    ///
    /// # Blocking
    /// Never switches.
    pub fn cancel(&self) {
        // Run at the end: they are code of users, and what is below does not wait for that.
        let mut links = Vec::new();
        let mut lists = vec![self.node.cancel(&mut links)];
        while let Some(mut list) = lists.pop() {
            for child in list.drain() {
                // Its last handle may be dropped meanwhile: then it is gone here, outside of all locks.
                if let Some(child) = child.upgrade() {
                    let below = child.cancel(&mut links);
                    if !below.is_empty() {
                        lists.push(below);
                    }
                }
            }
        }
        run_soon(links);
    }

    /// Whether it is cancelled.
    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.node.latch.is_up()
    }

    /// For `?`.
    ///
    /// # Errors
    /// [`Cancelled`], if it is.
    #[inline]
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.is_cancelled() {
            Err(Cancelled)
        } else {
            Ok(())
        }
    }

    /// Waits until it is cancelled; not at all if it is.
    ///
    /// # Blocking
    /// Switches, unless it is cancelled. Kills and deadlines are delivered here.
    ///
    /// # Panics
    /// Where nothing can wait: in a callback of the hub, in a forked child; on main with the deadlock, if nobody is left
    /// to cancel it.
    #[track_caller]
    pub fn wait(&self) {
        wait(&self.node.latch, WAIT, None);
    }

    /// Waits until it is cancelled, for at most `d`. False if it was not.
    ///
    /// # Blocking
    /// Switches, unless it is cancelled. An enclosing [`timeout`](crate::timeout) that expires first ends it like its own
    /// time. While the caller unwinds, it does not wait.
    ///
    /// # Panics
    /// In a callback of the hub, in a forked child.
    #[track_caller]
    pub fn wait_timeout(&self, d: Duration) -> bool {
        wait(&self.node.latch, WAIT, Some(deadline_after(d)))
    }

    /// Calls `f` when it is cancelled; soon, if it is.
    ///
    /// It runs where it is cancelled: from the hub of the thread that calls `cancel`, in the turn after, or within `cancel`
    /// if that thread has no hub; and after all tokens that come from this one are cancelled. Callbacks of one token run in the order of their registration; one that panics is
    /// reported and does not stop the rest. They cannot wait.
    pub fn on_cancel(&self, f: impl FnOnce() + Send + 'static) -> LinkId {
        let (id, late) = self.node.links.add(&self.node.latch, Box::new(f));
        run_soon(late);
        id
    }

    /// Removes a callback, unless the token is cancelled already. The closure is dropped here.
    pub fn unlink(&self, id: LinkId) {
        drop(self.node.links.remove(id));
    }
}

impl Default for CancelToken {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelToken")
            .field("cancelled", &self.is_cancelled())
            .finish_non_exhaustive()
    }
}

/// A [`CancelToken`] was cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cancelled;

impl fmt::Display for Cancelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("cancelled")
    }
}

impl Error for Cancelled {}

impl From<Cancelled> for io::Error {
    /// Of kind `Other`, with the `Cancelled` inside: not `Interrupted`, which loops over reads try again.
    fn from(e: Cancelled) -> Self {
        Self::other(e)
    }
}
