//! What tasks share, in the shape of `std::sync`.
#![forbid(unsafe_code)]

pub mod mpsc;
