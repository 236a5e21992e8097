//! Axes: where a number lies between two pixels, and which numbers are written beside the axis.
//!
//! ```text
//! linear   0 ──┬──┬──┬── high     steps of 1, 2 or 5 times a power of ten, up to the first that holds the highest
//! log      10ⁿ ──┬──┬──  10ᵐ      whole powers of ten, the lowest at or below every number, the highest at or above
//! ```
//!
//! A number that a logarithmic axis cannot show (zero, or less) lies at its beginning. Nothing here draws.
#![forbid(unsafe_code)]

/// About so many steps on a linear axis.
const STEPS: f64 = 5.0;

/// Numbers that lie further apart than this share no linear axis: the bars of the least would not be seen.
const FAR_APART: f64 = 50.0;

/// An axis between two places of the picture.
#[derive(Clone, Debug)]
pub(super) struct Scale {
    kind: Kind,
    ticks: Vec<f64>,
    from: f64,
    to: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Linear,
    Log,
}

impl Scale {
    /// From zero to what holds `numbers`.
    pub(super) fn linear(numbers: &[f64], from: f64, to: f64) -> Scale {
        let high = numbers.iter().copied().fold(0.0, f64::max);
        let high = if high > 0.0 { high } else { 1.0 };
        let rough = high / STEPS;
        let power = 10_f64.powi(rough.log10().floor() as i32);
        // The sum of the roundings above may leave the rough step a little over ten powers: 10 is always enough.
        let step = [1.0, 2.0, 5.0, 10.0]
            .map(|factor| factor * power)
            .into_iter()
            .find(|&step| step >= rough)
            .unwrap_or(10.0 * power);
        let steps = (high / step - 1e-9).ceil() as u32;
        Scale {
            kind: Kind::Linear,
            ticks: (0..=steps).map(|i| f64::from(i) * step).collect(),
            from,
            to,
        }
    }

    /// Over the powers of ten that hold the positive ones of `numbers`.
    pub(super) fn log(numbers: &[f64], from: f64, to: f64) -> Scale {
        let positive = || numbers.iter().copied().filter(|&n| n > 0.0);
        let low = positive().reduce(f64::min).unwrap_or(1.0);
        let high = positive().reduce(f64::max).unwrap_or(1.0);
        // A little slack, so that 1000, whose logarithm need not be 3 exactly, does not open a decade of its own.
        let first = (low.log10() + 1e-9).floor() as i32;
        let last = ((high.log10() - 1e-9).ceil() as i32).max(first + 1);
        Scale {
            kind: Kind::Log,
            ticks: (first..=last).map(|n| 10_f64.powi(n)).collect(),
            from,
            to,
        }
    }

    /// For bars of these lengths: linear, unless they lie too far apart.
    ///
    /// A logarithmic one begins a whole decade below the least, so that its bar has a length too.
    pub(super) fn for_bars(numbers: &[f64], from: f64, to: f64) -> Scale {
        let positive = || numbers.iter().copied().filter(|&n| n > 0.0);
        let low = positive().reduce(f64::min).unwrap_or(1.0);
        let high = positive().reduce(f64::max).unwrap_or(1.0);
        if high / low <= FAR_APART {
            return Scale::linear(numbers, from, to);
        }
        let below = low / 2.0;
        let mut all = numbers.to_vec();
        all.push(below);
        Scale::log(&all, from, to)
    }

    /// Where `number` lies.
    pub(super) fn at(&self, number: f64) -> f64 {
        let (low, high) = (self.ticks[0], self.ticks[self.ticks.len() - 1]);
        let share = match self.kind {
            Kind::Linear => (number - low) / (high - low),
            Kind::Log if number <= low => 0.0,
            Kind::Log => (number / low).log10() / (high / low).log10(),
        };
        self.from + share * (self.to - self.from)
    }

    /// The numbers beside the axis, in order.
    pub(super) fn ticks(&self) -> &[f64] {
        &self.ticks
    }

    /// What the axis' title has to say about it.
    pub(super) fn note(&self) -> &'static str {
        match self.kind {
            Kind::Linear => "",
            Kind::Log => ", log scale",
        }
    }
}

/// A number beside an axis: 0.5, 20, 1k, 1M.
pub(super) fn tick_label(number: f64) -> String {
    for (power, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if number >= power {
            return format!("{}{letter}", rounded(number / power));
        }
    }
    rounded(number)
}

/// Without the digits that only the arithmetic has made.
fn rounded(number: f64) -> String {
    let text = format!("{number:.9}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(scale: &Scale) -> Vec<String> {
        scale.ticks().iter().copied().map(tick_label).collect()
    }

    #[test]
    fn a_log_axis_has_every_power_of_ten_at_equal_distances() {
        let scale = Scale::log(&[1.0, 37.0, 1e6], 0.0, 600.0);
        assert_eq!(
            labels(&scale),
            ["1", "10", "100", "1k", "10k", "100k", "1M"]
        );
        for (step, &tick) in (0..).zip(scale.ticks()) {
            assert!((scale.at(tick) - 100.0 * f64::from(step)).abs() < 1e-6);
        }
        // Halfway between 10 and 1000, and not between their sum.
        assert!((scale.at(100.0) - 200.0).abs() < 1e-6);
        assert_eq!(labels(&Scale::log(&[1000.0], 0.0, 1.0)), ["1k", "10k"]);
        assert_eq!(
            labels(&Scale::log(&[0.02, 0.5], 0.0, 1.0)),
            ["0.01", "0.1", "1"]
        );
    }

    #[test]
    fn what_a_log_axis_cannot_show_lies_at_its_beginning() {
        let scale = Scale::log(&[0.0, 5.0, 50.0], 10.0, 20.0);
        assert_eq!(scale.at(0.0), 10.0);
        assert_eq!(scale.at(-1.0), 10.0);
        assert_eq!(labels(&Scale::log(&[], 0.0, 1.0)), ["1", "10"]);
    }

    #[test]
    fn a_linear_axis_has_round_steps_and_holds_the_highest() {
        for (high, expected) in [
            (13.2, &["0", "5", "10", "15"][..]),
            (0.55, &["0", "0.2", "0.4", "0.6"]),
            (100.0, &["0", "20", "40", "60", "80", "100"]),
            (156_263.0, &["0", "50k", "100k", "150k", "200k"]),
            (0.0, &["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        ] {
            let scale = Scale::linear(&[high], 0.0, 100.0);
            assert_eq!(labels(&scale), expected, "{high}");
            assert!(scale.at(high) <= 100.0);
        }
    }

    #[test]
    fn bars_far_apart_get_a_log_axis_on_which_the_least_is_seen() {
        assert_eq!(Scale::for_bars(&[1.0, 40.0], 0.0, 1.0).note(), "");
        let scale = Scale::for_bars(&[10.0, 900.0, 0.0], 0.0, 100.0);
        assert_eq!(labels(&scale), ["1", "10", "100", "1k"]);
        assert!(scale.at(10.0) > 30.0);
        assert_eq!(scale.at(0.0), 0.0);
    }
}
