//! A benchmark as bars: for each case greenloom's, those of its peers, and the limit as a line across them.
//!
//! ```text
//! title                          legend
//! case                         limit 6.2
//!   greenloom ▇▇▇▇▇▇┆▇▇ 7.4
//!   may       ▇▇▇▇▇▇┆▇▇▇▇▇▇▇▇▇▇▇ 21
//! …           0    5    10    15    20       one such panel for each unit
//! caption
//! ```
//!
//! A unit in which every number is zero (allocations, of which there must be none) is a line of text, and no panel.
#![forbid(unsafe_code)]

use super::scale::{Scale, tick_label};
use super::svg::{Anchor, CHARACTER, Stroke, Style, Svg};
use super::{Case, Look, MARGIN, OURS, Panel, WIDTH, better};
use crate::report::short;

/// Height of a bar, and of the room it has.
const BAR: f64 = 14.0;
const PITCH: f64 = 18.0;

/// Height of a case's name, and of the room below its bars.
const HEADING: f64 = 20.0;
const GAP: f64 = 8.0;

/// Right of the bars: room for a number.
const VALUES: f64 = 80.0;

/// The picture of `bench`.
pub(super) fn chart(bench: &str, panels: &[Panel], look: &Look) -> String {
    let mut svg = Svg::new(
        WIDTH,
        &format!("{bench}: greenloom beside its limit and its peers"),
    );
    svg.text((MARGIN, 32.0), Anchor::Start, Style::Title, bench);
    let mut y = legend(&mut svg, panels, look, 54.0);
    for each in panels {
        y = if each.numbers().iter().all(|&number| number == 0.0) {
            zeros(&mut svg, each, y)
        } else {
            panel(&mut svg, each, look, y)
        };
    }
    let height = look.caption(&mut svg, y);
    svg.finish(height)
}

/// Who has which colour; returns where it ends.
fn legend(svg: &mut Svg, panels: &[Panel], look: &Look, mut y: f64) -> f64 {
    let cases = || panels.iter().flat_map(|panel| &panel.cases);
    let plays = |peer: &str| cases().any(|case| case.peers.iter().any(|(name, _)| name == peer));
    let mut entries = vec![("greenloom", OURS)];
    entries.extend(
        look.peers
            .iter()
            .filter(|peer| plays(peer))
            .map(|peer| (peer.as_str(), look.colour(peer))),
    );
    let mut x = MARGIN;
    for (name, colour) in entries {
        let width = 14.0 + CHARACTER * name.chars().count() as f64;
        if x + width > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 18.0);
        }
        svg.swatch((x, y - 9.0), colour);
        svg.text((x + 14.0, y), Anchor::Start, Style::Label, name);
        x += width + 18.0;
    }
    if cases().any(|case| case.limit.is_some()) {
        let words = "limit: the reference, with nothing around it";
        if x + 28.0 + CHARACTER * words.len() as f64 > WIDTH - MARGIN {
            (x, y) = (MARGIN, y + 18.0);
        }
        svg.line((x, y - 4.0), (x + 24.0, y - 4.0), Stroke::Limit);
        svg.text((x + 30.0, y), Anchor::Start, Style::Label, words);
    }
    y + 14.0
}

/// A unit of which there is nothing to see.
fn zeros(svg: &mut Svg, panel: &Panel, y: f64) -> f64 {
    let cases = panel.cases.len();
    let words = match cases {
        1 => format!("{}: 0", panel.unit),
        _ => format!("{}: 0 in all {cases} cases", panel.unit),
    };
    svg.text((MARGIN, y + 16.0), Anchor::Start, Style::Heading, &words);
    y + 24.0
}

/// The bars of a case, from the first to the last: who, how long, which colour.
fn bars<'c>(case: &'c Case, look: &'c Look) -> Vec<(&'c str, f64, &'static str)> {
    let ours = case.ours.map(|number| ("greenloom", number, OURS));
    let theirs = case
        .peers
        .iter()
        .map(|(name, number)| (name.as_str(), *number, look.colour(name)));
    ours.into_iter().chain(theirs).collect()
}

/// All cases of one unit, over one axis; returns where it ends.
fn panel(svg: &mut Svg, panel: &Panel, look: &Look, top: f64) -> f64 {
    let all = || panel.cases.iter().map(|case| bars(case, look));
    let longest = all()
        .flatten()
        .map(|(name, ..)| name.chars().count())
        .max()
        .unwrap_or(0);
    let left = MARGIN + CHARACTER * longest as f64 + 22.0;
    let scale = Scale::for_bars(&panel.numbers(), left, WIDTH - MARGIN - VALUES);
    let rows: usize = all().map(|bars| bars.len()).sum();
    let bottom = top + rows as f64 * PITCH + panel.cases.len() as f64 * (HEADING + GAP);

    // First what lies behind.
    for &tick in scale.ticks() {
        let x = scale.at(tick);
        svg.line((x, top + 4.0), (x, bottom), Stroke::Grid);
        svg.text(
            (x, bottom + 14.0),
            Anchor::Middle,
            Style::Tick,
            &tick_label(tick),
        );
    }
    let words = format!("{} ({}{})", panel.unit, better(&panel.unit), scale.note());
    let middle = (left + WIDTH - MARGIN - VALUES) / 2.0;
    svg.text((middle, bottom + 31.0), Anchor::Middle, Style::Axis, &words);

    let mut y = top;
    for case in &panel.cases {
        svg.text(
            (MARGIN, y + 15.0),
            Anchor::Start,
            Style::Heading,
            &case.name,
        );
        if let Some(limit) = case.limit {
            let words = format!("limit {}", short(Some(limit)));
            svg.text(
                (WIDTH - MARGIN, y + 15.0),
                Anchor::End,
                Style::Limit,
                &words,
            );
        }
        y += HEADING;
        let first = y;
        let bars = bars(case, look);
        for &(name, number, colour) in &bars {
            let cost = short(Some(number));
            let note = format!("{}, {name}: {cost} {}", case.name, panel.unit);
            svg.text((left - 8.0, y + 12.0), Anchor::End, Style::Label, name);
            svg.bar(
                (left, y + 1.0),
                (scale.at(number) - left, BAR),
                colour,
                &note,
            );
            y += PITCH;
        }
        if let Some(limit) = case.limit {
            let x = scale.at(limit);
            svg.line((x, first - 3.0), (x, y), Stroke::Limit);
        }
        // Numbers last: the limit's line is not to run through them.
        let mut middle = first + 12.0;
        for (_, number, _) in bars {
            let x = scale.at(number) + 6.0;
            svg.text(
                (x, middle),
                Anchor::Start,
                Style::Value,
                &short(Some(number)),
            );
            middle += PITCH;
        }
        y += GAP;
    }
    bottom + 46.0
}
