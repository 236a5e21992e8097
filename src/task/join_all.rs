//! `join_all`, `join_n`: many joins, one park, the results in the order in which the tasks ended.
//!
//! ```text
//! ready already    → first, in the order given
//! of this thread   Joiner { list, number } ← its `joiner`     its end notes the number; the last needed wakes
//! of another       Mailbox { list, number }                   its hub fills it and notes the number; each one wakes
//! ```
//!
//! Everything that points here is taken back by `Watching` on every way out: the joiners of this thread's tasks are
//! cleared, the mailboxes of the others cancelled (an outcome not sent yet stays with its task).
#![forbid(unsafe_code)]

use core::cell::RefCell;
use core::ptr;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::handle::{JoinError, JoinHandle, Seen};
use super::record::{Finished, Joiner};
use super::remote::{self, FilledList, Mailbox};
use crate::clock::deadline_after;
use crate::greenlet::seed::Subject;
use crate::park::{End, How, Reason, Report, Ticket, Waiting, park_until};

/// A handle and how its task's end will be seen.
enum Member<T> {
    /// Has ended, or is lost: nothing to wait for.
    Ready,
    Here(Subject),
    There(Arc<Mailbox<T>>),
}

/// What is to be taken back.
struct Watching<'a, T> {
    members: &'a [Member<T>],
    finished: &'a Finished,
    filled: &'a FilledList,
}

impl<T> Waiting for Watching<'_, T> {
    fn granted(&self) -> bool {
        let mut filled = remote::lock(self.filled);
        let mut order = self.finished.order.borrow_mut();
        order.append(&mut filled);
        order.len() >= self.finished.enough
    }
}

impl<T> Drop for Watching<'_, T> {
    fn drop(&mut self) {
        for member in self.members {
            match member {
                Member::Ready => {}
                // Nobody else fetches the outcome, so the place is still this task's.
                Member::Here(task) => task.joiner().set(ptr::null()),
                Member::There(mailbox) => {
                    mailbox.cancel();
                }
            }
        }
        // A mailbox that was filled before it could be cancelled is a result.
        self.granted();
    }
}

/// Waits for all tasks and returns their results **in the order in which they ended**; those that have ended already come
/// first, in the order given.
///
/// With a `timeout`, returns what there is when it has passed; the other tasks go on, detached.
///
/// Tasks of other threads may be among them. Their results are on the way for a moment after they have ended, so that they
/// are never "ended already".
///
/// ```
/// use std::time::Duration;
/// use greenloom::{join_all, sleep, spawn};
///
/// let tasks = [3, 1, 2].map(|n| {
///     spawn(move || {
///         sleep(Duration::from_millis(10 * n));
///         n
///     })
/// });
/// let results: Vec<u64> = join_all(tasks, None).into_iter().map(Result::unwrap).collect();
/// assert_eq!(results, [1, 2, 3]);
/// ```
///
/// # Blocking
/// Switches, unless all have ended. An enclosing `timeout` that expires ends a call with a `timeout` of its own like that
/// one, and unwinds a call without.
///
/// # Errors
/// Each task's own, as from [`JoinHandle::join`]. If the wait cannot go on ([`JoinError::Deadlock`], `Unwinding`,
/// `CannotWait`), that stands last, once for each task that has not ended.
#[doc(alias = "joinall")]
pub fn join_all<T: 'static>(
    handles: impl IntoIterator<Item = JoinHandle<T>>,
    timeout: Option<Duration>,
) -> Vec<Result<T, JoinError>> {
    let handles: Vec<_> = handles.into_iter().map(Some).collect();
    let all = handles.len();
    let (mut results, rest, failed) = join_enough(handles, all, timeout);
    if let Some(why) = failed {
        results.extend(rest.iter().flatten().map(|_| Err(again(&why))));
    }
    results
}

/// Waits until `count` of the tasks have ended (all, if they are fewer), and returns the results **in the order in which
/// they ended**, and the other handles in the order given. If more have ended by then, there are more results.
///
/// With a `timeout`, returns what there is when it has passed.
///
/// ```
/// use std::time::Duration;
/// use greenloom::task::{join_n, spawn_later};
///
/// let replicas = [3600, 0, 3600].map(|s| spawn_later(Duration::from_secs(s), move || s));
/// let (first, rest) = join_n(replicas, 1, None);
/// assert_eq!(first.len(), 1);
/// assert_eq!(rest.len(), 2);
/// rest.iter().for_each(|task| task.kill());
/// ```
///
/// # Blocking
/// As [`join_all`].
///
/// # Errors
/// Each task's own. If the wait cannot go on ([`JoinError::Deadlock`], `Unwinding`, `CannotWait`), that stands last in
/// the results, once, and the tasks that it was for are among the handles.
#[doc(alias = "joinall")]
pub fn join_n<T: 'static>(
    handles: impl IntoIterator<Item = JoinHandle<T>>,
    count: usize,
    timeout: Option<Duration>,
) -> (Vec<Result<T, JoinError>>, Vec<JoinHandle<T>>) {
    let handles: Vec<_> = handles.into_iter().map(Some).collect();
    let (mut results, rest, failed) = join_enough(handles, count, timeout);
    results.extend(failed.map(Err));
    (results, rest.into_iter().flatten().collect())
}

/// The results of those that have ended, the handles of the others in place, and why no more can be waited for, if so.
type Joined<T> = (
    Vec<Result<T, JoinError>>,
    Vec<Option<JoinHandle<T>>>,
    Option<JoinError>,
);

fn join_enough<T: 'static>(
    mut handles: Vec<Option<JoinHandle<T>>>,
    count: usize,
    timeout: Option<Duration>,
) -> Joined<T> {
    let finished = Finished {
        order: RefCell::new(Vec::with_capacity(handles.len())),
        enough: count.min(handles.len()),
    };
    // Asked once: the answer for a task of another thread may change at any time.
    let ready: Vec<bool> = handles.iter_mut().flatten().map(is_ready).collect();
    for number in (0..ready.len()).filter(|n| ready[*n]) {
        finished.note(number);
    }
    let mut members: Vec<Member<T>> = Vec::new();
    let mut failed = None;
    let enough = finished.order.borrow().len() >= finished.enough;
    if !enough {
        failed = match wait(&handles, &ready, &finished, &mut members, timeout) {
            Ok(why) => why,
            Err(e) => Some(JoinError::CannotWait(e)),
        };
    }
    let order = finished.order.into_inner();
    let mut results = Vec::with_capacity(order.len());
    for number in order {
        if let Some(handle) = handles[number].take() {
            results.push(fetch(handle, members.get(number)));
        }
    }
    (results, handles, failed)
}

/// Whether nothing needs to be waited for.
fn is_ready<T>(handle: &mut JoinHandle<T>) -> bool {
    if handle.is_polled_out() {
        return true;
    }
    match handle.address.look() {
        Seen::Here(_, _, task) => !handle.address.is(task) || task.is_dead(),
        Seen::Gone => true,
        Seen::There => false,
    }
}

/// Waits for all that have not ended. Returns why it cannot go on, if so.
fn wait<T: 'static>(
    handles: &[Option<JoinHandle<T>>],
    ready: &[bool],
    finished: &Finished,
    members: &mut Vec<Member<T>>,
    timeout: Option<Duration>,
) -> io::Result<Option<JoinError>> {
    let ticket = Ticket::new()?;
    let filled = FilledList::default();
    let mut joiners = Vec::with_capacity(handles.len());
    for (number, handle) in handles.iter().enumerate() {
        members.push(match handle {
            Some(handle) if !ready[number] => match (handle.address.look(), ticket) {
                (Seen::Here(_, _, task), Ticket::Greenlet(_, _, waiter)) => {
                    joiners.push(Joiner {
                        waiter,
                        list: Some((finished, number)),
                    });
                    Member::Here(task)
                }
                _ => {
                    let list = Some((Arc::clone(&filled), number));
                    Member::There(remote::watch(handle, &ticket, list))
                }
            },
            _ => Member::Ready,
        });
    }
    let here = members.iter().filter_map(|m| match m {
        Member::Here(task) => Some(task),
        _ => None,
    });
    // The list of joiners is complete and does not move any more.
    for (task, joiner) in here.zip(&joiners) {
        task.joiner().set(ptr::from_ref(joiner).cast());
    }
    let watching = Watching {
        members,
        finished,
        filled: &filled,
    };
    let how = How {
        reasons: &[Reason::new("join of several tasks", 0)],
        deadline: timeout.and_then(deadline_after),
        report: match timeout {
            Some(_) => Report::ALL,
            None => Report::ERRORS,
        },
    };
    let end = park_until(ticket, &how, &watching);
    drop(watching);
    Ok(match end {
        End::Granted | End::TimedOut | End::Elapsed => None,
        End::Deadlock(deadlock) => Some(JoinError::Deadlock(deadlock)),
        End::Unwinding => Some(JoinError::Unwinding),
    })
}

/// The outcome of a task that has ended.
fn fetch<T: 'static>(
    mut handle: JoinHandle<T>,
    member: Option<&Member<T>>,
) -> Result<T, JoinError> {
    if let Some(result) = handle.end_polling() {
        return remote::or_left(handle, result);
    }
    if let Some(Member::There(mailbox)) = member {
        return remote::or_left(handle, mailbox.take());
    }
    match handle.address.look() {
        Seen::Here(hot, _, task) if handle.address.is(task) => handle.fetch(hot, task),
        _ => remote::or_left(handle, Err(JoinError::Lost)),
    }
}

/// The same error for another task.
fn again(e: &JoinError) -> JoinError {
    match e {
        JoinError::Deadlock(deadlock) => JoinError::Deadlock(deadlock.clone()),
        JoinError::CannotWait(e) => JoinError::CannotWait(io::Error::new(e.kind(), e.to_string())),
        _ => JoinError::Unwinding,
    }
}
