//! Cost against number of greenlets, both on logarithmic axes: a cost that does not grow is a level line.
//!
//! ```text
//! title
//! unit │      ·──·            who, by the height of the last point
//!      │ ·──·╱
//!      └──────────── number
//! ```
//!
//! A case's first number is its place on the axis, and what is left of its name is the kind, of which each has a panel:
//! `10 tasks` and `1 task` are two points of one curve. Zeros have no place on such an axis and are left out.
#![forbid(unsafe_code)]

use super::scale::{Scale, tick_label};
use super::svg::{Anchor, Stroke, Style, Svg};
use super::{Look, MARGIN, OURS, Panel, WIDTH, better};
use crate::report::short;

/// Where the curves are, from left to right; the names are right of it.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 640.0;

/// Height of the room for the curves of one kind.
const HEIGHT: f64 = 320.0;

/// Points of one who, in one kind of case.
struct Curve {
    who: Who,
    /// What is left of the cases' names.
    kind: String,
    points: Vec<(f64, f64)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Who {
    Ours,
    Limit,
    Peer(String),
}

impl Who {
    fn name(&self) -> &str {
        match self {
            Who::Ours => "greenloom",
            Who::Limit => "limit",
            Who::Peer(name) => name,
        }
    }

    /// `None` for what is drawn as limits are.
    fn colour(&self, look: &Look) -> Option<&'static str> {
        match self {
            Who::Ours => Some(OURS),
            Who::Limit => None,
            Who::Peer(name) => Some(look.colour(name)),
        }
    }
}

/// The picture of `bench`, or `None` if nobody has two points.
pub(super) fn chart(bench: &str, panels: &[Panel], look: &Look) -> Option<String> {
    let mut drawn: Vec<(&Panel, Vec<Curve>)> = Vec::new();
    for panel in panels {
        let mut rest = curves(panel);
        while let Some(first) = rest.first() {
            let kind = first.kind.clone();
            let same = |curve: &mut Curve| curve.kind == kind;
            drawn.push((panel, rest.extract_if(.., same).collect()));
        }
    }
    drawn.retain(|(_, curves)| curves.iter().any(|curve| curve.points.len() > 1));
    if drawn.is_empty() {
        return None;
    }
    let title = format!("{bench}: cost against number of greenlets");
    let mut svg = Svg::new(WIDTH, &title);
    svg.text((MARGIN, 32.0), Anchor::Start, Style::Title, &title);
    let mut y = 44.0;
    for (panel, curves) in &drawn {
        y = draw(&mut svg, panel, curves, look, y);
    }
    let height = look.caption(&mut svg, y);
    Some(svg.finish(height))
}

/// The number in a case's name, and the rest of it, in which one and many are the same word.
fn split(case: &str) -> Option<(f64, String)> {
    let start = case.find(|c: char| c.is_ascii_digit())?;
    let digits = &case[start..];
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let number: f64 = digits[..end].parse().ok()?;
    let words = case[..start]
        .split_whitespace()
        .chain(digits[end..].split_whitespace());
    let plural = |word: &str| match word {
        "task" => "tasks".to_owned(),
        "task," => "tasks,".to_owned(),
        "greenlet" => "greenlets".to_owned(),
        "greenlet," => "greenlets,".to_owned(),
        word => word.to_owned(),
    };
    let kind: Vec<String> = words.map(plural).collect();
    (number > 0.0).then(|| (number, kind.join(" ")))
}

/// The curves of one unit, each by its numbers.
fn curves(panel: &Panel) -> Vec<Curve> {
    let mut curves: Vec<Curve> = Vec::new();
    for case in &panel.cases {
        let Some((number, kind)) = split(&case.name) else {
            continue;
        };
        let mut add = |who: Who, cost: Option<f64>| {
            let Some(cost) = cost.filter(|&cost| cost > 0.0) else {
                return;
            };
            let known = |curve: &&mut Curve| curve.who == who && curve.kind == kind;
            match curves.iter_mut().find(known) {
                Some(curve) => curve.points.push((number, cost)),
                None => curves.push(Curve {
                    who,
                    kind: kind.clone(),
                    points: vec![(number, cost)],
                }),
            }
        };
        add(Who::Ours, case.ours);
        add(Who::Limit, case.limit);
        for (name, cost) in &case.peers {
            add(Who::Peer(name.clone()), Some(*cost));
        }
    }
    for curve in &mut curves {
        curve.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    curves
}

/// One kind of one unit; returns where it ends.
fn draw(svg: &mut Svg, panel: &Panel, curves: &[Curve], look: &Look, top: f64) -> f64 {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let numbers: Vec<f64> = points().map(|point| point.0).collect();
    let costs: Vec<f64> = points().map(|point| point.1).collect();
    let (upper, lower) = (top + 34.0, top + HEIGHT);
    let across = Scale::log(&numbers, LEFT, RIGHT);
    let up = Scale::log(&costs, lower, upper);

    let words = format!("{} ({}{})", panel.unit, better(&panel.unit), up.note());
    svg.text((MARGIN, top + 20.0), Anchor::Start, Style::Axis, &words);
    for &tick in up.ticks() {
        let y = up.at(tick);
        svg.line((LEFT, y), (RIGHT, y), Stroke::Grid);
        svg.text(
            (LEFT - 8.0, y + 4.0),
            Anchor::End,
            Style::Tick,
            &tick_label(tick),
        );
    }
    for &tick in across.ticks() {
        let x = across.at(tick);
        svg.line((x, upper), (x, lower), Stroke::Grid);
        svg.text(
            (x, lower + 16.0),
            Anchor::Middle,
            Style::Tick,
            &tick_label(tick),
        );
    }
    let words = match curves[0].kind.as_str() {
        "batch" => "tasks at once (log scale)".to_owned(),
        kind => format!("number of {kind} (log scale)"),
    };
    let middle = (LEFT + RIGHT) / 2.0;
    svg.text((middle, lower + 34.0), Anchor::Middle, Style::Axis, &words);

    let place = |&(number, cost): &(f64, f64)| (across.at(number), up.at(cost));
    // Ours last, and so on top of the others.
    for curve in curves.iter().rev() {
        let name = curve.who.name();
        let noted: Vec<_> = curve
            .points
            .iter()
            .map(|point| {
                let cost = short(Some(point.1));
                let note = format!("{} {}, {name}: {cost} {}", point.0, curve.kind, panel.unit);
                (place(point), note)
            })
            .collect();
        svg.curve(&noted, curve.who.colour(look));
    }
    // Numbers at ours only, over everything else: at all of them nobody could read any.
    for curve in curves.iter().filter(|curve| curve.who == Who::Ours) {
        for point in &curve.points {
            let (x, y) = place(point);
            let cost = short(Some(point.1));
            svg.text((x, y - 8.0), Anchor::Middle, Style::Value, &cost);
        }
    }

    // Names in the order of the curves' ends, which is how the eye meets them.
    let last = |curve: &Curve| curve.points.last().map_or(0.0, |point| point.1);
    let mut order: Vec<&Curve> = curves.iter().collect();
    order.sort_by(|a, b| last(b).total_cmp(&last(a)));
    let mut y = upper + 10.0;
    for curve in order {
        let x = RIGHT + 24.0;
        match curve.who.colour(look) {
            Some(colour) => svg.swatch((x, y - 9.0), colour),
            None => svg.line((x - 6.0, y - 4.0), (x + 10.0, y - 4.0), Stroke::Limit),
        }
        let name = curve.who.name();
        svg.text((x + 16.0, y), Anchor::Start, Style::Label, name);
        y += 17.0;
    }
    (lower + 46.0).max(y)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_a_number_and_a_kind() {
        let of = |case| split(case).map(|(number, kind)| format!("{number}|{kind}"));
        assert_eq!(of("1 task").as_deref(), Some("1|tasks"));
        assert_eq!(of("10000 tasks").as_deref(), Some("10000|tasks"));
        assert_eq!(of("batch 1000").as_deref(), Some("1000|batch"));
        assert_eq!(
            of("10 greenlets, memory").as_deref(),
            Some("10|greenlets, memory")
        );
        assert_eq!(of("unbounded"), None);
    }
}
