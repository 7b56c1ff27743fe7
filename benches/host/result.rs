// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was measured, as a table and as JSON. Times are nanoseconds.

use std::io::Write as _;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::client::Kind;

/// One thing without and with the programs.
pub(crate) struct Comparison {
    kind: Kind,
    rounds: usize,
    without: f64,
    with: f64,
    /// Median of the differences of neighbors, and the quarters around it.
    difference: f64,
    lower: f64,
    upper: f64,
}

impl Comparison {
    /// From pairs of neighbors: without, with.
    pub(crate) fn new(kind: Kind, pairs: Vec<(f64, f64)>) -> Self {
        let differences: Vec<_> = pairs.iter().map(|(without, with)| with - without).collect();
        let (without, with): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
        Self {
            kind,
            rounds: with.len(),
            without: quantile(without, 2),
            with: quantile(with, 2),
            lower: quantile(differences.clone(), 1),
            upper: quantile(differences.clone(), 3),
            difference: quantile(differences, 2),
        }
    }

    fn json(&self) -> Value {
        json!({
            "what": self.kind.name(),
            "rounds": self.rounds,
            "without_ns": self.without.round(),
            "with_ns": self.with.round(),
            "difference_ns": self.difference.round(),
            "difference_quarters_ns": [self.lower.round(), self.upper.round()],
        })
    }
}

/// The value below which so many quarters of the values are.
fn quantile(mut values: Vec<f64>, quarters: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) * quarters / 4).copied().unwrap_or_default()
}

/// One program, as the kernel counts it; the count itself takes a part of each run.
pub(crate) struct Hook {
    pub(crate) name: &'static str,
    pub(crate) runs: u64,
    pub(crate) time: Duration,
}

impl Hook {
    fn each(&self) -> u128 {
        self.time.as_nanos().checked_div(u128::from(self.runs)).unwrap_or_default()
    }
}

pub(crate) struct Report {
    pub(crate) beside: Vec<Comparison>,
    /// As `beside`, with everybody watched.
    pub(crate) watched: Vec<Comparison>,
    pub(crate) detached: Vec<Comparison>,
    pub(crate) hooks: Vec<Hook>,
}

impl Report {
    /// What a `connect()` costs more, by whichever comparison says more.
    pub(crate) fn connect_more(&self) -> f64 {
        let both = self.beside.iter().chain(&self.watched).chain(&self.detached);
        let connects =
            both.filter(|comparison| matches!(comparison.kind, Kind::Connect | Kind::Refused));
        connects.map(|comparison| comparison.difference).fold(f64::NEG_INFINITY, f64::max)
    }

    pub(crate) fn print(&self) -> Result<()> {
        let mut out = std::io::stdout();
        for (title, comparisons) in
            [("beside", &self.beside), ("watched", &self.watched), ("detached", &self.detached)]
        {
            writeln!(out, "{title:10} {:>9} {:>9} {:>7}   quarters", "without", "with", "more")?;
            for c in comparisons {
                let (name, rounds) = (c.kind.name(), c.rounds);
                let [without, with, more] = [c.without, c.with, c.difference];
                let (lower, upper) = (c.lower, c.upper);
                writeln!(
                    out,
                    "{name:10} {without:9.0} {with:9.0} {more:7.0}   {lower:.0} to {upper:.0}, {rounds} rounds"
                )?;
            }
        }
        writeln!(out, "{:14} {:>8} {:>9}", "program", "ns", "runs")?;
        for hook in &self.hooks {
            writeln!(out, "{:14} {:8} {:9}", hook.name, hook.each(), hook.runs)?;
        }
        Ok(())
    }

    pub(crate) fn json(&self) -> Value {
        let comparisons = |list: &[Comparison]| Value::from_iter(list.iter().map(Comparison::json));
        let hook = |hook: &Hook| json!({ "program": hook.name, "ns": u64::try_from(hook.each()).unwrap_or(u64::MAX), "runs": hook.runs });
        json!({
            "beside": comparisons(&self.beside),
            "watched": comparisons(&self.watched),
            "detached": comparisons(&self.detached),
            "programs": Value::from_iter(self.hooks.iter().map(hook)),
        })
    }
}
