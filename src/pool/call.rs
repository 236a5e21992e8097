//! `apply` and `apply_async`: one call, its result, its callbacks.
//!
//! ```text
//! apply_async   task: waits for a slot ─► f ─► slot back ─┬─ value ─► callback(&value) ─► value
//!                                  └── kill ──────────────┴─ panic ─► error_callback(&error) ─► goes on unwinding
//!               killed before it began ─► error_callback(Killed)
//! ```
//!
//! Exactly one of the callbacks is called, once, whatever becomes of the task.
#![forbid(unsafe_code)]

use core::any::Any;
use std::panic::resume_unwind;

use super::members::Member;
use crate::greenlet::hot::hot;
use crate::greenlet::interrupt::is_interrupt;
use crate::greenlet::{engine, report};
use crate::task::{JoinError, shield};

/// Calls `f` here. A panic is its result; a kill or a deadline of the caller goes on.
pub(super) fn inline<T>(f: impl FnOnce() -> T) -> Result<T, JoinError> {
    engine::caught(f).map_err(|payload| {
        if is_interrupt(&*payload) {
            resume_unwind(payload);
        }
        JoinError::Panicked(payload)
    })
}

/// Calls a callback of the user. A panic is reported like those of other callbacks; a kill goes on.
fn call_back(callback: impl FnOnce()) {
    if let Err(payload) = engine::caught(callback) {
        if is_interrupt(&*payload) {
            resume_unwind(payload);
        }
        report::unobserved(hot().hub(), payload);
    }
}

/// The error callback, which is called when this is dropped unless it was before.
pub(super) struct OnError<E: FnOnce(&JoinError)>(Option<E>);

impl<E: FnOnce(&JoinError)> OnError<E> {
    pub(super) fn new(error_callback: E) -> Self {
        Self(Some(error_callback))
    }

    fn call(&mut self, error: &JoinError) {
        if let Some(callback) = self.0.take() {
            // Who was killed would be killed again at the first wait of the callback.
            shield(|| call_back(|| callback(error)));
        }
    }
}

impl<E: FnOnce(&JoinError)> Drop for OnError<E> {
    fn drop(&mut self) {
        self.call(&JoinError::Killed);
    }
}

/// The body of an `apply_async`. The order of the fields is the order of their drop, if it is killed before it began.
pub(super) struct AsyncCall<F, C, E: FnOnce(&JoinError)> {
    pub(super) f: F,
    pub(super) callback: C,
    pub(super) on_error: OnError<E>,
    pub(super) member: Member,
}

impl<T, F, C, E> AsyncCall<F, C, E>
where
    F: FnOnce() -> T,
    C: FnOnce(&T),
    E: FnOnce(&JoinError),
{
    pub(super) fn run(self) -> T {
        let Self {
            f,
            callback,
            mut on_error,
            member,
        } = self;
        let ended = engine::caught(|| {
            member.take_slot();
            f()
        });
        // A callback may want a slot of its own.
        member.give_back();
        match ended {
            Ok(value) => {
                drop(on_error.0.take());
                call_back(|| callback(&value));
                value
            }
            Err(payload) => {
                drop(callback);
                on_error.fail(payload)
            }
        }
    }
}

impl<E: FnOnce(&JoinError)> OnError<E> {
    /// Tells of the end by `payload`, and goes on with it.
    fn fail(&mut self, payload: Box<dyn Any + Send>) -> ! {
        if is_interrupt(&*payload) {
            self.call(&JoinError::Killed);
            resume_unwind(payload);
        }
        let error = JoinError::Panicked(payload);
        self.call(&error);
        match error {
            JoinError::Panicked(payload) => resume_unwind(payload),
            _ => unreachable!("it was made as a panic"),
        }
    }
}
