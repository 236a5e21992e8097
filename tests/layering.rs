//! The shape of the source tree, checked: dependencies run downwards only, `unsafe` stays in its files.
//!
//! ```text
//! file text ── strip ──> the same text with comments and literals blanked out
//!                          └─ tokens ──> identifiers and punctuation, with line numbers
//!                                          ├─ edges ────> the top-level modules the file names
//!                                          ├─ unsafe ───> only in UNSAFE_FILES, `forbid` in all others
//!                                          └─ hygiene ──> leftovers, ignored tests
//! ```
//!
//! Each checker is a function from text to findings, so that the tests in `wrong_inputs` can show it small
//! wrong inputs. The checker reads names, not types: a path that begins in `crate`, `super`, `self` or the crate's
//! own name is resolved; anything else can only be an external crate or a child module. It must not be taught
//! exceptions per file: an edge that is needed goes into `LAYERS`, where a reader sees it.
#![forbid(unsafe_code)]

#[path = "layering/read.rs"]
mod read;
#[path = "layering/wrong_inputs.rs"]
mod wrong_inputs;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use read::{Token, strip, text, tokens};

/// A module and the modules of its own layer that it may use.
type Module = (&'static str, &'static [&'static str]);

/// The layers, lowest first. A module may use every lower layer, and of its own only what is listed with it.
const LAYERS: &[&[Module]] = &[
    // The first two know no time and no sockets, the other three no greenlets.
    &[
        ("stack", &[]),
        ("greenlet", &["stack"]),
        ("clock", &[]),
        ("timers", &["clock"]),
        ("reactor", &["clock"]),
    ],
    &[("hub", &[])],
    &[("park", &[])],
    &[
        // Knows what it selects from only through traits, which the things implement.
        ("select", &[]),
        ("future", &[]),
        ("task", &["select"]),
        ("time", &["task"]),
        ("event", &["select"]),
        ("queue", &["select"]),
        // A reentrant lock is owned by a task; `mpsc` is a channel in std's shape.
        ("sync", &["task", "select", "queue"]),
    ],
    &[("thread", &[]), ("blocking", &[])],
    &[("io", &[])],
    &[
        ("net", &[]),
        ("fs", &[]),
        ("signal", &[]),
        // A child is sent a `SignalKind`.
        ("process", &["signal"]),
    ],
    &[
        ("pool", &[]),
        ("executor", &["pool"]),
        ("server", &["pool"]),
        ("tls", &[]),
        ("http", &["server", "tls"]),
    ],
    &[("inspect", &[]), ("monkey", &[])],
];

/// Macros live at the crate root whatever file they are written in: name and home.
const ROOT_MACROS: &[(&str, &str)] = &[("local", "task"), ("thread_local", "thread")];

/// The files that may hold `unsafe`, each with its reason. A name that ends in `/` is a folder.
const UNSAFE_FILES: &[(&str, &str)] = &[
    (
        "src/stack/",
        "maps memory, installs guards and a signal handler",
    ),
    (
        "src/greenlet/engine.rs",
        "the only file that resumes and suspends",
    ),
    (
        "src/greenlet/switching.rs",
        "moves values out of the frames of senders",
    ),
    (
        "src/greenlet/control.rs",
        "control blocks live in the slots, behind raw pointers",
    ),
    (
        "src/greenlet/body.rs",
        "moves a body onto its stack and its result off it",
    ),
    (
        "src/greenlet/seed.rs",
        "seeds are reached by raw pointer, and hold bodies and values without their type",
    ),
    (
        "src/greenlet/hot.rs",
        "the thread's hot state is reached by raw pointer",
    ),
    (
        "src/greenlet/run_queue.rs",
        "the run queue holds pointers to control blocks",
    ),
    (
        "src/greenlet/family.rs",
        "walks inboxes and scopes that live in frames",
    ),
    (
        "src/greenlet/interrupt.rs",
        "walks `timeout` scopes that live in frames",
    ),
    (
        "src/greenlet/thread_end.rs",
        "drops the arena that the hot state may not own",
    ),
    (
        "src/greenlet/current.rs",
        "vouches for the type of an inbox to the engine",
    ),
    (
        "src/greenlet/handle.rs",
        "vouches for the type of an inbox to the engine",
    ),
    (
        "src/greenlet/generator.rs",
        "vouches for the type of an item to the engine",
    ),
    ("src/greenlet/scope.rs", "vouches for what bodies borrow"),
    ("src/hub/inbox.rs", "lock-free list shared between threads"),
    (
        "src/hub/remote.rs",
        "outlives its hub in other threads' hands",
    ),
    (
        "src/hub/sched.rs",
        "reaches the hub through the thread's hot state",
    ),
    ("src/hub/lifecycle.rs", "frees the hub at the thread's end"),
    (
        "src/hub/frame.rs",
        "parked waits are described by frames on their stacks",
    ),
    (
        "src/hub/fork.rs",
        "the handlers of a fork, and system calls in the child",
    ),
    (
        "src/reactor/",
        "file descriptors and system calls of the poll",
    ),
    (
        "src/park/landing.rs",
        "gives values into the frames of waiters",
    ),
    (
        "src/park/lock.rs",
        "the one raw cell under locks, queues and events",
    ),
    (
        "src/sync/cell.rs",
        "the values behind mutexes, read-write locks and one-time cells",
    ),
    ("src/task/mod.rs", "vouches for the type of a task's result"),
    (
        "src/task/record.rs",
        "typed contents of the control block's untyped fields",
    ),
    ("src/task/remote.rs", "results cross threads"),
    (
        "src/task/scope.rs",
        "lends closures a longer life than they have, until the scope ends",
    ),
    ("src/task/big.rs", "runs a closure on another stack"),
    (
        "src/thread/scope.rs",
        "makes the reference to a scope one to a wrapper of the same layout",
    ),
    (
        "src/net/raw.rs",
        "`FromRawFd` is unsafe to call; system calls that std does not offer",
    ),
    ("src/fs/raw.rs", "`FromRawFd` is unsafe to call"),
    ("src/io/os.rs", "system calls that std does not offer"),
    (
        "src/signal/handler.rs",
        "installs a signal handler, which shares slots with all threads",
    ),
    (
        "src/process/os.rs",
        "system calls on process descriptors that std does not offer",
    ),
];

/// The crate's name, which may be used inside it in place of `crate`.
const CRATE: &str = "greenloom";

/// Longer than this is two files.
const MAX_LINES: usize = 800;

/// How many invariants CONTRIBUTING.md lists.
const INVARIANTS: u32 = 15;

/// What a checker found, as `file:line: sentence`.
type Findings = Vec<String>;

// ---- the layers ----

/// The module path of a file below `src`: `src/hub/mod.rs` is `[hub]`, `src/lib.rs` is the root, `[]`.
fn module_path(file: &str) -> Vec<String> {
    let inner = file
        .strip_prefix("src/")
        .unwrap_or(file)
        .trim_end_matches(".rs");
    let mut path: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(path.last().map(String::as_str), Some("mod" | "lib")) {
        path.pop();
    }
    path
}

/// What the paths of a file lead to: the first segment below the crate root, and the line.
/// `*` is a glob of the root, `crate` the root itself under another name.
fn edges(file: &str, tokens: &[Token]) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    // The modules around this token, each with the brace depth at which it ends.
    let mut inline: Vec<(String, usize)> = Vec::new();
    let mut depth = 0;
    for at in 0..tokens.len() {
        let after_colons = at > 0 && text(tokens, at - 1) == "::";
        match text(tokens, at) {
            "mod" if text(tokens, at + 2) == "{" => {
                inline.push((text(tokens, at + 1).to_owned(), depth))
            }
            "{" => depth += 1,
            "}" => {
                depth -= 1;
                inline.pop_if(|module| module.1 == depth);
            }
            root @ ("crate" | "super" | "self") | root @ CRATE if !after_colons => {
                let mut path = module_path(file);
                path.extend(inline.iter().map(|module| module.0.clone()));
                match root {
                    "super" => drop(path.pop()),
                    "self" => {}
                    _ => path.clear(),
                }
                follow(tokens, at, path, root != "self", &mut found);
            }
            _ => {}
        }
    }
    found
}

/// Follows a path whose root token is at `at` and stands for `path`, as far as is needed to know its module.
fn follow(
    tokens: &[Token],
    mut at: usize,
    mut path: Vec<String>,
    whole: bool,
    found: &mut Vec<(String, usize)>,
) {
    while text(tokens, at + 1) == "::" && text(tokens, at + 2) == "super" {
        path.pop();
        at += 2;
    }
    let line = tokens[at].line;
    if let Some(module) = path.first() {
        found.push((module.clone(), line));
    } else if text(tokens, at + 1) == "::" {
        tree(tokens, at + 2, found);
    } else if whole && text(tokens, at + 1) == "as" {
        found.push(("crate".to_owned(), line));
    }
}

/// Reads what follows `crate::`: a name, a glob, or a braced list of such; returns where it ends.
fn tree(tokens: &[Token], at: usize, found: &mut Vec<(String, usize)>) -> usize {
    let Some(first) = tokens.get(at) else {
        return at;
    };
    if first.text != "{" {
        let name = if first.text == "self" {
            "crate"
        } else {
            &first.text
        };
        found.push((name.to_owned(), first.line));
        return at + 1;
    }
    let (mut at, mut depth, mut item) = (at + 1, 1, true);
    while depth > 0 && at < tokens.len() {
        if item && depth == 1 && text(tokens, at) != "}" {
            item = false;
            at = tree(tokens, at, found);
            continue;
        }
        match text(tokens, at) {
            "{" => depth += 1,
            "}" => depth -= 1,
            "," if depth == 1 => item = true,
            _ => {}
        }
        at += 1;
    }
    at
}

fn layer_of(module: &str) -> Option<(usize, &'static [&'static str])> {
    LAYERS.iter().enumerate().find_map(|(rank, layer)| {
        layer
            .iter()
            .find(|entry| entry.0 == module)
            .map(|entry| (rank, entry.1))
    })
}

fn may_use(from: &str, to: &str) -> bool {
    match (layer_of(from), layer_of(to)) {
        (Some((high, beside)), Some((low, _))) => from == to || low < high || beside.contains(&to),
        _ => false,
    }
}

/// Every path of the file leads to its own module, to a lower layer, or along a listed edge.
fn check_layers(file: &str, tokens: &[Token]) -> Findings {
    // The root re-exports from everywhere.
    let Some(from) = module_path(file).into_iter().next() else {
        return Vec::new();
    };
    if layer_of(&from).is_none() {
        return vec![format!("{file}:1: module `{from}` is in no layer")];
    }
    let mut findings = Vec::new();
    for (name, line) in edges(file, tokens) {
        let to = ROOT_MACROS
            .iter()
            .find(|entry| entry.0 == name)
            .map_or(name.as_str(), |entry| entry.1);
        if layer_of(to).is_none() {
            findings.push(format!(
                "{file}:{line}: `{to}` of the crate root is no module: name the item by its home"
            ));
        } else if !may_use(&from, to) {
            findings.push(format!("{file}:{line}: `{from}` may not use `{to}`"));
        }
    }
    findings
}

// ---- unsafe ----

/// A file of the tree: its path from the package's folder, with `/`, and its text.
struct Source {
    file: String,
    text: String,
}

fn holds_unsafe(text: &str) -> bool {
    tokens(&strip(text)).iter().any(|t| t.text == "unsafe")
}

fn forbids_unsafe(text: &str) -> bool {
    let dense: String = strip(text).split_whitespace().collect();
    dense.contains("#![forbid(unsafe_code)]")
}

/// `unsafe` is only where `UNSAFE_FILES` allows it, and every file that can forbid it does: `forbid` also binds
/// child modules, so that a file above one with `unsafe` cannot, and the crate's root never.
fn check_unsafe(sources: &[Source]) -> Findings {
    let unsafe_paths: Vec<_> = sources
        .iter()
        .filter(|s| holds_unsafe(&s.text))
        .map(|s| (&s.file, module_path(&s.file)))
        .collect();
    let mut findings = Vec::new();
    for (file, _) in &unsafe_paths {
        let allowed = |entry: &(&str, &str)| {
            *file == entry.0 || entry.0.ends_with('/') && file.starts_with(entry.0)
        };
        if !UNSAFE_FILES.iter().any(allowed) {
            findings.push(format!(
                "{file}:1: holds `unsafe`, which is not among its files"
            ));
        }
    }
    for source in sources {
        let own = module_path(&source.file);
        if !own.is_empty()
            && !unsafe_paths.iter().any(|(_, path)| path.starts_with(&own))
            && !forbids_unsafe(&source.text)
        {
            findings.push(format!(
                "{}:1: lacks `#![forbid(unsafe_code)]`",
                source.file
            ));
        }
    }
    findings
}

// ---- the rest ----

/// Opens with its documentation, is short enough, leaves nothing undone, cites invariants that exist.
fn check_hygiene(file: &str, source: &str) -> Findings {
    let mut findings = Vec::new();
    let root_doc = file == "src/lib.rs" && source.starts_with("#![doc = include_str!(");
    if !source.starts_with("//!") && !root_doc {
        findings.push(format!("{file}:1: does not open with `//!`"));
    }
    let lines = source.lines().count();
    if lines > MAX_LINES {
        findings.push(format!("{file}:{lines}: more than {MAX_LINES} lines"));
    }
    let tokens = tokens(&strip(source));
    let mut attribute = 0_u32;
    for (at, token) in tokens.iter().enumerate() {
        let word = token.text.as_str();
        match word {
            "todo" | "unimplemented" | "dbg" if text(&tokens, at + 1) == "!" => {
                findings.push(format!("{file}:{}: `{word}!` is left over", token.line));
            }
            "[" if attribute > 0 || at > 0 && matches!(text(&tokens, at - 1), "#") => {
                attribute += 1
            }
            "]" => attribute = attribute.saturating_sub(1),
            "ignore" if attribute > 0 => {
                findings.push(format!("{file}:{}: ignores a test", token.line))
            }
            _ => {}
        }
    }
    for (number, line) in source.lines().enumerate() {
        for cited in cited_invariants(line) {
            if !(1..=INVARIANTS).contains(&cited) {
                findings.push(format!(
                    "{file}:{}: there is no invariant {cited}",
                    number + 1
                ));
            }
        }
    }
    findings
}

fn cited_invariants(line: &str) -> Vec<u32> {
    let after = line.split("invariant ").skip(1);
    after
        .filter_map(|rest| {
            rest.split(|c: char| !c.is_ascii_digit())
                .next()?
                .parse()
                .ok()
        })
        .collect()
}

// ---- the tree as it is ----

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files below a folder of the package, in order. A folder that a package leaves out has none.
fn sources(folder: &str) -> Vec<Source> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        let Ok(entries) = fs::read_dir(dir) else {
            return;
        };
        for path in entries.map(|entry| entry.expect("a readable folder").path()) {
            if path.is_dir() && !path.ends_with("target") {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let mut paths = Vec::new();
    walk(&root().join(folder), &mut paths);
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let file = path
                .strip_prefix(root())
                .expect("below the root")
                .to_str()
                .expect("a UTF-8 name")
                .to_owned();
            Source {
                file,
                text: fs::read_to_string(path).expect("a readable file"),
            }
        })
        .collect()
}

#[track_caller]
fn assert_none(findings: Findings) {
    assert!(findings.is_empty(), "\n{}", findings.join("\n"));
}

#[test]
fn dependencies_run_downwards() {
    let all = sources("src");
    assert!(
        all.iter().any(|s| s.file == "src/lib.rs"),
        "no sources found: the check would pass on nothing"
    );
    assert_none(
        all.iter()
            .flat_map(|s| check_layers(&s.file, &tokens(&strip(&s.text))))
            .collect(),
    );
}

#[test]
fn unsafe_stays_in_its_files() {
    assert_none(check_unsafe(&sources("src")));
}

#[test]
fn files_are_documented_short_and_finished() {
    let folders = ["src", "tests", "examples", "bench"];
    assert_none(
        folders
            .into_iter()
            .flat_map(sources)
            .flat_map(|s| check_hygiene(&s.file, &s.text))
            .collect(),
    );
}

#[test]
fn the_layers_have_no_cycle_and_no_name_twice() {
    let mut seen = BTreeSet::new();
    for layer in LAYERS {
        for &(module, beside) in *layer {
            // An edge inside a layer leads to a module written before, so that no cycle can be listed.
            for other in beside {
                let known = layer.iter().any(|entry| entry.0 == *other) && seen.contains(other);
                assert!(
                    known,
                    "`{module}` lists `{other}`, which does not come before it in its layer"
                );
            }
            assert!(seen.insert(module), "`{module}` is listed twice");
        }
    }
}

#[test]
fn contributing_lists_every_module_and_invariant() {
    let text = fs::read_to_string(root().join("CONTRIBUTING.md")).expect("CONTRIBUTING.md");
    for &(module, _) in LAYERS.iter().copied().flatten() {
        assert!(
            text.contains(&format!("`{module}`")),
            "CONTRIBUTING.md does not name `{module}`"
        );
    }
    for number in 1..=INVARIANTS {
        assert!(
            text.contains(&format!("\n{number}. **")),
            "CONTRIBUTING.md lacks invariant {number}"
        );
    }
    assert!(
        !text.contains(&format!("\n{}. **", INVARIANTS + 1)),
        "raise INVARIANTS"
    );
}
