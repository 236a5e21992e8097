//! The dump: every greenlet of a thread, as a value to look through, and as a report to print.
//!
//! Order: main, then tasks and greenlets by id, which is the order of their spawning.
#![forbid(unsafe_code)]

use core::fmt;
use core::panic::Location;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::stacks::{Folded, Stack};
use super::{Counters, counters};
use crate::clock::Instant;
use crate::greenlet::control::{ControlRef, State, flag};
use crate::greenlet::engine;
use crate::greenlet::hot::{Hot, Phase, hot};
use crate::hub::frame::with_wait;
use crate::task::{self, TaskId, TaskState};

/// What kind of greenlet it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// The thread's main greenlet.
    Main,
    /// A task.
    Task,
    /// A task that does not keep the hub alive.
    Daemon,
    /// A greenlet of a scope, or a generator.
    Greenlet,
}

/// One thing that is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Wait {
    /// "sleep", "join of task 7", "lock of a mutex" …
    pub what: String,
    /// Where the object lies, if it has no number of its own: an address in it, by which two are seen to wait for the same.
    pub object: Option<usize>,
    /// Who could end the wait, if that is one greenlet.
    pub held_by: Option<TaskId>,
}

/// What one greenlet does.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TaskDump {
    /// Its id.
    pub id: TaskId,
    /// Its name, if it was given one.
    pub name: Option<Arc<str>>,
    /// What it is.
    pub kind: Kind,
    /// What it does.
    pub state: TaskState,
    /// What it waits for: one thing, or those of a select. Empty if it runs, will run, or waits for a switch.
    pub waits_for: Vec<Wait>,
    /// For how long it has waited, to the accuracy of the hub's turns.
    pub waits_since: Option<Duration>,
    /// Where it was spawned.
    pub spawned_at: Option<&'static Location<'static>>,
    /// The size class of its stack, in bytes; `None` for main.
    pub stack_size: Option<usize>,
    /// How much of its stack has been touched, in bytes: by this greenlet, or by an earlier one that had the same stack and left it
    /// as it was.
    pub high_water: Option<usize>,
    /// Where it waits: an index into [`Dump::stacks`].
    pub stack: Option<usize>,
}

/// What [`dump`] has seen. Its `Display` is the report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Dump {
    /// Counts of the hub.
    pub hub: Counters,
    /// Every greenlet that has not ended.
    pub tasks: Vec<TaskDump>,
    /// The stacks of those that wait, each different one once.
    pub stacks: Vec<Stack>,
}

/// Looks at every greenlet of this thread.
///
/// # Blocking
/// Visits each one that waits, to walk its stack there; none of them goes on, no other runs, and no kill or deadline is delivered. In a
/// callback of the hub nobody can be visited: there the stacks are left out. To have them all the same, spawn a task there that
/// looks.
///
/// The names of functions come from the program's debug information; it takes some time to read that at first.
#[doc(alias = "print_run_info")]
#[must_use]
pub fn dump() -> Dump {
    let hub = counters();
    let mut folded = Folded::default();
    let mut tasks = Vec::new();
    if !matches!(hot().phase.get(), Phase::Active | Phase::Fresh) {
        return Dump {
            hub,
            tasks,
            stacks: Vec::new(),
        };
    }
    let (hot, me) = engine::enter();
    let mut all = vec![hot.root()];
    engine::for_each(hot, |c| {
        if c.state.get() != State::Dead {
            all.push(c);
        }
    });
    for c in all {
        let stack = folded.look(hot, me, c);
        tasks.push(of(hot, c, stack));
    }
    // Tasks that have no stack yet.
    let seen: HashSet<TaskId> = tasks.iter().map(|t| t.id).collect();
    for info in task::list() {
        if !seen.contains(&info.id) {
            tasks.push(TaskDump {
                id: info.id,
                name: info.name,
                kind: if info.daemon {
                    Kind::Daemon
                } else {
                    Kind::Task
                },
                state: info.state,
                waits_for: Vec::new(),
                waits_since: None,
                spawned_at: info.spawned_at,
                stack_size: None,
                high_water: None,
                stack: None,
            });
        }
    }
    tasks[1..].sort_by_key(|t| t.id);
    Dump {
        hub,
        tasks,
        stacks: folded.resolve(),
    }
}

fn of(hot: &'static Hot, c: ControlRef, stack: Option<usize>) -> TaskDump {
    let state = match c.state.get() {
        State::New => TaskState::New,
        State::Runnable => TaskState::Runnable,
        State::Live if hot.current.get() == Some(c) => TaskState::Running,
        _ => TaskState::Parked,
    };
    let told = with_wait(c, |frame| {
        let waits = frame.reasons.iter().map(|r| Wait {
            what: r.to_string(),
            object: r.address(),
            held_by: r.owner().map(TaskId::from_raw),
        });
        let since = Instant::now().saturating_duration_since(frame.since);
        (waits.collect(), since)
    });
    let (waits_for, waits_since) = match told {
        Some((waits, since)) if state == TaskState::Parked => (waits, Some(since)),
        _ => (Vec::new(), None),
    };
    let kind = match () {
        () if c.is_native() => Kind::Main,
        () if c.has(flag::TASK | flag::DAEMON) && c.has(flag::DAEMON) => Kind::Daemon,
        () if c.has(flag::TASK) => Kind::Task,
        () => Kind::Greenlet,
    };
    let slot = c.slot();
    TaskDump {
        id: TaskId::from_raw(c.id.get()),
        name: c.name(),
        kind,
        state,
        waits_for,
        waits_since,
        spawned_at: c.site(),
        stack_size: slot.map(|s| s.size().bytes()),
        high_water: slot.and_then(|s| s.high_water()),
        stack,
    }
}

impl Dump {
    fn name_of(&self, id: TaskId) -> String {
        match self.tasks.iter().find(|t| t.id == id) {
            Some(t) => t.title(),
            None => format!("task {id}, which is not of this thread"),
        }
    }
}

impl TaskDump {
    fn title(&self) -> String {
        let kind = match self.kind {
            Kind::Main => return "main".to_owned(),
            Kind::Task => "task",
            Kind::Daemon => "daemon",
            Kind::Greenlet => "greenlet",
        };
        match &self.name {
            Some(name) => format!("{kind} '{name}' (id {})", self.id),
            None => format!("{kind} {}", self.id),
        }
    }
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hub = &self.hub;
        writeln!(
            f,
            "hub: {} tasks, {} ended, {} runnable, {} parked, {} timers, {} waits for descriptors, {} turns, \
             the longest {:.1?}, {} wakes too late, {} stacks of {} KiB together",
            hub.tasks,
            hub.ended,
            hub.runnable,
            hub.parked,
            hub.timers,
            hub.descriptors,
            hub.turns,
            hub.longest_turn,
            hub.late_wakes,
            hub.stacks,
            hub.stack_bytes / 1024,
        )?;
        for t in &self.tasks {
            write!(f, "{}: ", t.title())?;
            match t.state {
                TaskState::New => f.write_str("waits for its start")?,
                TaskState::Runnable => f.write_str("runnable")?,
                TaskState::Running => f.write_str("running")?,
                TaskState::Parked if t.waits_for.is_empty() => f.write_str("waits for a switch")?,
                TaskState::Parked => f.write_str("waits: ")?,
            }
            for (i, wait) in t.waits_for.iter().enumerate() {
                if i > 0 {
                    f.write_str(", or ")?;
                }
                f.write_str(&wait.what)?;
                if let Some(address) = wait.object {
                    write!(f, " at {address:#x}")?;
                }
                if let Some(id) = wait.held_by {
                    write!(f, " [{}]", self.name_of(id))?;
                }
            }
            if let Some(since) = t.waits_since {
                write!(f, ", for {since:.1?}")?;
            }
            if let Some(site) = t.spawned_at {
                write!(f, ", spawned at {site}")?;
            }
            if let (Some(touched), Some(size)) = (t.high_water, t.stack_size) {
                write!(
                    f,
                    ", {} of {} KiB of stack touched",
                    touched / 1024,
                    size / 1024
                )?;
            }
            if let Some(stack) = t.stack {
                write!(f, ", stack {stack}")?;
            }
            writeln!(f)?;
        }
        for (i, stack) in self.stacks.iter().enumerate() {
            let users = self.tasks.iter().filter(|t| t.stack == Some(i)).count();
            writeln!(f, "stack {i}, of {users}:")?;
            stack.fmt(f)?;
        }
        Ok(())
    }
}
