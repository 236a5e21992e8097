//! A picture as text: rectangles, lines, paths and words, each written in full when it is drawn.
//!
//! A chart here is a few dozen such elements. Crates for plots bring more than a hundred times this file, and still leave
//! bars with names beside them, a limit as a line, and the caption to whoever uses them.
//!
//! Whatever comes from outside goes through [`escape`]; colours and classes are this program's own words. Characters
//! that XML has no way to write become U+FFFD.
#![forbid(unsafe_code)]

use std::fmt::Write as _;

/// Where a text stands: `x` is its beginning, middle or end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text looks, by its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// The chart's name.
    Title,
    /// Of a group of bars, or of a panel.
    Heading,
    /// Beside a bar or in the legend.
    Label,
    /// A number at a bar or a point.
    Value,
    /// What the limit is.
    Limit,
    /// A number beside an axis.
    Tick,
    /// What an axis counts.
    Axis,
    /// Where the numbers come from.
    Caption,
}

impl Style {
    fn class(self) -> &'static str {
        match self {
            Style::Title => "title",
            Style::Heading => "heading",
            Style::Label => "label",
            Style::Value => "value",
            Style::Limit => "limit-value",
            Style::Tick => "tick",
            Style::Axis => "axis",
            Style::Caption => "caption",
        }
    }
}

/// How a line looks, by its job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stroke {
    /// Behind everything, at a tick.
    Grid,
    /// What the numbers are held against.
    Limit,
}

/// Looks of every class. No font is brought along: the reader's own sans-serif does.
const STYLE: &str = "\
text{font-family:'Helvetica Neue',Arial,'Liberation Sans',sans-serif;font-size:12px;fill:#222}\
.title{font-size:18px;font-weight:bold}.heading{font-weight:bold}\
.tick,.caption{font-size:11px;fill:#555}.limit-value{font-size:11px;fill:#a84a00}\
.value{font-size:11px;paint-order:stroke;stroke:white;stroke-width:3px}\
.grid{stroke:#ddd;stroke-width:1}.limit{stroke:#d55e00;stroke-width:2;stroke-dasharray:5 3}\
.curve{fill:none;stroke-width:2}";

/// Width of a character of text, about: what a reader's font makes of it is not known here.
pub(super) const CHARACTER: f64 = 6.6;

/// A picture that is being drawn.
#[derive(Debug)]
pub(super) struct Svg {
    width: f64,
    title: String,
    body: String,
}

impl Svg {
    /// An empty one.
    pub(super) fn new(width: f64, title: &str) -> Svg {
        Svg {
            width,
            title: title.to_owned(),
            body: String::new(),
        }
    }

    /// A filled rectangle, with a note for who points at it.
    pub(super) fn bar(
        &mut self,
        (x, y): (f64, f64),
        (width, height): (f64, f64),
        fill: &str,
        note: &str,
    ) {
        let _ = writeln!(
            self.body,
            r#"<rect class="bar" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}" fill="{fill}"><title>{}</title></rect>"#,
            escape(note)
        );
    }

    /// A small square of a colour, for a legend.
    pub(super) fn swatch(&mut self, (x, y): (f64, f64), fill: &str) {
        let _ = writeln!(
            self.body,
            r#"<rect class="swatch" x="{x:.1}" y="{y:.1}" width="10" height="10" fill="{fill}"/>"#
        );
    }

    /// A straight line.
    pub(super) fn line(&mut self, from: (f64, f64), to: (f64, f64), stroke: Stroke) {
        let class = match stroke {
            Stroke::Grid => "grid",
            Stroke::Limit => "limit",
        };
        let _ = writeln!(
            self.body,
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        );
    }

    /// A line through points, with a dot and a note at each. `limit`: as the limit is drawn, in place of a colour.
    pub(super) fn curve(&mut self, points: &[((f64, f64), String)], colour: Option<&str>) {
        let mut path = String::new();
        for ((x, y), _) in points {
            let _ = write!(path, "{x:.1},{y:.1} ");
        }
        let colour = match colour {
            Some(colour) => {
                let path = path.trim_end();
                let _ = writeln!(
                    self.body,
                    r#"<polyline class="curve" points="{path}" stroke="{colour}"/>"#
                );
                colour
            }
            None => {
                let path = path.trim_end();
                let _ = writeln!(
                    self.body,
                    r#"<polyline class="limit" points="{path}" fill="none"/>"#
                );
                "#d55e00"
            }
        };
        for ((x, y), note) in points {
            let _ = writeln!(
                self.body,
                r#"<circle class="point" cx="{x:.1}" cy="{y:.1}" r="3.5" fill="{colour}"><title>{}</title></circle>"#,
                escape(note)
            );
        }
    }

    /// Words.
    pub(super) fn text(&mut self, (x, y): (f64, f64), anchor: Anchor, style: Style, text: &str) {
        let anchor = match anchor {
            Anchor::Start => "start",
            Anchor::Middle => "middle",
            Anchor::End => "end",
        };
        let _ = writeln!(
            self.body,
            r#"<text class="{}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            style.class(),
            escape(text)
        );
    }

    /// The whole document, so high.
    pub(super) fn finish(self, height: f64) -> String {
        let Svg { width, title, body } = self;
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" width=\"{width:.0}\" height=\"{height:.0}\" \
             viewBox=\"0 0 {width:.0} {height:.0}\">\n\
             <title>{}</title>\n<style>{STYLE}</style>\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n{body}</svg>\n",
            escape(&title)
        )
    }
}

/// Text as XML can hold it, between tags and within quotes.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\t' | '\n' | '\r' => out.push(' '),
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_in_xml_is_escaped() {
        assert_eq!(
            escape(r#"a<b> & "c"	d"#),
            "a&lt;b&gt; &amp; &quot;c&quot; d"
        );
        assert_eq!(escape("bell \x07, 10 µs"), "bell \u{fffd}, 10 µs");
    }
}
