//! Pictures of results: one bar chart per benchmark, and cost against number of greenlets where there are several. And a table.
//!
//! ```text
//! JSON lines ── record ──▶ rows ── panels ──▶ cases of one unit ─┬▶ bars, curves ── scale, svg ──▶ DIR/BENCH.svg,
//!                                                                │                      DIR/BENCH-by-number.svg
//!                                                                └▶ summary ──▶ Markdown
//! ```
//!
//! Drawn from the lines that `--json` writes and from nothing else, so that a picture of a run and one of its file are
//! the same. Of a case there is greenloom's bar, one for each peer, and the limit as a line; numbers are medians, as in
//! the table. Nothing here measures.
#![forbid(unsafe_code)]

mod bars;
mod curves;
mod record;
mod scale;
mod summary;
mod svg;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use self::record::Record;
pub(crate) use self::summary::markdown;
use self::svg::{Anchor, CHARACTER, Style, Svg};
use crate::about::About;

/// Width of every picture.
const WIDTH: f64 = 900.0;

/// Left and right of what is drawn.
const MARGIN: f64 = 20.0;

/// The benchmarks whose cases are numbers of greenlets or tasks.
const BY_NUMBER: [&str; 3] = ["yield", "spawn", "memory"];

/// greenloom's colour; these and the peers' are told apart by the colour-blind too.
const OURS: &str = "#0072b2";

/// The peers', the same in all pictures of all runs. One that is not here borrows another's by its place in the file.
const THEIRS: [(&str, &str); 11] = [
    ("may", "#e69f00"),
    ("tokio", "#009e73"),
    ("smol", "#cc79a7"),
    ("std", "#56b4e9"),
    ("generator", "#b8a800"),
    ("corosensei", "#999999"),
    ("crossbeam", "#8c564b"),
    ("go", "#6a3d9a"),
    ("greenlet", "#44aa99"),
    ("gevent", "#882255"),
    ("boost-context", "#444444"),
];

/// Draws all that `text`, lines of JSON, has, into files in `dir`, which is made if it is not there.
pub(crate) fn write(dir: &Path, text: &str) -> io::Result<Vec<PathBuf>> {
    let (about, records) = record::read(text).map_err(io::Error::other)?;
    if records.is_empty() {
        return Err(io::Error::other("no rows to draw"));
    }
    fs::create_dir_all(dir)?;
    let look = Look::new(about, &records);
    let mut benches: Vec<&str> = Vec::new();
    for record in &records {
        if !benches.contains(&record.bench.as_str()) {
            benches.push(&record.bench);
        }
    }
    let mut files = Vec::new();
    let mut keep = |name: String, picture: String| {
        let path = dir.join(name);
        fs::write(&path, picture)?;
        files.push(path);
        io::Result::Ok(())
    };
    for bench in benches {
        let panels = panels(records.iter().filter(|record| record.bench == bench));
        keep(
            format!("{}.svg", file_name(bench)),
            bars::chart(bench, &panels, &look),
        )?;
        if BY_NUMBER.contains(&bench)
            && let Some(picture) = curves::chart(bench, &panels, &look)
        {
            keep(format!("{bench}-by-number.svg"), picture)?;
        }
    }
    Ok(files)
}

/// A benchmark's name, of which only letters, digits and dashes go into the name of a file.
fn file_name(bench: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    bench.chars().map(plain).collect()
}

/// The cases of a benchmark that count the same, and so share an axis.
#[derive(Clone, Debug)]
struct Panel {
    unit: String,
    cases: Vec<Case>,
}

/// All that is known of one case.
#[derive(Clone, Debug)]
struct Case {
    name: String,
    ours: Option<f64>,
    limit: Option<f64>,
    peers: Vec<(String, f64)>,
}

impl Panel {
    /// Every number there is.
    fn numbers(&self) -> Vec<f64> {
        self.cases
            .iter()
            .flat_map(|case| {
                let peers = case.peers.iter().map(|&(_, number)| number);
                case.ours.into_iter().chain(case.limit).chain(peers)
            })
            .collect()
    }
}

/// Puts rows together, by unit and case. greenloom's number is that beside the limit; if there is none, beside the first
/// of the peers.
fn panels<'r>(records: impl Iterator<Item = &'r Record>) -> Vec<Panel> {
    let mut panels: Vec<Panel> = Vec::new();
    for record in records {
        let at = panels.iter().position(|panel| panel.unit == record.unit);
        let at = at.unwrap_or_else(|| {
            panels.push(Panel {
                unit: record.unit.clone(),
                cases: Vec::new(),
            });
            panels.len() - 1
        });
        let cases = &mut panels[at].cases;
        let at = cases.iter().position(|case| case.name == record.case);
        let at = at.unwrap_or_else(|| {
            cases.push(Case {
                name: record.case.clone(),
                ours: None,
                limit: None,
                peers: Vec::new(),
            });
            cases.len() - 1
        });
        let case = &mut cases[at];
        match (&record.peer, record.reference) {
            (None, limit) => {
                case.ours = record.value.or(case.ours);
                case.limit = limit;
            }
            (Some(peer), theirs) => {
                case.ours = case.ours.or(record.value);
                case.peers
                    .extend(theirs.map(|theirs| (peer.clone(), theirs)));
            }
        }
    }
    panels
}

/// What all pictures of a file share: their caption, and their peers in order of first appearance.
#[derive(Clone, Debug)]
struct Look {
    about: Option<About>,
    peers: Vec<String>,
}

impl Look {
    fn new(about: Option<About>, records: &[Record]) -> Look {
        let mut peers: Vec<String> = Vec::new();
        for peer in records.iter().filter_map(|record| record.peer.as_ref()) {
            if !peers.contains(peer) {
                peers.push(peer.clone());
            }
        }
        Look { about, peers }
    }

    /// A peer's colour.
    fn colour(&self, peer: &str) -> &'static str {
        let known = THEIRS.iter().position(|(name, _)| *name == peer);
        let at = known.or_else(|| self.peers.iter().position(|name| name == peer));
        THEIRS[at.unwrap_or(0) % THEIRS.len()].1
    }

    /// Writes where the numbers come from, below `y`. Returns where the picture ends.
    fn caption(&self, svg: &mut Svg, mut y: f64) -> f64 {
        let text = match &self.about {
            Some(about) => vec![
                about.machine.clone(),
                format!("{}, commit {}", about.date, about.commit),
                format!("$ {}", about.command),
            ],
            None => {
                vec!["Machine, date, commit and command are not in the file of results.".to_owned()]
            }
        };
        y += 10.0;
        // Captions are a little smaller than what a character is reckoned at.
        let room = ((WIDTH - 2.0 * MARGIN) / (CHARACTER * 0.9)) as usize;
        for line in text.iter().flat_map(|text| wrapped(text, room)) {
            y += 15.0;
            svg.text((MARGIN, y), Anchor::Start, Style::Caption, &line);
        }
        y + 15.0
    }
}

/// Lines of at most so many characters, broken at spaces where there are any.
fn wrapped(text: &str, room: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let last = lines.len() - 1;
            let used = lines[last].chars().count();
            let space = usize::from(used > 0);
            if used + space + rest.len() <= room {
                if space > 0 {
                    lines[last].push(' ');
                }
                lines[last].extend(rest);
                break;
            }
            if used > 0 {
                lines.push(String::new());
            } else {
                lines[last].extend(rest.drain(..room));
                lines.push(String::new());
            }
        }
    }
    lines
}

/// Which way is better.
fn better(unit: &str) -> &'static str {
    if unit.ends_with("/s") {
        "more is better"
    } else {
        "less is better"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(case: &str, peer: Option<&str>, value: f64, reference: Option<f64>) -> Record {
        Record {
            bench: "switch".to_owned(),
            case: case.to_owned(),
            unit: "ns".to_owned(),
            value: Some(value),
            reference,
            ratio: None,
            peer: peer.map(str::to_owned),
        }
    }

    #[test]
    fn peers_limit_and_ours_meet_in_one_case() {
        let records = [
            record("a", Some("may"), 3.5, Some(9.0)),
            record("a", None, 3.0, Some(2.0)),
            record("a", Some("tokio"), 4.0, Some(11.0)),
            record("b", Some("may"), 5.0, None),
        ];
        let panels = panels(records.iter());
        assert_eq!(panels.len(), 1);
        let [a, b] = &panels[0].cases[..] else {
            panic!("{panels:?}")
        };
        assert_eq!((a.ours, a.limit), (Some(3.0), Some(2.0)));
        assert_eq!(
            a.peers,
            [("may".to_owned(), 9.0), ("tokio".to_owned(), 11.0)]
        );
        assert_eq!((b.ours, b.limit, b.peers.len()), (Some(5.0), None, 0));
    }

    #[test]
    fn long_captions_are_broken_at_spaces_and_words_if_they_must() {
        assert_eq!(wrapped("ab cd ef", 5), ["ab cd", "ef"]);
        assert_eq!(wrapped("a bcdefgh", 3), ["a", "bcd", "efg", "h"]);
        assert_eq!(wrapped("", 3), [""]);
    }
}
