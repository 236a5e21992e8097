//! The arm by which a select takes permits, several at once too: so it is tested in here.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::select::Acquire;
use super::semaphore::{Permit, Semaphore};
use crate::clock::deadline_after;
use crate::park::{self, End, Report, Selectable, Selected, Ticket, yield_now};
use crate::task::{JoinHandle, spawn};

/// Waits for permits of the first of these semaphores to have as many, `limit` at most. Which one, and the permits.
fn first_of<'a>(wanted: &[(&'a Semaphore, usize)], limit: Duration) -> Option<(usize, Permit<'a>)> {
    let mut arms: Vec<_> = wanted
        .iter()
        .map(|(s, n)| Acquire::new(s.core(), *n))
        .collect();
    let selected = {
        let mut all: Vec<&mut dyn Selectable> =
            arms.iter_mut().map(|a| a as &mut dyn Selectable).collect();
        let begin = || Ok((Ticket::new()?, deadline_after(limit), Report::ALL));
        park::select(&mut all, 0, begin).unwrap()
    };
    match selected {
        Selected::Arm(i) => {
            let mut chosen = None;
            for (at, arm) in arms.into_iter().enumerate() {
                let permit = arm.into_permit();
                assert_eq!(permit.is_some(), at == i);
                chosen = chosen.or(permit);
            }
            chosen.map(|permit| (i, permit))
        }
        Selected::Ended(end) => {
            assert!(matches!(end, End::TimedOut));
            None
        }
    }
}

const LONG: Duration = Duration::from_secs(600);

fn pair(a: usize, b: usize) -> (Arc<Semaphore>, Arc<Semaphore>) {
    (Arc::new(Semaphore::new(a)), Arc::new(Semaphore::new(b)))
}

fn waits(a: &Arc<Semaphore>, b: &Arc<Semaphore>, n: usize) -> JoinHandle<Option<usize>> {
    let (a, b) = (Arc::clone(a), Arc::clone(b));
    let task = spawn(move || first_of(&[(&*a, n), (&*b, n)], LONG).map(|(i, _)| i));
    yield_now();
    task
}

#[test]
fn what_is_there_is_taken_at_once_and_only_that() {
    let (a, b) = pair(0, 1);
    let (i, permit) = first_of(&[(&*a, 1), (&*b, 1)], LONG).unwrap();
    assert_eq!((i, permit.count(), b.available()), (1, 1, 0));
    drop(permit);
    assert_eq!((a.available(), b.available()), (0, 1));
}

#[test]
fn the_first_that_is_released_is_chosen_and_the_other_keeps_its_own() {
    let (a, b) = pair(0, 0);
    let task = waits(&a, &b, 1);
    b.release(1);
    a.release(1);
    assert_eq!(task.join().unwrap(), Some(1));
    assert_eq!((a.available(), b.available()), (1, 1));
}

#[test]
fn one_that_gives_up_leaves_nothing_behind() {
    let (a, b) = pair(1, 0);
    let limit = Duration::from_millis(1);
    assert!(first_of(&[(&*a, 2), (&*b, 1)], limit).is_none());
    let task = waits(&a, &b, 2);
    assert!(a.try_acquire().is_none(), "it is the first here");
    task.kill();
    assert!(task.join().unwrap_err().is_killed());
    assert!(a.try_acquire().is_some());
    b.release(1);
    assert_eq!(b.available(), 1);
}

#[test]
fn those_behind_it_go_on_when_it_has_chosen_another() {
    let (a, b) = pair(1, 0);
    let task = waits(&a, &b, 2);
    let had = Rc::new(Cell::new(false));
    let behind = {
        let (a, had) = (Arc::clone(&a), Rc::clone(&had));
        spawn(move || {
            let _permit = a.acquire();
            had.set(true);
        })
    };
    yield_now();
    assert!(!had.get());
    b.release(2);
    assert_eq!(task.join().unwrap(), Some(1));
    behind.join().unwrap();
    assert!(had.get());
}

#[test]
fn two_arms_on_one_semaphore_are_not_in_each_others_way() {
    let a = Arc::new(Semaphore::new(1));
    let q = Arc::clone(&a);
    let task = spawn(move || first_of(&[(&*q, 3), (&*q, 1)], LONG).map(|(i, p)| (i, p.count())));
    assert_eq!(task.join().unwrap(), Some((1, 1)));
    assert_eq!(a.available(), 1);
}

#[test]
fn what_a_select_of_an_ended_thread_was_given_comes_back() {
    let (a, b) = pair(0, 0);
    let (ready, is_ready) = std::sync::mpsc::channel();
    let (end, ends) = std::sync::mpsc::channel::<()>();
    let theirs = (Arc::clone(&a), Arc::clone(&b));
    let thread = std::thread::spawn(move || {
        let task = waits(&theirs.0, &theirs.1, 2);
        assert!(!task.is_finished());
        ready.send(()).unwrap();
        ends.recv().unwrap();
    });
    is_ready.recv().unwrap();
    b.release(2);
    assert_eq!(b.available(), 0, "they are the task's");
    end.send(()).unwrap();
    thread.join().unwrap();
    assert_eq!((a.available(), b.available()), (0, 2));
    a.release(1);
    assert!(a.try_acquire().is_some(), "nobody is in the queue");
}
