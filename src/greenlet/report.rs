//! The documented reports: what this crate writes to stderr, each once, because nobody else would ever see it.
//!
//! - a panic that nobody joined, linked or received;
//! - a body that swallowed a hundred kills;
//! - a simulation that failed, with its seed;
//! - a dump, when a signal asks for one that the program has chosen for that.
//!
//! The policy is the process's ([`set_panic_policy`]). Nothing else in the crate prints, but for the stack overflow
//! message of the signal handler.
#![forbid(unsafe_code)]

use core::any::Any;
use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, RwLock};

use super::control::{ControlRef, Payload, flag};
use super::seed::Subject;

/// What happens to a panic that nobody observes: no join, no link, no parent.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum PanicPolicy {
    /// Write one report to stderr. The default.
    #[default]
    Report,
    /// Write the report, then abort the process.
    Abort,
    /// Call this instead. It runs on the thread of the task, must not wait, and should not panic (a panic in it is
    /// dropped).
    Custom(Arc<dyn Fn(&UnobservedPanic<'_>) + Send + Sync>),
}

impl core::fmt::Debug for PanicPolicy {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Report => "Report",
            Self::Abort => "Abort",
            Self::Custom(_) => "Custom",
        })
    }
}

/// The id of what is no greenlet: the hub.
const HUB: u64 = 0;

/// A panic that nobody observed, as [`PanicPolicy::Custom`] sees it.
pub struct UnobservedPanic<'a> {
    id: u64,
    name: Option<Arc<str>>,
    site: Option<&'static core::panic::Location<'static>>,
    payload: &'a (dyn Any + Send),
}

impl UnobservedPanic<'_> {
    /// The id of the task or greenlet that panicked; 0 for a callback of the hub (a link, a destructor that ran there).
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its name, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Where it was spawned.
    pub fn spawn_site(&self) -> Option<&'static core::panic::Location<'static>> {
        self.site
    }

    /// What it panicked with.
    pub fn payload(&self) -> &(dyn Any + Send) {
        self.payload
    }

    /// The payload as text, if it is a string (as `panic!` makes it).
    pub fn message(&self) -> Option<&str> {
        message(self.payload)
    }
}

impl core::fmt::Debug for UnobservedPanic<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("UnobservedPanic")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("site", &self.site)
            .field("message", &self.message())
            .finish()
    }
}

impl core::fmt::Display for UnobservedPanic<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        if self.id == HUB {
            f.write_str("a callback of the hub panicked: ")?;
            return f.write_str(self.message().unwrap_or("(payload is no string)"));
        }
        write!(
            f,
            "task {} ended by a panic that nobody joined: ",
            Who(self.id, self.name.as_deref())
        )?;
        f.write_str(self.message().unwrap_or("(payload is no string)"))?;
        if let Some(site) = self.site {
            write!(f, " (spawned at {site})")?;
        }
        Ok(())
    }
}

/// A greenlet in a message: `'name' (id 7)` or `7`.
pub(crate) struct Who<'a>(pub(crate) u64, pub(crate) Option<&'a str>);

impl core::fmt::Display for Who<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self.1 {
            Some(name) => write!(f, "'{name}' (id {})", self.0),
            None => write!(f, "{}", self.0),
        }
    }
}

static POLICY: RwLock<PanicPolicy> = RwLock::new(PanicPolicy::Report);

/// Sets what happens to panics that nobody observes, in the whole process, and returns what was set before.
pub fn set_panic_policy(policy: PanicPolicy) -> PanicPolicy {
    let mut now = POLICY
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    core::mem::replace(&mut *now, policy)
}

/// The text of a payload made by `panic!`.
pub(crate) fn message(payload: &(dyn Any + Send)) -> Option<&str> {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
}

/// Writes a line, or a report of several, to stderr; a closed stderr is nobody's concern here.
pub(crate) fn line(text: core::fmt::Arguments<'_>) {
    // Formatted first: one write, so that lines of several threads do not mix.
    let text = format!("greenloom: {text}\n");
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// Reports a panic by the policy, and drops its payload.
pub(crate) fn unobserved(whose: impl Into<Subject>, payload: Payload) {
    report(whose.into(), payload);
}

fn report(whose: Subject, payload: Payload) {
    if super::interrupt::is_interrupt(&*payload) {
        // Who was killed while it dropped something of another's: its kill comes again at its next wait.
        return;
    }
    let policy = POLICY
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    let panic = UnobservedPanic {
        id: whose.id(),
        name: whose.name(),
        site: whose.site(),
        payload: &*payload,
    };
    match policy {
        PanicPolicy::Report => line(format_args!("{panic}")),
        PanicPolicy::Abort => {
            line(format_args!("{panic}"));
            std::process::abort();
        }
        PanicPolicy::Custom(f) => {
            let called = catch_unwind(AssertUnwindSafe(|| {
                f(&panic);
                drop(f);
            }));
            if let Err(panicked) = called {
                drop_payload(panicked);
            }
        }
    }
    drop_payload(payload);
}

/// How often the destructor of a payload may panic with another payload before that is given up.
const MAX_PAYLOADS: u32 = 8;

/// Drops a payload. It is user data: its destructor may panic, with a payload of its own.
pub(crate) fn drop_payload(payload: Payload) {
    let mut payload = payload;
    for _ in 0..MAX_PAYLOADS {
        match catch_unwind(AssertUnwindSafe(|| drop(payload))) {
            Ok(()) => return,
            Err(next) => payload = next,
        }
    }
    core::mem::forget(payload);
}

/// Reports a body that swallowed the hundredth delivery of its kill; aborts if its scope cannot end without it.
pub(crate) fn swallowed_kills(c: ControlRef) {
    let name = c.name();
    let who = Who(c.id.get(), name.as_deref());
    let site: &dyn core::fmt::Display = match c.site() {
        Some(site) => site,
        None => &"an unknown place",
    };
    line(format_args!(
        "task {who} swallowed {} kills in a catch_unwind and goes on (spawned at {site})",
        super::interrupt::MAX_SWALLOWED
    ));
    if c.has(flag::CLOSING) {
        line(format_args!(
            "the scope of task {who} cannot end while it lives: aborting"
        ));
        std::process::abort();
    }
}

/// Says by which seed a simulation failed, and in `again` what more helps to run it again.
pub(crate) fn simulation_failed(seed: u64, again: &str) {
    line(format_args!(
        "simulation failed with seed {seed:#x}; run it again with the same seed{again}"
    ));
}

/// Under `panic = "abort"` a scope cannot unwind what is left in it: says so and aborts.
pub(crate) fn abort_unfinished(c: ControlRef) -> ! {
    let name = c.name();
    let who = Who(c.id.get(), name.as_deref());
    match c.site() {
        Some(site) => line(format_args!(
            "a scope ended with greenlet {who} started and unfinished (spawned at {site}); it cannot be unwound under panic=abort: aborting"
        )),
        None => line(format_args!(
            "a scope ended with greenlet {who} unfinished under panic=abort: aborting"
        )),
    }
    std::process::abort()
}

/// A scope of tasks cannot wait for its tasks, which borrow from its caller: says so and aborts.
pub(crate) fn abort_scope(why: &dyn core::fmt::Display) -> ! {
    line(format_args!(
        "a scope cannot wait for its tasks: aborting ({why})"
    ));
    std::process::abort()
}

/// A scope's greenlet can never end, and the scope cannot return before it: says so and aborts.
pub(crate) fn abort_hopeless(c: ControlRef, why: &super::error::Deadlock) -> ! {
    let name = c.name();
    let who = Who(c.id.get(), name.as_deref());
    line(format_args!(
        "a scope cannot end: greenlet {who} was killed but can never finish unwinding: aborting ({why})"
    ));
    std::process::abort()
}
