//! Reading results back: JSON lines as this program writes them, one flat object each.
//!
//! | line has | is |
//! | --- | --- |
//! | `bench`, `case`, `unit`, `value`, `reference`, perhaps `peer` | a row |
//! | `machine`, `date`, `commit`, `command` | the run that the rows are of |
//! | nothing | passed over |
//!
//! Other keys are passed over as well, so that files of later versions can be read. Any other line is an error that
//! names it: a picture with rows missing would be a false one.
#![forbid(unsafe_code)]

use std::iter::Peekable;
use std::str::Chars;

use crate::about::About;

/// One row: greenloom's number, and what it is held against.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Record {
    pub(super) bench: String,
    pub(super) case: String,
    pub(super) unit: String,
    /// greenloom's.
    pub(super) value: Option<f64>,
    /// The peer's, or else the limit's.
    pub(super) reference: Option<f64>,
    /// The median of the launches', if the line says.
    pub(super) ratio: Option<f64>,
    /// Whose the reference is, if it is not the limit.
    pub(super) peer: Option<String>,
}

/// The rows of a file, and the run they are of, if the file says.
pub(super) fn read(text: &str) -> Result<(Option<About>, Vec<Record>), String> {
    let mut about = None;
    let mut records = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        if line.trim().is_empty() {
            continue;
        }
        let fields = object(line).ok_or(format!("line {number} is no JSON object on one line"))?;
        let fields = Fields(fields);
        if let Some(run) = fields.about() {
            if about.replace(run).is_some() {
                return Err(format!("line {number} begins a second run"));
            }
            continue;
        }
        let record = fields.record();
        records.push(record.ok_or(format!("line {number} is no row of results"))?);
    }
    Ok((about, records))
}

/// A value of a flat object.
#[derive(Clone, Debug, PartialEq)]
enum Scalar {
    Text(String),
    Number(f64),
    Null,
}

/// The fields of one line.
struct Fields(Vec<(String, Scalar)>);

impl Fields {
    fn get(&self, key: &str) -> Option<&Scalar> {
        let found = self.0.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    fn text(&self, key: &str) -> Option<String> {
        match self.get(key)? {
            Scalar::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    /// A number that may be null, but not of another kind.
    fn number(&self, key: &str) -> Option<Option<f64>> {
        match self.get(key)? {
            Scalar::Number(number) => Some(Some(*number)),
            Scalar::Null => Some(None),
            Scalar::Text(_) => None,
        }
    }

    fn about(&self) -> Option<About> {
        Some(About {
            machine: self.text("machine")?,
            date: self.text("date")?,
            commit: self.text("commit")?,
            command: self.text("command")?,
        })
    }

    fn record(&self) -> Option<Record> {
        Some(Record {
            bench: self.text("bench")?,
            case: self.text("case")?,
            unit: self.text("unit")?,
            value: self.number("value")?,
            reference: self.number("reference")?,
            ratio: self.number("ratio").flatten(),
            peer: self.text("peer"),
        })
    }
}

/// A flat object: no lists, no objects within.
fn object(line: &str) -> Option<Vec<(String, Scalar)>> {
    let mut chars = line.chars().peekable();
    let mut fields = Vec::new();
    expect(&mut chars, '{')?;
    if next_is(&mut chars, '}') {
        return None;
    }
    loop {
        let key = string(&mut chars)?;
        expect(&mut chars, ':')?;
        fields.push((key, scalar(&mut chars)?));
        if next_is(&mut chars, ',') {
            continue;
        }
        expect(&mut chars, '}')?;
        skip_space(&mut chars);
        return chars.next().is_none().then_some(fields);
    }
}

fn skip_space(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
}

fn next_is(chars: &mut Peekable<Chars<'_>>, wanted: char) -> bool {
    skip_space(chars);
    chars.next_if_eq(&wanted).is_some()
}

fn expect(chars: &mut Peekable<Chars<'_>>, wanted: char) -> Option<()> {
    next_is(chars, wanted).then_some(())
}

fn scalar(chars: &mut Peekable<Chars<'_>>) -> Option<Scalar> {
    skip_space(chars);
    if chars.peek() == Some(&'"') {
        return string(chars).map(Scalar::Text);
    }
    let mut word = String::new();
    while let Some(c) = chars.next_if(|c| c.is_ascii_alphanumeric() || "+-.".contains(*c)) {
        word.push(c);
    }
    match word.as_str() {
        "null" => Some(Scalar::Null),
        // Rust would read "inf" and "nan" too, which are no JSON.
        digits if digits.starts_with(|c: char| c == '-' || c.is_ascii_digit()) => {
            let number: f64 = digits.parse().ok()?;
            number.is_finite().then_some(Scalar::Number(number))
        }
        _ => None,
    }
}

fn string(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    expect(chars, '"')?;
    let mut text = String::new();
    loop {
        match chars.next()? {
            '"' => return Some(text),
            '\\' => text.push(match chars.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                'b' => '\u{8}',
                'f' => '\u{c}',
                // Ours are control characters only; halves of a pair, which others write, are not read together.
                'u' => {
                    let digits: String = chars.by_ref().take(4).collect();
                    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
                        .unwrap_or(char::REPLACEMENT_CHARACTER)
                }
                c @ ('"' | '\\' | '/') => c,
                _ => return None,
            }),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn what_the_report_writes_is_read_back() {
        let row =
            report::Row::from_line("row\techo\t50 \"x\\y\"\tus/request\t-\t2.5\tmay").unwrap();
        let line = report::json(&report::summarise(&[row])[0]);
        let (about, records) = read(&format!("\n{line}\n")).unwrap();
        assert_eq!(about, None);
        let expected = Record {
            bench: "echo".to_owned(),
            case: r#"50 "x\y""#.to_owned(),
            unit: "us/request".to_owned(),
            value: None,
            reference: Some(2.5),
            ratio: None,
            peer: Some("may".to_owned()),
        };
        assert_eq!(records, [expected]);
    }

    #[test]
    fn the_run_is_read_back() {
        let run = About {
            machine: "a \"machine\"\t".to_owned(),
            date: "today".to_owned(),
            commit: "abc".to_owned(),
            command: "bench 'a b'".to_owned(),
        };
        assert_eq!(read(&run.json()).unwrap(), (Some(run.clone()), vec![]));
        let twice = format!("{}\n{}", run.json(), run.json());
        assert!(read(&twice).unwrap_err().contains("second run"));
    }

    #[test]
    fn a_peer_is_named_and_other_keys_are_passed_over() {
        let line = r#" { "bench" : "switch", "case":"a","unit":"ns","value":1e1,"reference":20,"ratio":0.5,"peer":"may","low":1 } "#;
        let record = &read(line).unwrap().1[0];
        assert_eq!(record.peer.as_deref(), Some("may"));
        assert_eq!((record.value, record.reference), (Some(10.0), Some(20.0)));
        assert_eq!(record.ratio, Some(0.5));
    }

    #[test]
    fn mistakes_are_named_by_their_line() {
        for line in [
            "{}",
            "bench",
            r#"{"bench":"x"}"#,
            r#"{"bench":"x","case":"c","unit":"u","value":"1","reference":2}"#,
            r#"{"bench":"x","case":"c","unit":"u","value":NaN,"reference":2}"#,
            r#"{"bench":"x","case":"c","unit":"u","value":1,"reference":2}}"#,
        ] {
            let message = read(&format!("\n{line}")).unwrap_err();
            assert!(message.contains("line 2"), "{line} gave {message}");
        }
    }
}
