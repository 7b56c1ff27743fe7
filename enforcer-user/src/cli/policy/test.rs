// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy test`: the cases of a bundle, what they reach and what they cost.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use enforcer_core::model::{ExchangeId, Facts};
use enforcer_core::policy::cases::{self, Cases, Coverage, Expectations, Outcome, Report};
use enforcer_core::policy::{Diagnostics, Policy, Sources, lacking};
use serde_json::json;

use crate::cli::paint::visible;

use super::profile::{self, Profile};
use super::recorded::{self, Journal};
use super::why::facts_line;
use super::{
    Bundle, DIFFERENCE, FINE, INVALID, Output, Streams, count, draw, load, print_json, update,
};

/// Arguments of `enforcer policy test`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    bundle: Bundle,
    /// End with 1 if no case reaches some rule.
    #[arg(long)]
    require_coverage: bool,
    /// Print the facts that each case is judged by; those of a failed case are always printed.
    #[arg(long)]
    facts: bool,
    /// Measure what each rule and each detector costs on these cases.
    #[arg(long)]
    profile: bool,
    /// Write expectations that cases lack into their files, for review; existing expectations are not changed.
    #[arg(long)]
    update: bool,
    /// Where exchanges that cases name are recorded, if not where the settings say.
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

pub(super) fn run(args: &Args, journal: &Journal<'_>, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (policy, sources) = match load(&args.bundle.dir, streams)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let expectations = if args.update { Expectations::Open } else { Expectations::Required };
    let cases = match cases::read(&policy, &sources, expectations) {
        Ok(cases) => cases,
        Err(Diagnostics(found)) => {
            draw(&found, &sources, streams)?;
            return Ok(INVALID);
        }
    };
    let named = cases.exchanges();
    let recorded: BTreeMap<ExchangeId, Facts> = if named.is_empty() {
        BTreeMap::new()
    } else {
        match recorded::facts(&named, args.state.as_deref(), journal) {
            Ok(recorded) => recorded,
            Err(failure) => return failure.tell(streams.err),
        }
    };
    let report = cases.judge(&policy, &recorded);
    if args.update
        && let Err(error) = update::expectations(&args.bundle.dir, &sources, &report, streams)?
    {
        return error.tell(streams.err);
    }
    finish(args, &policy, &sources, &cases, &report, streams)
}

fn finish(
    args: &Args,
    policy: &Policy,
    sources: &Sources,
    cases: &Cases,
    report: &Report,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let profile = args.profile.then(|| profile::measure(policy, cases, report));
    let profile = profile.transpose().map_err(io::Error::other)?;
    match args.bundle.output {
        Output::Json => {
            let mut data = json!(report);
            if let (Some(profile), Some(data)) = (&profile, data.as_object_mut()) {
                data.insert("profile".to_owned(), json!(profile));
            }
            print_json(streams, &data)?;
        }
        Output::Text => {
            print_report(report, args.facts, streams)?;
            if let Some(profile) = &profile {
                print_profile(profile, streams)?;
            }
        }
    }
    if report.cases.is_empty() {
        let folder = args.bundle.dir.join("cases");
        let has_files = sources.files.iter().any(|file| file.path.starts_with("cases/"));
        let what = if has_files { "its case files are empty" } else { "the bundle has no cases" };
        writeln!(streams.err, "warning: {what}, so nothing was tested")?;
        writeln!(streams.err, "hint: write them in `{}`", folder.display())?;
    }
    let is_complete = report.coverage.is_complete() || !args.require_coverage;
    Ok(if report.has_passed() && is_complete { FINE } else { DIFFERENCE })
}

fn print_report(report: &Report, with_facts: bool, streams: &mut Streams<'_>) -> io::Result<()> {
    report.cases.iter().try_for_each(|case| print_case(case, with_facts, streams))?;
    let failed = report.cases.iter().filter(|case| !case.has_passed()).count();
    writeln!(streams.out, "{}, {failed} failed", count(report.cases.len(), "case"))?;
    if report.cases.is_empty() {
        return Ok(());
    }
    print_coverage(&report.coverage, streams)
}

fn print_case(case: &Outcome, with_facts: bool, streams: &mut Streams<'_>) -> io::Result<()> {
    let mark = if case.has_passed() { "ok  " } else { "FAIL" };
    writeln!(streams.out, "{mark} {}:{} {}", case.file, case.line, case.name)?;
    for mismatch in &case.mismatches {
        let (expected, found) = (&mismatch.expected, &mismatch.found);
        writeln!(streams.out, "       {}: expected {expected}, found {found}", mismatch.what)?;
    }
    if let Some(facts) = case.facts.as_ref().filter(|_| with_facts || !case.has_passed()) {
        writeln!(streams.out, "       facts: {}", visible(&facts_line(facts)))?;
    }
    Ok(())
}

fn print_coverage(coverage: &Coverage, streams: &mut Streams<'_>) -> io::Result<()> {
    let reached = coverage.rules.saturating_sub(coverage.unreached.len());
    writeln!(streams.out, "{reached} of {} reached", count(coverage.rules, "rule"))?;
    for rule in &coverage.unreached {
        let place = format!("{}:{}", rule.file, rule.line);
        let why = match &rule.nearest {
            None => "no case is in its scope".to_owned(),
            Some(near) => format!("nearly by `{}`: {}", near.case, lacking(&near.unmet)),
        };
        writeln!(streams.out, "  no case reaches {} ({place}): {why}", rule.id)?;
    }
    Ok(())
}

fn print_profile(profile: &Profile, streams: &mut Streams<'_>) -> io::Result<()> {
    let out = &mut streams.out;
    writeln!(
        out,
        "\none decision: {:.1} µs on average over {}",
        profile.decision_us,
        count(profile.cases, "case")
    )?;
    let rules = profile.rules.iter().map(|rule| rule.name.len()).max().unwrap_or(0).max(4);
    writeln!(out, "\n{:rules$}  {:>8}  {:>9}", "RULE", "IN SCOPE", "EACH µs")?;
    for rule in &profile.rules {
        writeln!(out, "{:rules$}  {:>8}  {:>9.2}", rule.name, rule.runs, rule.each_us)?;
    }
    if profile.texts == 0 {
        return writeln!(out, "\nno case has a request with a body, so detectors had no text");
    }
    let names = profile.detectors.iter().map(|found| found.name.len()).max().unwrap_or(0).max(8);
    writeln!(out, "\n{:names$}  {:>8}  {:>9}", "DETECTOR", "TEXTS", "EACH µs")?;
    for found in &profile.detectors {
        writeln!(out, "{:names$}  {:>8}  {:>9.2}", found.name, found.runs, found.each_us)?;
    }
    Ok(())
}
