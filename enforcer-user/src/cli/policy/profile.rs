// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What single rules and detectors cost, measured here and now on the cases of a bundle.
//!
//! Each is run until [`ENOUGH`] has passed or [`RUNS_MAX`] runs are done. The numbers are of this machine and
//! tell which one is expensive; what a decision may cost is measured by the benches.

use std::hint::black_box;
use std::time::{Duration, Instant};

use enforcer_core::model::Facts;
use enforcer_core::policy::Policy;
use enforcer_core::policy::cases::{Cases, Report};
use serde::Serialize;

/// Time spent on one rule or detector.
const ENOUGH: Duration = Duration::from_millis(5);
/// Runs of one rule or detector at most.
const RUNS_MAX: u32 = 10_000;

/// What it costs.
#[derive(Debug, Serialize)]
pub(super) struct Profile {
    /// Cases that could be judged.
    pub(super) cases: usize,
    /// Bodies of raw requests.
    pub(super) texts: usize,
    /// One decision on average, in microseconds.
    pub(super) decision_us: f64,
    /// Each rule, the most expensive first.
    pub(super) rules: Vec<Cost>,
    /// Each detector, the most expensive first.
    pub(super) detectors: Vec<Cost>,
}

/// What one of them costs.
#[derive(Debug, Serialize)]
pub(super) struct Cost {
    /// Its name.
    pub(super) name: String,
    /// Cases that are in its scope, or texts that it looked at.
    pub(super) runs: usize,
    /// One run on average, in microseconds.
    pub(super) each_us: f64,
}

pub(super) fn measure(policy: &Policy, cases: &Cases, report: &Report) -> Result<Profile, String> {
    let facts: Vec<Facts> = report.cases.iter().filter_map(|case| case.facts.clone()).collect();
    let texts: Vec<String> = cases
        .requests()
        .map(|request| String::from_utf8_lossy(&request.body).into_owned())
        .filter(|text| !text.is_empty())
        .collect();
    let probe = policy.probe()?;
    let mut rules = Vec::new();
    for id in probe.rules() {
        let trials = probe.trials(id, &facts);
        let each_us = mean_us(&trials, |trial| trial.run());
        rules.push(Cost { name: id.to_string(), runs: trials.len(), each_us });
    }
    let mut detectors = Vec::new();
    for (name, set) in probe.detectors() {
        let each_us = mean_us(&texts, |text| set.detect(text));
        detectors.push(Cost { name: name.to_string(), runs: texts.len(), each_us });
    }
    for costs in [&mut rules, &mut detectors] {
        costs.sort_by(|left, right| {
            right.each_us.total_cmp(&left.each_us).then_with(|| left.name.cmp(&right.name))
        });
    }
    let decision_us = mean_us(&facts, |facts| policy.decide(facts));
    Ok(Profile { cases: facts.len(), texts: texts.len(), decision_us, rules, detectors })
}

/// Runs over all items again and again; the mean of one run in microseconds, 0 without an item.
fn mean_us<T, R>(items: &[T], run: impl Fn(&T) -> R) -> f64 {
    let (Some(first), Ok(count)) = (items.first(), u32::try_from(items.len())) else { return 0.0 };
    // The first run finds everything cold.
    black_box(run(first));
    let (started, mut runs) = (Instant::now(), 0_u32);
    loop {
        items.iter().for_each(|item| drop(black_box(run(item))));
        runs = runs.saturating_add(count);
        let took = started.elapsed();
        if took >= ENOUGH || runs >= RUNS_MAX {
            return took.as_secs_f64() * 1e6 / f64::from(runs);
        }
    }
}
