//! Stacks of parked greenlets: walked as addresses, folded, and only then given names.
//!
//! A thousand handlers that wait in the same read have one stack between them: names are found once for each different
//! stack, which is nearly all of what a dump costs. That is done on a large stack: the search needs more than a task may
//! have left.
#![forbid(unsafe_code)]

use core::fmt;
use std::collections::HashMap;

use crate::greenlet::control::ControlRef;
use crate::greenlet::hot::Hot;
use crate::greenlet::probe;
use crate::task;

/// Calls inside this crate that every waiting stack begins with, and those that it ends with.
const LOOK: &str = "greenlet::probe::";
const FIRST_FRAME: &str = "greenlet::engine::entry";

/// A call stack that one or several greenlets are in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stack {
    /// The calls, the innermost first: `function at file:line`, as far as the program's debug information says.
    pub frames: Vec<String>,
}

impl fmt::Display for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, frame) in self.frames.iter().enumerate() {
            writeln!(f, "  {i:>3}: {frame}")?;
        }
        Ok(())
    }
}

/// Stacks by their addresses, each one once.
#[derive(Debug, Default)]
pub(super) struct Folded {
    known: HashMap<Vec<usize>, usize>,
}

impl Folded {
    /// Looks at the stack of `c`, which waits. The number of that stack, or `None` if it cannot be seen.
    pub(super) fn look(
        &mut self,
        hot: &'static Hot,
        me: ControlRef,
        c: ControlRef,
    ) -> Option<usize> {
        let addresses = probe::look(hot, me, c).ok()?;
        let next = self.known.len();
        Some(*self.known.entry(addresses).or_insert(next))
    }

    /// The stacks by number, with names.
    pub(super) fn resolve(self) -> Vec<Stack> {
        if self.known.is_empty() {
            return Vec::new();
        }
        let mut all: Vec<(Vec<usize>, usize)> = self.known.into_iter().collect();
        all.sort_unstable_by_key(|(_, number)| *number);
        let resolve = || all.iter().map(|(addresses, _)| named(addresses)).collect();
        // Without a big stack there is still the caller's.
        task::try_on_big_stack(crate::stack::StackSize::M1, resolve).unwrap_or_else(|_| {
            all.iter()
                .map(|(addresses, _)| Stack {
                    frames: addresses.iter().map(|a| format!("{a:#x}")).collect(),
                })
                .collect()
        })
    }
}

fn named(addresses: &[usize]) -> Stack {
    let mut frames = Vec::new();
    for address in addresses {
        let before = frames.len();
        // A return address is the one after the call: the call itself is what is wanted.
        backtrace::resolve((address - 1) as *mut core::ffi::c_void, |symbol| {
            let Some(name) = symbol.name() else { return };
            // `{:#}` leaves the hash out.
            let mut frame = format!("{name:#}");
            if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
                frame.push_str(&format!(" at {}:{line}", file.display()));
            }
            frames.push(frame);
        });
        if frames.len() == before {
            frames.push(format!("{address:#x}"));
        }
    }
    // Neither the walk itself is of interest nor what the engine does before a body begins.
    if let Some(first) = frames.iter().position(|f| f.contains(FIRST_FRAME)) {
        frames.truncate(first);
    }
    if let Some(last) = frames.iter().rposition(|f| f.contains(LOOK)) {
        frames.drain(..=last);
    }
    Stack { frames }
}
