//! The pictures that `bench plot` draws, as a reader of XML sees them, and the table of `bench summary`.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use roxmltree::{Document, Node};

/// A folder of its own for one test, empty at its begin.
fn folder(test: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(test);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn bench(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// Has the lines drawn into `folder`.
fn plot(folder: &Path, lines: &[String]) -> Output {
    let from = folder.join("results.jsonl");
    fs::write(&from, lines.join("\n")).unwrap();
    bench(&[
        "plot",
        "--from",
        from.to_str().unwrap(),
        "--svg",
        folder.to_str().unwrap(),
    ])
}

/// The texts of one class.
fn texts(picture: &Document<'_>, class: &str) -> Vec<String> {
    elements(picture, "text", class)
        .map(|node| node.text().unwrap_or("").to_owned())
        .collect()
}

fn elements<'d>(
    picture: &'d Document<'_>,
    tag: &'static str,
    class: &str,
) -> impl Iterator<Item = Node<'d, 'd>> {
    picture
        .descendants()
        .filter(move |node| node.has_tag_name(tag) && node.attribute("class") == Some(class))
}

fn number(node: Node<'_, '_>, attribute: &str) -> f64 {
    node.attribute(attribute).unwrap().parse().unwrap()
}

const RUN: &str = r#"{"machine":"A \"CPU\" <x> & more","date":"2026-01-31 12:00 UTC","commit":"0123abc","command":"bench -- switch --svg 'a <b>'"}"#;

fn row(bench: &str, case: &str, value: &str, reference: &str, peer: Option<&str>) -> String {
    let peer = peer.map_or("null".to_owned(), |peer| format!("\"{peer}\""));
    format!(
        r#"{{"bench":"{bench}","case":"{case}","unit":"ns","value":{value},"reference":{reference},"ratio":null,"peer":{peer}}}"#
    )
}

#[test]
fn a_bar_for_each_row_a_line_for_each_limit_and_the_caption() {
    let folder = folder("bars");
    let lines = [
        RUN.to_owned(),
        row("switch", "a <b> & c", "3", "2.5", None),
        row("switch", "a <b> & c", "3.1", "9", Some("x<y>")),
        row("switch", "a <b> & c", "3.2", "12", Some("tokio")),
        row("switch", "no limit", "6", "null", None),
        row("locks", "mutex", "4", "4", None),
    ];
    let output = plot(&folder, &lines);
    assert!(output.status.success(), "{output:?}");

    let text = fs::read_to_string(folder.join("switch.svg")).unwrap();
    let picture = Document::parse(&text).unwrap();
    let bars: Vec<_> = elements(&picture, "rect", "bar").collect();
    assert_eq!(bars.len(), 4);
    assert_eq!(texts(&picture, "value"), ["3", "9", "12", "6"]);
    assert_eq!(
        texts(&picture, "heading"),
        ["a <b> & c", "no limit"],
        "{text}"
    );
    assert_eq!(texts(&picture, "limit-value"), ["limit 2.50"]);
    // One in the legend, and one across the first case's bars.
    let limits: Vec<_> = elements(&picture, "line", "limit").collect();
    assert_eq!(limits.len(), 2);
    // Lengths are as the numbers, and the limit is where a bar of its length would end.
    let (left, unit) = (number(bars[0], "x"), number(bars[0], "width") / 3.0);
    for (bar, length) in bars.iter().zip([3.0, 9.0, 12.0, 6.0]) {
        assert!((number(*bar, "width") - length * unit).abs() < 0.2);
    }
    assert!((number(limits[1], "x1") - left - 2.5 * unit).abs() < 0.2);
    assert_eq!(texts(&picture, "tick").first().unwrap(), "0");
    assert_eq!(texts(&picture, "axis"), ["ns (less is better)"]);
    assert_eq!(
        texts(&picture, "caption"),
        [
            "A \"CPU\" <x> & more",
            "2026-01-31 12:00 UTC, commit 0123abc",
            "$ bench -- switch --svg 'a <b>'"
        ]
    );

    let text = fs::read_to_string(folder.join("locks.svg")).unwrap();
    let picture = Document::parse(&text).unwrap();
    assert_eq!(elements(&picture, "rect", "bar").count(), 1);
    // Not among the numbers of greenlets.
    assert!(!folder.join("locks-by-number.svg").exists());
}

#[test]
fn cost_against_number_has_decades_at_equal_distances() {
    let folder = folder("curves");
    let mut lines = Vec::new();
    for power in 0..=6 {
        let n = 10_u32.pow(power);
        let limit = if power < 5 { "13" } else { "null" };
        let case = format!("{n} task{}", if n == 1 { "" } else { "s" });
        lines.push(row("yield", &case, &format!("{}", 6 + power), limit, None));
        lines.push(row("yield", &case, "1", "70", Some("tokio")));
        lines.push(row(
            "yield",
            &format!("{case}, allocations"),
            "0",
            "null",
            None,
        ));
    }
    let output = plot(&folder, &lines);
    assert!(output.status.success(), "{output:?}");

    let text = fs::read_to_string(folder.join("yield-by-number.svg")).unwrap();
    let picture = Document::parse(&text).unwrap();
    let across: Vec<_> = elements(&picture, "text", "tick")
        .filter(|tick| tick.attribute("text-anchor") == Some("middle"))
        .collect();
    let labels: Vec<_> = across.iter().filter_map(|tick| tick.text()).collect();
    assert_eq!(labels, ["1", "10", "100", "1k", "10k", "100k", "1M"]);
    let places: Vec<f64> = across.iter().map(|tick| number(*tick, "x")).collect();
    let step = places[1] - places[0];
    for pair in places.windows(2) {
        assert!((pair[1] - pair[0] - step).abs() < 0.2, "{places:?}");
    }
    // Each point stands over its own number: greenloom's and tokio's seven, and five of the limit.
    let points: Vec<_> = elements(&picture, "circle", "point").collect();
    assert_eq!(points.len(), 7 + 7 + 5);
    for point in points {
        let x = number(point, "cx");
        assert!(places.iter().any(|place| (place - x).abs() < 0.2), "{x}");
    }
    let up: Vec<_> = texts(&picture, "tick").into_iter().take(3).collect();
    assert_eq!(up, ["1", "10", "100"]);
    assert_eq!(texts(&picture, "label"), ["tokio", "limit", "greenloom"]);
    assert_eq!(
        texts(&picture, "value"),
        ["6", "7", "8", "9", "10", "11", "12"]
    );
}

#[test]
fn bars_far_apart_are_drawn_on_a_log_axis_that_says_so() {
    let folder = folder("far-apart");
    let lines = [
        row("spawn", "batch 1", "40", "20", None),
        row("spawn", "batch 1", "40", "9000", Some("std")),
    ];
    assert!(plot(&folder, &lines).status.success());
    let text = fs::read_to_string(folder.join("spawn.svg")).unwrap();
    let picture = Document::parse(&text).unwrap();
    assert_eq!(texts(&picture, "tick"), ["10", "100", "1k", "10k"]);
    assert_eq!(texts(&picture, "axis"), ["ns (less is better, log scale)"]);
    for bar in elements(&picture, "rect", "bar") {
        assert!(number(bar, "width") > 10.0);
    }
    // One number is no curve.
    assert!(!folder.join("spawn-by-number.svg").exists());
}

#[test]
fn a_run_draws_what_its_file_draws() {
    let (live, saved) = (folder("live"), folder("saved"));
    let output = bench(&[
        "locks",
        "--json",
        "--launches",
        "1",
        "--rounds",
        "1",
        "--svg",
        live.to_str().unwrap(),
    ]);
    assert!(output.status.success(), "{output:?}");
    let lines = String::from_utf8(output.stdout).unwrap();
    assert!(plot(&saved, &[lines]).status.success());
    let read = |folder: &Path| fs::read_to_string(folder.join("locks.svg")).unwrap();
    assert_eq!(read(&live), read(&saved));
    let text = read(&live);
    let caption = texts(&Document::parse(&text).unwrap(), "caption").join(" ");
    assert!(
        caption.contains("$ cargo run --release -p bench -- locks --json"),
        "{caption}"
    );
}

#[test]
fn a_file_that_is_no_results_is_named_and_draws_nothing() {
    let folder = folder("mistakes");
    for (lines, part) in [
        (
            vec![row("a", "b", "1", "2", None), "junk".to_owned()],
            "line 2",
        ),
        (vec![RUN.to_owned()], "no rows"),
    ] {
        let output = plot(&folder, &lines);
        assert_eq!(output.status.code(), Some(1));
        let message = String::from_utf8_lossy(&output.stderr);
        assert!(message.contains(part), "{message}");
        assert!(!folder.join("a.svg").exists());
    }
    let missing = folder.join("missing.jsonl");
    let output = bench(&[
        "plot",
        "--from",
        missing.to_str().unwrap(),
        "--svg",
        "unused",
    ]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("missing.jsonl"));
}

#[test]
fn a_table_has_a_row_for_each_case_and_says_where_its_numbers_come_from() {
    let folder = folder("summary");
    let from = folder.join("results.jsonl");
    let switch = row("switch", "a", "3", "2.5", None).replace("\"ratio\":null", "\"ratio\":1.19");
    let lines = [
        RUN.to_owned(),
        switch,
        row("switch", "a", "3.1", "9", Some("may")),
        row("switch", "a", "3.2", "12.25", Some("tokio")),
        row("switch", "none", "0", "null", None).replace("\"ns\"", "\"allocations/switch\""),
        row("switch", "some", "0.5", "null", None).replace("\"ns\"", "\"allocations/switch\""),
        row("queues", "b", "60", "64", Some("tokio")),
    ];
    fs::write(&from, lines.join("\n")).unwrap();
    let output = bench(&["summary", "--from", from.to_str().unwrap()]);
    assert!(output.status.success(), "{output:?}");
    let expected = r#"```sh
bench -- switch --svg 'a <b>'
```

A "CPU" <x> & more; 2026-01-31 12:00 UTC; commit 0123abc.

switch, some: 0.50

| benchmark | case | unit | greenloom | limit | ratio | others |
| --- | --- | --- | ---: | ---: | ---: | --- |
| switch | a | ns | 3 | 2.50 | 1.19 | may 9, tokio 12.2 |
| queues | b | ns | 60 | - | - | tokio 64 |
"#;
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    fs::write(&from, RUN).unwrap();
    let output = bench(&["summary", "--from", from.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no rows"));
}
