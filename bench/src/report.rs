//! Rows: how a child hands them to its parent, and how they are printed.
//!
//! A child prints one line per row, fields separated by tabs, `-` for a number that does not exist:
//!
//! ```text
//! row <TAB> bench <TAB> case <TAB> unit <TAB> value <TAB> reference <TAB> peer
//! ```
//!
//! A row compares greenloom with one other thing: with the limit, which is the same work with nothing around it, or with
//! the peer it names. The value is greenloom's in either case, measured anew beside each, so that every ratio is of two
//! numbers taken in alternation.
//!
//! Numbers are written with Rust's shortest form that reads back the same. The ratio is not sent: the
//! parent takes the median of the launches' ratios, which is steadier than the ratio of the medians.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

use crate::measure::median;

/// One measured number and what it is compared with.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    /// The benchmark, as on the command line.
    pub(crate) bench: String,
    /// The case within it.
    pub(crate) case: String,
    /// What the numbers count.
    pub(crate) unit: String,
    /// greenloom's number.
    pub(crate) value: Option<f64>,
    /// The reference's number, in the same unit.
    pub(crate) reference: Option<f64>,
    /// Whose number the reference is: a peer's (or another server's) by its name, or `None` for the bare limit.
    pub(crate) peer: Option<String>,
}

impl Row {
    /// The line for the parent.
    pub(crate) fn to_line(&self) -> String {
        let number = |n: Option<f64>| n.map_or("-".to_owned(), |n| n.to_string());
        format!(
            "row\t{}\t{}\t{}\t{}\t{}\t{}",
            self.bench,
            self.case,
            self.unit,
            number(self.value),
            number(self.reference),
            self.peer.as_deref().unwrap_or("-"),
        )
    }

    /// Reads a child's line back, or `None` if it is no row.
    pub(crate) fn from_line(line: &str) -> Option<Row> {
        let mut fields = line.split('\t');
        if fields.next() != Some("row") {
            return None;
        }
        let mut text = || fields.next().map(str::to_owned);
        let (bench, case, unit) = (text()?, text()?, text()?);
        let mut number = || match fields.next()? {
            "-" => Some(None),
            digits => digits.parse().ok().map(Some),
        };
        let (value, reference) = (number()?, number()?);
        let peer = fields.next().filter(|name| *name != "-");
        Some(Row {
            bench,
            case,
            unit,
            value,
            reference,
            peer: peer.map(str::to_owned),
        })
    }
}

/// The same row of several launches.
#[derive(Clone, Debug)]
pub(crate) struct Summary {
    /// Median of the launches.
    pub(crate) row: Row,
    /// Median of the launches' ratios of value to reference.
    pub(crate) ratio: Option<f64>,
    /// Least and greatest value of the launches, if there were several.
    pub(crate) spread: Option<(f64, f64)>,
}

/// Groups the rows of all launches by benchmark, case, unit and peer, in order of first appearance.
pub(crate) fn summarise(rows: &[Row]) -> Vec<Summary> {
    let key = |row: &Row| {
        let Row {
            bench, case, unit, ..
        } = row.clone();
        (bench, case, unit, row.peer.clone())
    };
    let same = |a: &Row, b: &Row| key(a) == key(b);
    let mut summaries: Vec<Summary> = Vec::new();
    for row in rows {
        if summaries.iter().any(|summary| same(&summary.row, row)) {
            continue;
        }
        let group = || rows.iter().filter(|other| same(other, row));
        let ratio = |row: &Row| Some(row.value? / row.reference?);
        let values = || group().filter_map(|row| row.value);
        summaries.push(Summary {
            row: Row {
                value: median(values().collect()),
                reference: median(group().filter_map(|row| row.reference).collect()),
                ..row.clone()
            },
            ratio: median(group().filter_map(ratio).collect()),
            spread: values()
                .reduce(f64::min)
                .zip(values().reduce(f64::max))
                .filter(|_| values().count() > 1),
        });
    }
    summaries
}

/// The summaries as a table for people.
pub(crate) fn table(summaries: &[Summary]) -> String {
    let header = [
        "bench",
        "case",
        "unit",
        "beside",
        "value",
        "reference",
        "ratio",
        "spread",
    ]
    .map(str::to_owned);
    let mut lines = vec![header];
    for Summary { row, ratio, spread } in summaries {
        let beside = row
            .peer
            .as_deref()
            .or(row.reference.map(|_| "the limit"))
            .unwrap_or("-");
        let percent = spread.zip(row.value).and_then(|((low, high), middle)| {
            (middle != 0.0).then(|| format!("{:.0}%", (high - low) / middle * 100.0))
        });
        lines.push([
            row.bench.clone(),
            row.case.clone(),
            row.unit.clone(),
            beside.to_owned(),
            short(row.value),
            short(row.reference),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            percent.unwrap_or("-".to_owned()),
        ]);
    }
    let mut widths = [0; 8];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    for line in &lines {
        let mut text = String::new();
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            // Names to the left, numbers to the right.
            let _ = if column < 4 {
                write!(text, "{cell:<width$}  ")
            } else {
                write!(text, "{cell:>width$}  ")
            };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
    out
}

/// One summary as a JSON object on one line.
pub(crate) fn json(Summary { row, ratio, spread }: &Summary) -> String {
    let number = |n: Option<f64>| match n {
        Some(n) if n.is_finite() => n.to_string(),
        _ => "null".to_owned(),
    };
    format!(
        "{{\"bench\":{},\"case\":{},\"unit\":{},\"value\":{},\"reference\":{},\"ratio\":{},\
         \"peer\":{},\"low\":{},\"high\":{}}}",
        json_text(&row.bench),
        json_text(&row.case),
        json_text(&row.unit),
        number(row.value),
        number(row.reference),
        number(*ratio),
        row.peer.as_deref().map_or("null".to_owned(), json_text),
        number(spread.map(|(low, _)| low)),
        number(spread.map(|(_, high)| high)),
    )
}

/// A number with as many digits as are worth reading.
pub(crate) fn short(n: Option<f64>) -> String {
    match n {
        None => "-".to_owned(),
        Some(n) if n == n.trunc() && n.abs() < 1e15 => format!("{n:.0}"),
        Some(n) if n.abs() >= 1000.0 => format!("{n:.0}"),
        Some(n) if n.abs() >= 10.0 => format!("{n:.1}"),
        // A count that ought to be zero must not be rounded to it.
        Some(n) if n.abs() < 0.005 => format!("{n:.1e}"),
        Some(n) => format!("{n:.2}"),
    }
}

/// A JSON string, quotes included.
pub(crate) fn json_text(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: Option<f64>, reference: Option<f64>) -> Row {
        Row {
            bench: "echo".to_owned(),
            case: "50 connections, \"CPU\"".to_owned(),
            unit: "us/request".to_owned(),
            value,
            reference,
            peer: None,
        }
    }

    #[test]
    fn a_row_survives_the_pipe() {
        for row in [
            row(Some(1.0 / 3.0), Some(12345.678)),
            row(None, Some(0.0)),
            row(Some(1e-7), None),
            Row {
                peer: Some("may".to_owned()),
                ..row(Some(1.0), Some(2.0))
            },
        ] {
            assert_eq!(Row::from_line(&row.to_line()), Some(row));
        }
        assert_eq!(Row::from_line("listening on 127.0.0.1:1"), None);
        assert_eq!(Row::from_line("row\ta\tb\tc\tx\t-"), None);
    }

    #[test]
    fn the_ratio_is_the_median_of_ratios() {
        let rows = [
            row(Some(1.0), Some(1.0)),
            row(Some(9.0), Some(3.0)),
            row(Some(4.0), Some(2.0)),
        ];
        let summaries = summarise(&rows);
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].row, row(Some(4.0), Some(2.0)));
        assert_eq!(summaries[0].ratio, Some(2.0));
        assert_eq!(summaries[0].spread, Some((1.0, 9.0)));
    }

    #[test]
    fn each_peer_has_its_own_row() {
        let beside = |peer: &str| Row {
            peer: Some(peer.to_owned()),
            ..row(Some(1.0), Some(4.0))
        };
        let rows = [row(Some(1.0), Some(1.0)), beside("may"), beside("tokio")];
        let summaries = summarise(&rows);
        assert_eq!(summaries.len(), 3);
        let table = table(&summaries);
        for (line, name) in table.lines().skip(1).zip(["the limit", "may", "tokio"]) {
            assert!(line.contains(name), "{table}");
        }
        assert!(json(&summaries[1]).contains("\"peer\":\"may\""));
    }

    #[test]
    fn json_escapes_and_writes_null() {
        let summary = &summarise(&[row(None, Some(2.5))])[0];
        assert_eq!(
            json(summary),
            r#"{"bench":"echo","case":"50 connections, \"CPU\"","unit":"us/request","value":null,"reference":2.5,"ratio":null,"peer":null,"low":null,"high":null}"#
        );
    }

    #[test]
    fn the_table_never_rounds_to_zero() {
        assert_eq!(short(Some(0.0)), "0");
        assert_eq!(short(Some(0.000_025)), "2.5e-5");
        assert_eq!(short(Some(4104.0)), "4104");
        let table = table(&summarise(&[row(Some(3.0), Some(2.0))]));
        assert!(
            table.lines().nth(1).unwrap().ends_with("1.50       -"),
            "{table}"
        );
    }
}
