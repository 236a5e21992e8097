//! Stands in for greenloom's side while the feature `greenloom-cases` is off: every side is absent.
//!
//! It has the same functions as `cases/mod.rs`, so that nothing else of the harness knows the feature.
#![forbid(unsafe_code)]

use std::io;

use crate::measure::{Case, Side};
use crate::report::Row;

/// Whether greenloom's side is compiled in.
pub(crate) const PRESENT: bool = false;

/// Calls `body` with no side.
pub(crate) fn with_side<R>(_case: Case, body: impl FnOnce(Option<Side<'_>>) -> R) -> R {
    body(None)
}

/// Has no rows.
pub(crate) fn million(_n: u64) -> io::Result<Vec<Row>> {
    eprintln!("million: built without the feature greenloom-cases, nothing to measure");
    Ok(Vec::new())
}

/// Has no rows.
pub(crate) fn million_tasks(_n: u64) -> io::Result<Vec<Row>> {
    Ok(Vec::new())
}

/// Refuses to serve.
pub(crate) fn serve_echo(_port: u16) -> io::Result<()> {
    Err(io::Error::other(
        "built without the feature greenloom-cases",
    ))
}
