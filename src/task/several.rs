//! Many tasks at once: `try_join_all`, `kill_all`.
#![forbid(unsafe_code)]

use std::time::Duration;

use super::handle::{JoinError, JoinHandle};
use crate::park::{Board, End, How, Reason, Report};
use crate::select::{self, Waitable};

/// Waits for all tasks and returns their values in the order given, or the first failure at once.
///
/// A task that panicked, was killed or is lost is a failure. The others go on then, detached; [`try_scope`](super::try_scope)
/// kills them.
///
/// ```
/// use greenloom::spawn;
/// use greenloom::task::try_join_all;
///
/// let tasks = [1, 2, 3].map(|n| spawn(move || n * n));
/// assert_eq!(try_join_all(tasks).unwrap(), [1, 4, 9]);
/// ```
///
/// # Blocking
/// Switches, unless all have ended, or one has failed. Kills and deadlines are delivered here.
///
/// # Errors
/// The first task's, in the order in which they failed; or why it cannot wait, as from [`JoinHandle::join`].
#[doc(alias = "joinall")]
#[doc(alias = "raise_error")]
pub fn try_join_all<T: 'static>(
    handles: impl IntoIterator<Item = JoinHandle<T>>,
) -> Result<Vec<T>, JoinError> {
    let mut handles: Vec<_> = handles.into_iter().map(Some).collect();
    let mut values: Vec<Option<T>> = Vec::new();
    values.resize_with(handles.len(), || None);
    let board = Board::new();
    for (number, handle) in handles.iter().enumerate() {
        if let Some(handle) = handle {
            handle.watch(board.notice(number));
        }
    }
    let how = How {
        reasons: &[Reason::new("join of several tasks", 0)],
        deadline: None,
        report: Report::ERRORS,
    };
    for _ in 0..handles.len() {
        let number = match board.wait(&how) {
            Ok(Ok(number)) => number,
            Ok(Err(End::Deadlock(d))) => return Err(JoinError::Deadlock(d)),
            Ok(Err(_)) => return Err(JoinError::Unwinding),
            Err(e) => return Err(JoinError::CannotWait(e)),
        };
        if let Some(handle) = handles[number].take() {
            values[number] = Some(handle.join()?);
        }
    }
    Ok(values.into_iter().flatten().collect())
}

/// Kills all tasks, then waits until they have ended, for at most `timeout`. True if they have.
///
/// All are told before the first is waited for, so they unwind side by side. The handles stay, with the results of those
/// that had ended before.
///
/// ```
/// use greenloom::task::kill_all;
/// use greenloom::{sleep, spawn};
/// use std::time::Duration;
///
/// let tasks = [1, 2, 3].map(|h| spawn(move || sleep(Duration::from_secs(3600 * h))));
/// assert!(kill_all(&tasks, None));
/// assert!(tasks.iter().all(|task| task.is_finished()));
/// ```
///
/// # Blocking
/// Switches, unless all have ended. With a `timeout`, an enclosing [`timeout`](super::timeout()) that expires first ends it
/// like its own time, and while the caller unwinds it does not wait.
///
/// # Panics
/// As [`select::wait`].
#[doc(alias = "killall")]
#[track_caller]
pub fn kill_all<'a, T: 'a>(
    handles: impl IntoIterator<Item = &'a JoinHandle<T>>,
    timeout: Option<Duration>,
) -> bool {
    let handles: Vec<_> = handles.into_iter().collect();
    for handle in &handles {
        handle.kill();
    }
    let all = handles.len();
    select::wait(handles, timeout, None).len() == all
}
