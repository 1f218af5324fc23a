//! Results: a table for people as they come, JSON for programs at the end.

use std::{fs, path::Path};

use proxy_ebpf::key::IPV4;
use serde_json::{Value, json};

/// What was measured several times.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// The value below which `share` of them are, 0 to 1; NaN of nothing.
    pub(crate) fn at(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "an index"
        )]
        let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(index).copied().unwrap_or(f64::NAN)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.0.iter().copied()
    }

    pub(crate) fn median(&self) -> f64 {
        self.at(0.5)
    }

    /// Each divided by what was measured beside it.
    pub(crate) fn over(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a / b).collect())
    }

    /// Each less what was measured beside it.
    pub(crate) fn less(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a - b).collect())
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        Self(values.into_iter().collect())
    }
}

/// All that was measured.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<Value>,
    missed: Vec<String>,
}

impl Report {
    /// Begins a part: what it is about, and the names of its columns.
    pub(crate) fn part(&mut self, about: &str, columns: &str) {
        println!("\n{about}\n{:58}{columns}", "");
    }

    /// A distribution: the ratio to something first, if there is one.
    pub(crate) fn row(&mut self, what: &str, unit: &str, ratio: Option<&Samples>, of: &Samples) {
        let shown = ratio.map_or_else(String::new, |ratio| format!("{:.2}", ratio.median()));
        println!(
            "{what:56} {shown:>6} {:>9.0} {:>9.0} {:>9.0} {unit}",
            of.median(),
            of.at(0.25),
            of.at(0.75),
        );
        self.rows.push(json!({
            "what": what,
            "unit": unit,
            "ratio": ratio.map(Samples::median),
            "median": of.median(),
            "p25": of.at(0.25),
            "p75": of.at(0.75),
        }));
    }

    /// Several numbers of one thing, each with its name.
    pub(crate) fn numbers(&mut self, what: &str, numbers: &[(&str, f64)]) {
        let shown: Vec<_> = numbers
            .iter()
            .map(|(name, value)| format!("{name} {value:.1}"))
            .collect();
        println!("{what:56} {}", shown.join(", "));
        let mut row = json!({ "what": what });
        for (name, value) in numbers {
            row[name] = json!(value);
        }
        self.rows.push(row);
    }

    /// Something that could not be measured, and why.
    pub(crate) fn absent(&mut self, what: &str, why: &str) {
        println!("{what:56} not measured: {why}");
        self.rows.push(json!({ "what": what, "absent": why }));
    }

    /// Something that is to be at most so much.
    pub(crate) fn goal(&mut self, what: &str, value: f64, most: f64) {
        let met = value <= most;
        println!(
            "{} {what}: {value:.2} (at most {most})",
            if met { "met:   " } else { "MISSED:" }
        );
        if !met {
            self.missed.push(what.to_owned());
        }
        self.rows
            .push(json!({ "goal": what, "value": value, "at_most": most, "met": met }));
    }

    pub(crate) fn goals_are_met(&self) -> bool {
        self.missed.is_empty()
    }

    /// Writes the rows as JSON.
    pub(crate) fn write(&self, path: &Path) {
        let text = format!("{:#}\n", json!({ "bypass": self.rows }));
        fs::write(path, text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    }
}

pub(crate) fn name(family: u32) -> &'static str {
    if family == IPV4 { "IPv4" } else { "IPv6" }
}

pub(crate) fn count(entries: usize) -> String {
    match entries {
        1_000_000.. => format!("{} M", entries / 1_000_000),
        1000.. => format!("{} k", entries / 1000),
        _ => entries.to_string(),
    }
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
pub(crate) fn mebibytes(octets: u64) -> f64 {
    octets as f64 / f64::from(1 << 20)
}
