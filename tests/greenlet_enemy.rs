//! The greenlet layer as its enemy sees it: what hostile but safe code may try, and what must come of it.
//!
//! ```text
//! holes        user code that runs in the middle of the engine's work: destructors, trace functions, reports
//! kills        who kills whom, when, and how often
//! errors       every refusal, and the value that it hands back
//! destructors  panics and switches where nobody expects them
//! values       large, empty, over-aligned, counted: each dropped once, whatever path it takes
//! handles      stale ones, and slots used again
//! scopes       nesting, and ends of all kinds
//! families     parents that are dead, unstarted, changed
//! generators   dropped, panicking, nested, at a thread's end
//! processes    what ends the process, in a child
//! ```
//!
//! A test that could crash, or that counts what belongs to the whole process, runs in a child (`util::alone`).
//! Nothing here needs a hub: control that nobody wants comes back to main as `Deadlock`.

mod util;

#[path = "greenlet_enemy/destructors.rs"]
mod destructors;
#[path = "greenlet_enemy/errors.rs"]
mod errors;
#[path = "greenlet_enemy/families.rs"]
mod families;
#[path = "greenlet_enemy/generators.rs"]
mod generators;
#[path = "greenlet_enemy/handles.rs"]
mod handles;
#[path = "greenlet_enemy/holes.rs"]
mod holes;
#[path = "greenlet_enemy/kills.rs"]
mod kills;
#[path = "greenlet_enemy/processes.rs"]
mod processes;
#[path = "greenlet_enemy/scopes.rs"]
mod scopes;
#[path = "greenlet_enemy/values.rs"]
mod values;

/// [`util::alone`], for a body that leaks on purpose: a leak checker would fail it at the process's end.
#[track_caller]
fn alone_leaking(test_name: &str, body: impl FnOnce()) {
    if util::is_child(test_name) {
        return body();
    }
    let output = util::run(util::child(test_name).env("ASAN_OPTIONS", "detect_leaks=0"));
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && told.contains("1 passed"),
        "{}",
        util::describe(&output)
    );
}
