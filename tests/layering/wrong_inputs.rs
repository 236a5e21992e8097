//! Small wrong inputs that the checkers must refuse, and right ones that they must let pass.
#![forbid(unsafe_code)]

use super::*;

fn layers(file: &str, source: &str) -> Findings {
    check_layers(file, &tokens(&strip(source)))
}

#[track_caller]
fn assert_refused(findings: &Findings, expected: &[&str]) {
    assert_eq!(findings.len(), expected.len(), "{findings:?}");
    for (finding, part) in findings.iter().zip(expected) {
        assert!(
            finding.contains(part),
            "{finding:?} does not contain {part:?}"
        );
    }
}

#[test]
fn upward_uses_are_refused() {
    assert_refused(
        &layers("src/timers.rs", "\nuse crate::hub::Hub;"),
        &["src/timers.rs:2: `timers` may not use `hub`"],
    );
    assert_refused(
        &layers("src/timers.rs", "fn f() { crate::greenlet::scope(); }"),
        &["`greenlet`"],
    );
    assert_refused(&layers("src/timers.rs", "use super::park;"), &["`park`"]);
    assert_refused(
        &layers("src/hub/a.rs", "use super::super::task::spawn;"),
        &["`task`"],
    );
    assert_refused(
        &layers("src/hub/a.rs", "use self::super::super::task::spawn;"),
        &["`task`"],
    );
    assert_refused(
        &layers("src/hub/mod.rs", "use greenloom::park::X;"),
        &["`park`"],
    );
    assert_refused(
        &layers(
            "src/clock.rs",
            "macro_rules! m { () => { $crate::hub::now() } }",
        ),
        &["`hub`"],
    );
    assert_refused(
        &layers("src/hub/mod.rs", "mod tests { use super::super::io; }"),
        &["`io`"],
    );
    assert_refused(
        &layers(
            "src/net/tcp.rs",
            "fn f(x: crate::hub::H<crate::pool::P>) {}",
        ),
        &["`pool`"],
    );
    assert_refused(
        &layers("src/event.rs", "crate::local!(static X: u8 = 0);"),
        &["may not use `task`"],
    );
}

#[test]
fn nested_braces_are_followed() {
    let source = "use crate::{clock::{self, Instant}, hub::{a::{b, c}, d}, task::{spawn}, io};";
    assert_refused(&layers("src/park/node.rs", source), &["`task`", "`io`"]);
    assert_refused(
        &layers(
            "src/park/node.rs",
            "use {crate::{{clock, io}, hub,}, std::io};",
        ),
        &["`io`"],
    );
    assert_refused(
        &layers(
            "src/park/node.rs",
            "use super::super::{hub, net::TcpStream};",
        ),
        &["`net`"],
    );
}

#[test]
fn the_root_is_no_detour() {
    assert_refused(
        &layers("src/timers.rs", "use super::*;"),
        &["`*` of the crate root"],
    );
    assert_refused(
        &layers("src/timers.rs", "use crate::{self as all};"),
        &["`crate` of the crate root"],
    );
    assert_refused(
        &layers("src/timers.rs", "use crate as all;"),
        &["`crate` of the crate root"],
    );
    assert_refused(
        &layers("src/timers.rs", "fn f() { crate::spawn(g) }"),
        &["`spawn` of the crate root"],
    );
}

#[test]
fn unlisted_neighbours_and_modules_are_refused() {
    assert_refused(
        &layers("src/reactor/mod.rs", "use crate::timers::Timers;"),
        &["`timers`"],
    );
    assert_refused(
        &layers("src/task/mod.rs", "use crate::time::sleep;"),
        &["`time`"],
    );
    assert_refused(&layers("src/helpers.rs", ""), &["`helpers` is in no layer"]);
    assert_refused(
        &layers("src/hub/mod.rs", "use crate::helpers::x;"),
        &["`helpers` of the crate root is no module"],
    );
}

#[test]
fn downward_and_own_uses_pass() {
    for (file, source) in [
        (
            "src/hub/core.rs",
            "use crate::{clock, greenlet::Greenlet, reactor, timers};\nuse super::inbox::Inbox;",
        ),
        (
            "src/time/mod.rs",
            "pub(crate) use crate::task::{self, Builder};\npub(in crate::time) fn f() {}",
        ),
        (
            "src/clock.rs",
            "fn f(&self) { self.g(); Self::h() }\n#[cfg(test)] mod tests { use super::*; }",
        ),
        (
            "src/clock.rs",
            "extern crate alloc;\nuse std::time::{self, Instant};\nmod a { mod b { use super::super::*; } }",
        ),
        (
            "src/park/mod.rs",
            "mod hub { pub fn f() {} }\nuse self::hub::f;",
        ),
        ("src/lib.rs", "pub use crate::task::spawn;\nmod hub;"),
    ] {
        assert_none(layers(file, source));
    }
}

#[test]
fn comments_and_literals_do_not_count() {
    let source = r####"
        //! [`crate::hub`] and `unsafe`
        /* crate::hub /* nested */ crate::hub */
        const A: &str = "crate::hub \" crate::hub"; const B: &str = r#"crate::hub " crate::hub"#;
        const C: &[u8] = br"unsafe \"; const D: [char; 3] = ['"', '\'', '\u{22}'];
        fn f<'a>(x: &'a str) -> &'a str { x } // "
        fn r#type() {}
    "####;
    assert_none(layers("src/clock.rs", source));
    assert!(!holds_unsafe(source));
    // What follows such a literal is still seen, on its own line.
    for literal in [
        "'\"'",
        "'\\''",
        "\"\\\\\"",
        "r\"\\\"",
        "r##\"\"#\"##",
        "b'\"'",
        "/* \" */ 1",
        "\"\n\"",
    ] {
        let source = format!("const A: X = {literal};\nuse crate::hub;");
        let line = source.lines().count();
        assert_refused(
            &layers("src/clock.rs", &source),
            &[&format!("clock.rs:{line}: `clock` may not use `hub`")],
        );
    }
}

#[test]
fn unsafe_out_of_place_is_refused() {
    let check = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files
            .iter()
            .map(|(file, text)| Source {
                file: (*file).into(),
                text: (*text).into(),
            })
            .collect();
        check_unsafe(&sources)
    };
    assert_refused(
        &check(&[("src/time/mod.rs", "fn f() { unsafe { g() } }")]),
        &["holds `unsafe`"],
    );
    assert_refused(
        &check(&[("src/clock.rs", "#[unsafe(no_mangle)] fn f() {}")]),
        &["holds `unsafe`"],
    );
    assert_refused(
        &check(&[("src/clock.rs", "// #![forbid(unsafe_code)]")]),
        &["lacks"],
    );
    assert_refused(&check(&[("src/stack/size.rs", "")]), &["lacks"]);
    assert_none(check(&[(
        "src/clock.rs",
        "//! Time.\n#![forbid(unsafe_code)]\nuse std::cell::UnsafeCell;",
    )]));
    // The files above one that holds `unsafe` cannot forbid it.
    assert_none(check(&[
        ("src/lib.rs", ""),
        ("src/stack/mod.rs", ""),
        ("src/stack/a.rs", "unsafe fn f() {}"),
    ]));
}

#[test]
fn unfinished_files_are_refused() {
    let check = |source: &str| check_hygiene("src/clock.rs", source);
    assert_refused(&check("\n//! Late."), &["does not open"]);
    assert_refused(&check(&format!("//!{}", "\n".repeat(MAX_LINES))), &[]);
    assert_refused(
        &check(&format!("//!{}//", "\n".repeat(MAX_LINES))),
        &["more than 800 lines"],
    );
    assert_refused(&check("//!\nfn f() { todo!() }"), &["clock.rs:2: `todo!`"]);
    assert_refused(
        &check("//!\nfn f() { std::unimplemented! {} }"),
        &["`unimplemented!`"],
    );
    assert_refused(
        &check("//!\n#[test]\n#[ignore = \"slow\"]\nfn f() {}"),
        &["clock.rs:3: ignores"],
    );
    assert_refused(
        &check("//!\n#[cfg_attr(a(b[1]), ignore)]\nfn f() {}"),
        &["ignores"],
    );
    let missing = format!("//!\n// SAFETY: invariant {}.", INVARIANTS + 1);
    assert_refused(&check(&missing), &["clock.rs:2: there is no invariant"]);
    assert_none(check(
        "//! Says todo!() and #[ignore].\nfn ignore(a: [u8; 1]) { ignore(a) } // invariant 15, invariant 1",
    ));
}
