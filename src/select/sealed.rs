//! The seam between a select and the things it selects from: public, so that it may stand in public bounds, and out of
//! reach of other crates.
#![forbid(unsafe_code)]

use core::fmt;

use crate::park::Selectable;

/// What can be an arm of a [`Select`](super::Select), by [`Select::on`](super::Select::on).
///
/// Implemented by this crate's types only.
pub trait Source {
    /// What the arm's closure gets.
    type Output;
    /// The arm while it waits.
    #[doc(hidden)]
    type Arm: Arm<Output = Self::Output>;
    /// Makes the arm. Takes nothing yet.
    #[doc(hidden)]
    fn into_arm(self) -> Self::Arm;
}

/// A source that is waited for.
pub trait Arm {
    /// What the arm's closure gets.
    type Output;

    /// What the select registers, and asks.
    fn slot(&mut self) -> Slot<'_>;

    /// What it took, once it was chosen: after `slot`'s `attempt` said so, or its `commit` was called.
    fn take(self) -> Self::Output;
}

/// Hides the trait of `park`.
pub struct Slot<'a>(pub(crate) &'a mut dyn Selectable);

impl fmt::Debug for Slot<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.0.reason()).finish()
    }
}
