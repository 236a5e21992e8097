//! Each kind performs what it is asked for, and mistakes are told.
#![forbid(unsafe_code)]

use std::process::{Command, Output, Stdio};

fn run(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_instructions"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn printed(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_kind_performs_at_least_what_it_is_asked_for() {
    let kinds = printed(&["--list"]);
    assert!(kinds.lines().count() >= 10, "{kinds}");
    for kind in kinds.lines() {
        let text = printed(&[kind, "150"]);
        let operations: u64 = text
            .trim()
            .strip_suffix(" operations")
            .unwrap()
            .parse()
            .unwrap();
        assert!((150..=1000).contains(&operations), "{kind}: {text}");
    }
}

#[test]
fn the_file_of_counts_has_every_kind_and_no_other() {
    let file = include_str!("../../instructions.json");
    let kept: Vec<&str> = file
        .lines()
        .filter(|line| line.contains("\"instructions\""))
        .filter_map(|line| line.split('"').nth(1))
        .collect();
    let kinds = printed(&["--list"]);
    assert_eq!(kept, kinds.lines().collect::<Vec<_>>());
}

#[test]
fn mistakes_are_told() {
    for args in [
        &[][..],
        &["raw-pair"],
        &["raw-pair", "many"],
        &["no-such-kind", "5"],
    ] {
        let output = run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
    }
}
