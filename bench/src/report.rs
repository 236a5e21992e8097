//! Rows: how a child hands them to its parent, and how they are printed.
//!
//! A child prints one line per row, fields separated by tabs, `-` for a number that does not exist:
//!
//! ```text
//! row <TAB> bench <TAB> case <TAB> unit <TAB> value <TAB> reference
//! ```
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
}

impl Row {
    /// The line for the parent.
    pub(crate) fn to_line(&self) -> String {
        let number = |n: Option<f64>| n.map_or("-".to_owned(), |n| n.to_string());
        format!(
            "row\t{}\t{}\t{}\t{}\t{}",
            self.bench,
            self.case,
            self.unit,
            number(self.value),
            number(self.reference)
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
        Some(Row {
            bench,
            case,
            unit,
            value,
            reference,
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
}

/// Groups the rows of all launches by benchmark, case and unit, in order of first appearance.
pub(crate) fn summarise(rows: &[Row]) -> Vec<Summary> {
    let same = |a: &Row, b: &Row| (&a.bench, &a.case, &a.unit) == (&b.bench, &b.case, &b.unit);
    let mut summaries: Vec<Summary> = Vec::new();
    for row in rows {
        if summaries.iter().any(|summary| same(&summary.row, row)) {
            continue;
        }
        let group = || rows.iter().filter(|other| same(other, row));
        let ratio = |row: &Row| Some(row.value? / row.reference?);
        summaries.push(Summary {
            row: Row {
                value: median(group().filter_map(|row| row.value).collect()),
                reference: median(group().filter_map(|row| row.reference).collect()),
                ..row.clone()
            },
            ratio: median(group().filter_map(ratio).collect()),
        });
    }
    summaries
}

/// The summaries as a table for people.
pub(crate) fn table(summaries: &[Summary]) -> String {
    let header = ["bench", "case", "unit", "value", "reference", "ratio"].map(str::to_owned);
    let mut lines = vec![header];
    for Summary { row, ratio } in summaries {
        lines.push([
            row.bench.clone(),
            row.case.clone(),
            row.unit.clone(),
            short(row.value),
            short(row.reference),
            ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
        ]);
    }
    let mut widths = [0; 6];
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
            let _ = if column < 3 {
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
pub(crate) fn json(Summary { row, ratio }: &Summary) -> String {
    let number = |n: Option<f64>| match n {
        Some(n) if n.is_finite() => n.to_string(),
        _ => "null".to_owned(),
    };
    format!(
        "{{\"bench\":{},\"case\":{},\"unit\":{},\"value\":{},\"reference\":{},\"ratio\":{}}}",
        json_text(&row.bench),
        json_text(&row.case),
        json_text(&row.unit),
        number(row.value),
        number(row.reference),
        number(*ratio)
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
        }
    }

    #[test]
    fn a_row_survives_the_pipe() {
        for row in [
            row(Some(1.0 / 3.0), Some(12345.678)),
            row(None, Some(0.0)),
            row(Some(1e-7), None),
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
    }

    #[test]
    fn json_escapes_and_writes_null() {
        let summary = &summarise(&[row(None, Some(2.5))])[0];
        assert_eq!(
            json(summary),
            r#"{"bench":"echo","case":"50 connections, \"CPU\"","unit":"us/request","value":null,"reference":2.5,"ratio":null}"#
        );
    }

    #[test]
    fn the_table_never_rounds_to_zero() {
        assert_eq!(short(Some(0.0)), "0");
        assert_eq!(short(Some(0.000_025)), "2.5e-5");
        assert_eq!(short(Some(4104.0)), "4104");
        let table = table(&summarise(&[row(Some(3.0), Some(2.0))]));
        assert!(table.lines().nth(1).unwrap().ends_with("1.50"), "{table}");
    }
}
