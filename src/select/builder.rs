//! The builder of a select, and its three ways to end.
//!
//! | | nothing is ready | |
//! | --- | --- | --- |
//! | `wait` | waits; `after` and `default` end that | always runs one closure |
//! | `wait_timeout` | waits for at most so long | `None` if it was in vain |
//! | `try_wait` | does not wait | `None` |
#![forbid(unsafe_code)]

use core::fmt;
use core::marker::PhantomData;
use std::time::Duration;

use super::arms::{Arms, Else, FEW, Many, Never, On, Otherwise, Slots};
use super::first::first;
use super::sealed::Source;
use crate::clock::deadline_after;
use crate::park::{self, End, Report, Selectable, Selected, Ticket, cannot_wait};

/// Waits for the first of several things, and runs the closure that was given with it.
///
/// ```
/// use std::time::Duration;
/// use greenloom::event::{AsyncResult, CancelToken};
/// use greenloom::select::Select;
///
/// let (answer, stop) = (AsyncResult::<u32>::new(), CancelToken::new());
/// let setter = answer.clone();
/// greenloom::spawn(move || setter.set(42));
///
/// let got = Select::new()
///     .result(&answer, |n| Some(*n.unwrap()))
///     .cancelled(&stop, || None)
///     .after(Duration::from_secs(60), || None)
///     .wait();
/// assert_eq!(got, Some(42));
/// ```
///
/// One arm is chosen and takes what it waits for; each of the others is as if it had never been asked: its value, item or
/// handle is where it was, its closure is dropped unused. That holds whatever happens at the same instant on other
/// threads, and also if the wait ends by a kill or a deadline.
///
/// The chosen closure runs after all arms were taken back and the other closures dropped. It is ordinary code of the
/// caller: it may wait, and a panic of it is the caller's.
///
/// Of several arms that are ready at once, each is chosen about as often. Arms that do not have to wait cost no
/// allocation, up to eight of them.
///
/// # Differences from Go's `select`
/// The arms are values, so their number may be found at run time: [`any`](Self::any).
#[must_use = "a select does nothing until `wait`"]
pub struct Select<R, A = ()> {
    arms: A,
    result: PhantomData<fn() -> R>,
}

impl<R> Select<R> {
    /// A select of nothing, to add arms to.
    pub fn new() -> Self {
        Self {
            arms: (),
            result: PhantomData,
        }
    }
}

impl<R> Default for Select<R> {
    fn default() -> Self {
        Self::new()
    }
}

impl<R, A> Select<R, A> {
    fn with<B>(self, arm: B) -> Select<R, (A, B)> {
        Select {
            arms: (self.arms, arm),
            result: PhantomData,
        }
    }
}

impl<R, A: Arms<R>> Select<R, A> {
    /// Waits for `source`; `f` gets what it brings. Every other method that adds one thing is short for this.
    pub fn on<S: Source>(
        self,
        source: S,
        f: impl FnOnce(S::Output) -> R,
    ) -> Select<R, impl Arms<R>> {
        let arm = source.into_arm();
        self.with(On { arm, f })
    }

    /// Waits for any of `sources`; `f` gets the number of the one that was first, and what it brings.
    ///
    /// ```
    /// use greenloom::event::Event;
    /// use greenloom::select::Select;
    ///
    /// let events: Vec<Event> = (0..64).map(|_| Event::new()).collect();
    /// events[17].set();
    /// assert_eq!(Select::new().any(&events, |i, ()| i).wait(), 17);
    /// ```
    ///
    /// Each wait registers with every source anew. For thousands, one after the other, [`iwait`](super::iwait) does so once.
    ///
    /// # Panics
    /// The select does, if it has 32,768 arms or more.
    pub fn any<S: Source>(
        self,
        sources: impl IntoIterator<Item = S>,
        f: impl FnOnce(usize, S::Output) -> R,
    ) -> Select<R, impl Arms<R>> {
        let arms = sources.into_iter().map(S::into_arm).collect();
        self.with(Many { arms, f })
    }

    /// Gives up when `d` has passed, counted from the wait on. Of several, the shortest counts. Zero gives up as soon as
    /// nothing is ready.
    pub fn after(self, d: Duration, f: impl FnOnce() -> R) -> Select<R, impl Arms<R>> {
        let after = Some(d);
        self.with(Else {
            after,
            slot: Never,
            f,
        })
    }

    /// Does not wait: runs `f` if nothing is ready. Of several, the first counts. A loop around that gives way to nobody, unless
    /// `f` does.
    ///
    /// The arms are looked at one after the other, so with other threads at work `f` may run though at each moment some arm was
    /// ready. An [`after`](Self::after) of [`Duration::ZERO`] costs more and does not wait either, and sees that.
    pub fn default(self, f: impl FnOnce() -> R) -> Select<R, impl Arms<R>> {
        self.with(Else {
            after: None,
            slot: Never,
            f,
        })
    }

    /// Waits for the first arm, and runs its closure.
    ///
    /// # Blocking
    /// Switches, unless an arm is ready or there is a [`default`](Self::default). Kills and deadlines are delivered here.
    /// With an [`after`](Self::after), an enclosing [`timeout`](crate::timeout) that expires first ends it like that, and
    /// so does a call while the caller unwinds.
    ///
    /// # Panics
    /// Where nothing can wait: in a callback of the hub, in a forked child; on main with the deadlock, if nothing can
    /// happen any more. As the closure.
    #[track_caller]
    pub fn wait(mut self) -> R {
        match decide(&mut self.arms, None) {
            Some(slot) => self.arms.run(slot),
            None => unreachable!("a select without a limit ended without an arm"),
        }
    }

    /// As [`wait`](Self::wait), for at most `d`: `None` if no arm was ready by then.
    ///
    /// # Blocking
    /// As [`wait`](Self::wait) with an [`after`](Self::after).
    ///
    /// # Panics
    /// As [`wait`](Self::wait).
    #[track_caller]
    pub fn wait_timeout(mut self, d: Duration) -> Option<R> {
        decide(&mut self.arms, Some(d)).map(|slot| self.arms.run(slot))
    }

    /// Runs the closure of an arm that is ready, or the [`default`](Self::default); `None` if there is neither.
    ///
    /// # Blocking
    /// Does not wait, unless the closure does.
    ///
    /// # Panics
    /// As the closure.
    pub fn try_wait(mut self) -> Option<R> {
        let slot = {
            let (count, otherwise) = (self.arms.count(), self.arms.otherwise());
            let mut blank = [Never; FEW];
            let mut slots = Slots::new(&mut blank, count);
            self.arms.collect(&mut slots);
            attempt(slots.as_mut_slice()).or(otherwise.default)
        };
        slot.map(|slot| self.arms.run(slot))
    }
}

impl<R, A: Arms<R>> fmt::Debug for Select<R, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Select")
            .field("arms", &self.arms.count())
            .finish_non_exhaustive()
    }
}

/// The slot whose arm has what it wants, or that is to be chosen otherwise; `None` at the end of `limit`.
#[track_caller]
#[inline]
fn decide<R>(arms: &mut impl Arms<R>, limit: Option<Duration>) -> Option<usize> {
    let (count, otherwise) = (arms.count(), arms.otherwise());
    let mut blank = [Never; FEW];
    let mut slots = Slots::new(&mut blank, count);
    arms.collect(&mut slots);
    choose(slots.as_mut_slice(), otherwise, limit)
}

fn attempt(slots: &mut [&mut dyn Selectable]) -> Option<usize> {
    let first = first(slots.len().max(1));
    park::attempt(slots, first)
}

#[track_caller]
fn choose(
    slots: &mut [&mut dyn Selectable],
    otherwise: Otherwise,
    limit: Option<Duration>,
) -> Option<usize> {
    if otherwise.default.is_some() {
        return attempt(slots).or(otherwise.default);
    }
    // What ends it in vain: the arm's time, or the limit if that is shorter.
    let (time, slot) = match (otherwise.after, limit) {
        (Some((d, slot)), limit) if limit.is_none_or(|limit| d <= limit) => (Some(d), Some(slot)),
        (_, limit) => (limit, None),
    };
    let first = first(slots.len().max(1));
    let selected = park::select(slots, first, || {
        let ticket = Ticket::new()?;
        let deadline = time.and_then(deadline_after);
        let report = match deadline {
            Some(_) => Report::ALL,
            // Without an end of its own there is no arm that would tell.
            None => Report::NOTHING,
        };
        Ok((ticket, deadline, report))
    });
    match selected {
        Ok(Selected::Arm(slot)) => Some(slot),
        Ok(Selected::Ended(End::Deadlock(d))) => panic!("{d}"),
        Ok(Selected::Ended(_)) => slot,
        Err(e) => cannot_wait(&e),
    }
}
