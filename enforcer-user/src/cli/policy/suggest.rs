// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy suggest`: rules and cases from what was recorded, for a person to review.
//!
//! Prints text, or writes new files beside the others. Changes no file that exists; nothing is in force that
//! nobody committed.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use enforcer_core::model::{AgentName, DenyReason, Effect};
use enforcer_core::policy::suggest::{Suggest, Suggestion};
use enforcer_core::policy::{CASES_FOLDER, Endpoint, INVENTORY_FILE, Policy, RULES_SUFFIX};
use enforcer_core::record::EventBody;
use serde_json::json;

use super::recorded::{Journal, opened};
use super::{FINE, HOST, Output, Streams, USAGE, count, load, print_json};
use crate::cli::{Failure, replay, wait};
use crate::runtime::Clock;

/// Arguments of `enforcer policy suggest`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of a bundle: what it permits already is left out.
    dir: Option<PathBuf>,
    /// Only what happened since then: `90s`, `15m`, `12h`, `7d`, `2w`.
    #[arg(long, value_name = "AGO")]
    since: Option<String>,
    /// Only what this agent did.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Where exchanges are recorded, if not where the settings say.
    #[arg(long, value_name = "STATE")]
    state: Option<PathBuf>,
    /// Write `NAME.cedar`, `cases/NAME.toml` and `NAME.toml` (append it to `policy.toml` yourself) into the bundle
    /// instead of printing them.
    #[arg(long, value_name = "NAME", requires = "dir")]
    write: Option<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, journal: &Journal<'_>, streams: &mut Streams<'_>) -> io::Result<u8> {
    let policy = match &args.dir {
        None => None,
        Some(dir) => match load(dir, streams)? {
            Ok((policy, _)) => Some(policy),
            Err(code) => return Ok(code),
        },
    };
    let suggestion = match collect(args, policy.as_ref(), journal) {
        Ok(suggestion) => suggestion,
        Err(failure) => return failure.tell(streams.err),
    };
    let code = match (&args.write, &args.dir, args.output) {
        (Some(name), Some(dir), _) => write(name, dir, &suggestion, streams)?,
        (_, _, Output::Json) => {
            print_json(streams, &json!(suggestion))?;
            FINE
        }
        (_, _, Output::Text) => {
            print(&suggestion, streams)?;
            FINE
        }
    };
    if code == FINE {
        summary(&suggestion, policy.as_ref(), args, streams)?;
    }
    Ok(code)
}

fn collect(
    args: &Args,
    policy: Option<&Policy>,
    journal: &Journal<'_>,
) -> Result<Suggestion, Failure> {
    let since = replay::since(args.since.as_deref(), Clock::system().now())?;
    let source = journal(args.state.as_deref())?;
    let only = args.agent.as_deref().map(AgentName::new);
    let mut suggest = Suggest::default();
    let permits = |policy: &Policy, facts: &_| {
        policy.decide_again(facts).is_some_and(|decision| decision.effect == Effect::Allow)
    };
    wait(replay::walk(&source, since, &mut |event| {
        // Who asked for a name is not always known, so it is nobody's when one agent is asked about.
        if let (None, Some((host, times))) = (&only, unnamed(&event.body)) {
            suggest.push_unnamed(host, times);
        }
        let Some(opened) = opened(event) else { return };
        if opened.facts.endpoint == Endpoint::unnamed(0).name {
            suggest.push_unnamed(&opened.host, 1);
        }
        if only.as_ref().is_none_or(|only| *only == opened.facts.agent) {
            let is_permitted = policy.is_some_and(|policy| permits(policy, &opened.facts));
            suggest.push(&opened.facts, opened.denied.is_some(), is_permitted);
        }
    }))?;
    Ok(suggest.finish(policy))
}

/// A host that was asked for and that no endpoint names, and how often.
fn unnamed(event: &EventBody) -> Option<(&str, u64)> {
    match event {
        EventBody::ResolveRefused { name, repeated, .. } => Some((name, repeated.count)),
        EventBody::ConnectionRefused { server_name, denied, .. }
            if denied.reason == DenyReason::NotAnEndpoint =>
        {
            Some((server_name.as_deref()?, 1))
        }
        _ => None,
    }
}

const RULES_HEAD: &str =
    "// Suggested from recorded exchanges. Review each rule; delete what nobody needs.\n\n";
const CASES_HEAD: &str = "# Suggested from recorded exchanges. Each of these was seen; say what should become of it.\n\n";

const ENDPOINTS_HEAD: &str = "# Suggested from recorded exchanges, for the end of policy.toml. No rule permits anything there yet.\n\n";

fn print(suggestion: &Suggestion, streams: &mut Streams<'_>) -> io::Result<()> {
    if !suggestion.rules.is_empty() {
        write!(streams.out, "{RULES_HEAD}{}", suggestion.rules)?;
        writeln!(streams.out, "// ---- and for a file in cases/ ----\n")?;
        write!(streams.out, "{CASES_HEAD}{}", suggestion.cases)?;
    }
    if !suggestion.endpoints.is_empty() {
        writeln!(streams.out, "# ---- and for {INVENTORY_FILE} ----\n")?;
        write!(streams.out, "{ENDPOINTS_HEAD}{}", suggestion.endpoints)?;
    }
    Ok(())
}

/// Writes new files only: what is there already was reviewed by somebody.
fn write(
    name: &str,
    dir: &Path,
    suggestion: &Suggestion,
    streams: &mut Streams<'_>,
) -> io::Result<u8> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let inventory = format!("{name}.toml");
    if name.is_empty() || inventory == INVENTORY_FILE || !name.chars().all(is_name) {
        writeln!(streams.err, "error: `{name}` cannot name the new files")?;
        writeln!(streams.err, "hint: letters, digits, `-` and `_`; the endings are added")?;
        return Ok(USAGE);
    }
    let rules = dir.join(format!("{name}{RULES_SUFFIX}"));
    let cases = dir.join(CASES_FOLDER).join(format!("{name}.toml"));
    let endpoints = dir.join(&inventory);
    if let Some(there) = [&rules, &cases, &endpoints].into_iter().find(|path| path.exists()) {
        writeln!(streams.err, "error: `{}` is there already", there.display())?;
        writeln!(streams.err, "hint: choose another name; no file is overwritten")?;
        return Ok(USAGE);
    }
    let texts = [
        (&rules, format!("{RULES_HEAD}{}", suggestion.rules), !suggestion.rules.is_empty()),
        // A file of comments alone holds no case and would be refused.
        (&cases, format!("{CASES_HEAD}{}", suggestion.cases), suggestion.suggested > 0),
        (
            &endpoints,
            format!("{ENDPOINTS_HEAD}{}", suggestion.endpoints),
            !suggestion.endpoints.is_empty(),
        ),
    ];
    for (path, text, is_wanted) in texts {
        if !is_wanted {
            continue;
        }
        if let Err(error) = create(path, &text) {
            writeln!(streams.err, "error: failed to write `{}`: {error}", path.display())?;
            writeln!(streams.err, "hint: check who may write into the bundle")?;
            return Ok(HOST);
        }
        writeln!(streams.err, "written: {}", path.display())?;
        if path == &endpoints {
            let inventory = dir.join(INVENTORY_FILE);
            writeln!(
                streams.err,
                "hint: it has no effect until you append it: `cat {} >> {}`",
                path.display(),
                inventory.display()
            )?;
        }
    }
    Ok(FINE)
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn summary(
    suggestion: &Suggestion,
    policy: Option<&Policy>,
    args: &Args,
    streams: &mut Streams<'_>,
) -> io::Result<()> {
    let exchanges = usize::try_from(suggestion.exchanges).unwrap_or(usize::MAX);
    write!(streams.err, "{}", count(exchanges, "exchange"))?;
    if policy.is_some() {
        write!(streams.err, ", {} permitted already", suggestion.permitted)?;
    }
    writeln!(
        streams.err,
        ": {} suggested, {} of refused requests, written as comments",
        count(suggestion.suggested, "rule"),
        count(suggestion.refused, "kind")
    )?;
    if let (Some(_), Some(dir)) = (&args.write, &args.dir) {
        writeln!(streams.err, "hint: review them, then `enforcer policy test {}`", dir.display())?;
    }
    Ok(())
}
