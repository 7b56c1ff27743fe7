// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy diff`: what differs in meaning between two bundles, folders or git revisions. Exit 1 if
//! anything does, so that a pipeline can ask for a second look.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use enforcer_core::model::UnixMillis;
use enforcer_core::policy::diff::{
    CaseChange, Difference, InventoryChange, RuleChange, RuleText, ScopeChange, Side, Tendency,
    compare,
};
use enforcer_core::policy::{Compiled, Policy, Sources, compile};
use enforcer_core::record::{Event, EventBody};
use enforcer_core::replay::{Change, Replay, Report};
use serde_json::json;

use super::recorded::Journal;
use super::{DIFFERENCE, FINE, INVALID, Output, Streams, USAGE, count, draw, print_json, read};
use crate::cli::paint::{Paint, visible};
use crate::cli::{Failure, replay, wait};
use crate::config::git::read_revision;
use crate::runtime::{Clock, chain};

/// Arguments of `enforcer policy diff`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The old bundle and the new one: folders, or `REVISION:PATH` in git.
    #[arg(value_name = "BUNDLE", required = true, num_args = 1..=2)]
    bundles: Vec<String>,
    /// Compare one folder with what it was in this git revision.
    #[arg(long, value_name = "REVISION")]
    git: Option<String>,
    /// Compare on recorded exchanges, too.
    #[arg(long)]
    replay: bool,
    /// Only what happened since then: `90s`, `15m`, `12h`, `7d`, `2w`.
    #[arg(long, value_name = "AGO", requires = "replay")]
    since: Option<String>,
    /// Where exchanges are recorded, if not where the settings say.
    #[arg(long, value_name = "DIR", requires = "replay")]
    state: Option<PathBuf>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, journal: &Journal<'_>, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (old, new) = match (args.bundles.as_slice(), &args.git) {
        ([old, new], None) => (side(old, streams)?, side(new, streams)?),
        ([dir], Some(revision)) => {
            (at_revision(Path::new(dir), revision, "./", streams)?, side(dir, streams)?)
        }
        _ => {
            writeln!(streams.err, "error: a comparison needs two bundles")?;
            writeln!(streams.err, "hint: `policy diff OLD NEW`, or `policy diff --git main DIR`")?;
            return Ok(USAGE);
        }
    };
    let ((old_sources, old_policy), (new_sources, new_policy)) = match (old, new) {
        (Ok(old), Ok(new)) => (old, new),
        (Err(code), _) | (_, Err(code)) => return Ok(code),
    };
    let difference = compare(
        Side { policy: &old_policy, sources: &old_sources },
        Side { policy: &new_policy, sources: &new_sources },
    );
    let replayed = if args.replay {
        match replayed(args, &old_policy, &new_policy, journal) {
            Ok(report) => Some(report),
            Err(failure) => return failure.tell(streams.err),
        }
    } else {
        None
    };
    let is_same =
        difference.is_empty() && replayed.as_ref().is_none_or(|report| report.changed() == 0);
    match args.output {
        Output::Json => {
            let mut data = json!(difference);
            if let (Some(report), Some(data)) = (&replayed, data.as_object_mut()) {
                data.insert("replay".to_owned(), json!(report));
            }
            print_json(streams, &data)?;
        }
        Output::Text => {
            let paint = Paint { colors: streams.paints_data };
            streams.out.write_all(text(&difference, paint).as_bytes())?;
            if let Some(report) = &replayed {
                writeln!(streams.out, "\nrecorded exchanges")?;
                streams.out.write_all(replay::text(report, &new_policy, paint).as_bytes())?;
            }
        }
    }
    Ok(if is_same { FINE } else { DIFFERENCE })
}

type Read = Result<(Sources, Policy), u8>;

/// A bundle in a folder, or at `REVISION:PATH` of the repository around the working directory.
fn side(name: &str, streams: &mut Streams<'_>) -> io::Result<Read> {
    match name.split_once(':') {
        Some((revision, path)) if !Path::new(name).exists() => {
            at_revision(Path::new("."), revision, path, streams)
        }
        _ => match read(Path::new(name), streams)? {
            Ok(sources) => compiled(name, sources, streams),
            Err(code) => Ok(Err(code)),
        },
    }
}

fn at_revision(
    dir: &Path,
    revision: &str,
    path: &str,
    streams: &mut Streams<'_>,
) -> io::Result<Read> {
    match read_revision(dir, revision, path) {
        Ok(sources) => compiled(&format!("{revision}:{path}"), sources, streams),
        Err(error) => {
            writeln!(streams.err, "error: {}", chain(&error))?;
            writeln!(
                streams.err,
                "hint: `git log --oneline` lists revisions; a bundle is a folder"
            )?;
            Ok(Err(USAGE))
        }
    }
}

fn compiled(name: &str, sources: Sources, streams: &mut Streams<'_>) -> io::Result<Read> {
    match compile(&sources) {
        Ok(Compiled { policy, .. }) => Ok(Ok((sources, policy))),
        Err(problems) => {
            draw(&problems.0, &sources, streams)?;
            writeln!(streams.err, "{name}: {}", count(problems.error_count(), "error"))?;
            Ok(Err(INVALID))
        }
    }
}

/// Both policies on what was recorded: what the old one decides stands for what was decided.
fn replayed(
    args: &Args,
    old: &Policy,
    new: &Policy,
    journal: &Journal<'_>,
) -> Result<Report, Failure> {
    let since: UnixMillis = replay::since(args.since.as_deref(), Clock::system().now())?;
    let source = journal(args.state.as_deref())?;
    let mut report = Replay::new(|facts| new.decide_again(facts));
    let mut undetermined = 0;
    let mut take = |mut event: Event| {
        if let EventBody::ExchangeOpened(opened) = &mut event.body {
            match old.decide_again(&opened.facts) {
                Some(decision) => opened.decision = decision,
                None => {
                    undetermined += 1;
                    return;
                }
            }
        }
        report.push(&event);
    };
    wait(replay::walk(&source, since, &mut take))?;
    let mut report = report.finish();
    report.undetermined += undetermined;
    Ok(report)
}

fn text(difference: &Difference, paint: Paint) -> String {
    let (old, new) = (&difference.old, &difference.new);
    let mut text = format!("policy {old} → {new}\n");
    if !difference.inventory.is_empty() {
        text += "\ninventory\n";
    }
    difference.inventory.iter().for_each(|change| text += &inventory(change));
    difference.scopes.iter().for_each(|change| text += &scope(change, paint));
    let judged = count(difference.cases_judged, "case");
    if !difference.cases.is_empty() {
        let of = |change: &Change| {
            difference.cases.iter().filter(|case| case.changes.contains(change)).count()
        };
        text += &format!(
            "\n{} of {judged} ({} allow → deny, {} deny → allow)\n",
            difference.cases.len(),
            of(&Change::AllowToDeny),
            of(&Change::DenyToAllow)
        );
    }
    difference.cases.iter().for_each(|change| text += &case(change, paint));
    if difference.is_empty() {
        text += &format!("{} in meaning ({judged} judged)\n", paint.good("no difference"));
    }
    text
}

fn inventory(change: &InventoryChange) -> String {
    match (&change.old, &change.new) {
        (None, Some(new)) => format!("  + {} = {new}\n", change.key),
        (Some(old), None) => format!("  - {} = {old}\n", change.key),
        (Some(old), Some(new)) => format!("  ~ {}: {old} → {new}\n", change.key),
        (None, None) => String::new(),
    }
}

fn scope(change: &ScopeChange, paint: Paint) -> String {
    let agents: Vec<&str> = change.agents.iter().map(|name| name.as_str()).collect();
    let endpoints: Vec<&str> = change.endpoints.iter().map(|name| name.as_str()).collect();
    let actions: Vec<&str> = change.actions.iter().copied().collect();
    let tendency = match change.tendency {
        Tendency::Either => paint.bad("may allow or deny more"),
        Tendency::MayAllowMore => paint.bad("may ALLOW more"),
        Tendency::MayDenyMore => "may deny more".to_owned(),
        Tendency::Obligations => "obligations".to_owned(),
    };
    let mut text = format!(
        "\n{} × {} × {}: {tendency}\n",
        agents.join(", "),
        endpoints.join(", "),
        actions.join(", ")
    );
    for rule in &change.rules {
        text += &match rule {
            RuleChange::Gained(rule) => whole("+", rule),
            RuleChange::Lost(rule) => whole("-", rule),
            RuleChange::Changed { old, new } => changed(old, new),
        };
    }
    text
}

fn heading(sign: &str, rule: &RuleText) -> String {
    let effect = if rule.is_permit { "permit" } else { "forbid" };
    format!("  {sign} {effect} {} ({}:{})\n", rule.id, rule.file, rule.line)
}

fn whole(sign: &str, rule: &RuleText) -> String {
    let mut text = heading(sign, rule);
    for said in &rule.says {
        // Writing into a String does not fail.
        let _infallible = writeln!(text, "      {}", visible(said));
    }
    text
}

fn changed(old: &RuleText, new: &RuleText) -> String {
    let mut text = heading("~", new);
    if old.is_permit != new.is_permit {
        text += "      it was the opposite\n";
    }
    for (sign, one, other) in [("-", old, new), ("+", new, old)] {
        for said in one.says.difference(&other.says) {
            let _infallible = writeln!(text, "      {sign} {}", visible(said));
        }
    }
    text
}

fn case(change: &CaseChange, paint: Paint) -> String {
    let changes: Vec<String> =
        change.changes.iter().map(|change| replay::named(change, paint)).collect();
    let by = change.new.as_ref().map(super::why::because).unwrap_or_default();
    format!(
        "  {}  {} ({}:{}), {by}\n",
        changes.join(", "),
        visible(&change.name),
        change.file,
        change.line
    )
}
