// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy`: check, test and explain a bundle without a daemon.
//!
//! Data goes to `out`, diagnostics to `err`. Works on files only; what is checked and decided here is
//! checked and decided by the same code in the daemon.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use enforcer_core::model::{AgentName, DetectorName, Effect, EndpointName, Facts};
use enforcer_core::policy::{
    ActionSpec, Diagnostic, Diagnostics, Explanation, FactKind, FactValue, Outcome, Policy,
    Severity, Sources, action, cases, compile, operation, schema_text,
};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};
use serde_json::json;

use crate::config::bundle::{self, read_sources};

/// Everything is as it should be.
const FINE: u8 = 0;
/// A case failed, or the request is denied.
const DIFFERENCE: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// The host refuses to read the files.
const HOST: u8 = 3;
/// The bundle is refused.
const INVALID: u8 = 4;

/// Subcommands of `enforcer policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List everything that is wrong with a bundle.
    Check(Bundle),
    /// Run the cases of a bundle.
    Test(Bundle),
    /// Say what a bundle decides for one request, and why.
    Why(Why),
    /// Print every action and its facts as Cedar schema.
    Schema,
}

/// A bundle and how to print.
#[derive(Debug, Args)]
pub struct Bundle {
    /// Folder of the bundle.
    dir: PathBuf,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A described request.
#[derive(Debug, Args)]
pub struct Why {
    #[command(flatten)]
    bundle: Bundle,
    /// Who asks.
    #[arg(long, required_unless_present = "facts")]
    agent: Option<String>,
    /// Where to.
    #[arg(long, required_unless_present = "facts")]
    endpoint: Option<String>,
    /// What is asked: chat, connect, http, opaque.
    #[arg(long, required_unless_present = "facts")]
    action: Option<String>,
    /// A fact of the action; sets are written with commas.
    #[arg(long = "fact", value_name = "NAME=VALUE")]
    fact: Vec<String>,
    /// A detector that found something.
    #[arg(long, value_name = "DETECTOR")]
    detected: Vec<String>,
    /// All facts from a JSON file, as they stand in a record.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agent", "endpoint", "action", "fact", "detected"])]
    facts: Option<PathBuf>,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where a command writes.
pub struct Streams<'s> {
    /// Data.
    pub out: &'s mut dyn Write,
    /// Diagnostics.
    pub err: &'s mut dyn Write,
    /// Whether diagnostics are drawn in color; only for a terminal.
    pub colors: bool,
}

impl fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("colors", &self.colors).finish_non_exhaustive()
    }
}

/// Runs one subcommand and gives its exit code.
///
/// # Errors
/// Only if writing to the streams fails.
pub fn run(command: &Command, streams: &mut Streams<'_>) -> io::Result<u8> {
    match command {
        Command::Check(bundle) => check(bundle, streams),
        Command::Test(bundle) => test(bundle, streams),
        Command::Why(why) => explain(why, streams),
        Command::Schema => {
            streams.out.write_all(schema_text().as_bytes())?;
            Ok(FINE)
        }
    }
}

fn check(bundle: &Bundle, streams: &mut Streams<'_>) -> io::Result<u8> {
    let sources = match read(&bundle.dir, streams)? {
        Ok(sources) => sources,
        Err(code) => return Ok(code),
    };
    let (policy, found) = match compile(&sources) {
        Ok(compiled) => {
            let mut found = compiled.warnings;
            found
                .extend(cases::run(&compiled.policy, &sources).err().into_iter().flat_map(|e| e.0));
            (Some(compiled.policy), found)
        }
        Err(Diagnostics(found)) => (None, found),
    };
    let errors = found.iter().filter(|found| found.severity == Severity::Error).count();
    let policy = policy.filter(|_| errors == 0);
    match (bundle.output, &policy) {
        (Output::Json, _) => {
            let version = sources.version();
            print_json(
                streams,
                &json!({ "valid": errors == 0, "version": version, "diagnostics": found }),
            )?;
        }
        (Output::Text, Some(policy)) => {
            draw(&found, &sources, streams)?;
            let (rules, agents) = (policy.rule_ids().count(), policy.agents().count());
            let endpoints = policy.endpoints().count();
            writeln!(
                streams.out,
                "{}: valid, version {}: {}, {}, {}",
                bundle.dir.display(),
                policy.version(),
                count(rules, "rule"),
                count(agents, "agent"),
                count(endpoints, "endpoint"),
            )?;
        }
        (Output::Text, None) => {
            draw(&found, &sources, streams)?;
            writeln!(streams.err, "{}: {}", bundle.dir.display(), count(errors, "error"))?;
        }
    }
    Ok(if policy.is_some() { FINE } else { INVALID })
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn test(bundle: &Bundle, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (policy, sources) = match load(&bundle.dir, streams)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let report = match cases::run(&policy, &sources) {
        Ok(report) => report,
        Err(Diagnostics(found)) => {
            draw(&found, &sources, streams)?;
            return Ok(INVALID);
        }
    };
    if bundle.output == Output::Json {
        print_json(streams, &json!(report))?;
    } else {
        for case in &report.cases {
            let mark = if case.has_passed() { "ok  " } else { "FAIL" };
            writeln!(streams.out, "{mark} {}:{} {}", case.file, case.line, case.name)?;
            for mismatch in &case.mismatches {
                let (expected, found) = (&mismatch.expected, &mismatch.found);
                writeln!(
                    streams.out,
                    "       {}: expected {expected}, found {found}",
                    mismatch.what
                )?;
            }
        }
        let failed = report.cases.iter().filter(|case| !case.has_passed()).count();
        writeln!(streams.out, "{}, {failed} failed", count(report.cases.len(), "case"))?;
    }
    if report.cases.is_empty() {
        writeln!(streams.err, "warning: the bundle has no cases, so nothing was tested")?;
        writeln!(streams.err, "hint: write them in `{}`", bundle.dir.join("cases").display())?;
    }
    Ok(if report.has_passed() { FINE } else { DIFFERENCE })
}

fn explain(why: &Why, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (policy, _) = match load(&why.bundle.dir, streams)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let facts = match read_facts(why).and_then(|facts| check_names(&policy, facts)) {
        Ok(facts) => facts,
        Err(message) => {
            writeln!(streams.err, "error: {message}")?;
            return Ok(USAGE);
        }
    };
    let explanation = policy.explain(&facts);
    match why.bundle.output {
        Output::Json => print_json(streams, &json!(explanation))?,
        Output::Text => print_explanation(&explanation, streams.out)?,
    }
    Ok(match explanation.decision.effect {
        Effect::Allow => FINE,
        Effect::Deny => DIFFERENCE,
    })
}

/// A misspelt name would be denied by default and look like an answer.
fn check_names(policy: &Policy, facts: Facts) -> Result<Facts, String> {
    if !policy.has_agent(&facts.agent) {
        return Err(format!("the bundle has no agent `{}`", facts.agent));
    }
    if policy.endpoint_named(&facts.endpoint).is_none() {
        return Err(format!("the bundle has no endpoint `{}`", facts.endpoint));
    }
    let known = policy.detector_names();
    match facts.detected.iter().find(|name| !known.contains(name)) {
        Some(name) => Err(format!("the bundle has no detector `{name}`")),
        None => Ok(facts),
    }
}

fn read_facts(why: &Why) -> Result<Facts, String> {
    if let Some(path) = &why.facts {
        let failed =
            |error: &dyn fmt::Display| format!("failed to read `{}`: {error}", path.display());
        let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
        return serde_json::from_str(&text).map_err(|error| failed(&error));
    }
    let name = why.action.as_deref().unwrap_or_default();
    let action = action(name)
        .ok_or_else(|| format!("unknown action `{name}`; `enforcer policy schema` lists them"))?;
    let mut given = BTreeMap::new();
    for pair in &why.fact {
        let (name, value) = read_fact(action, pair)?;
        if given.insert(name, value).is_some() {
            return Err(format!("fact given twice: `{pair}`"));
        }
    }
    Ok(Facts {
        agent: AgentName::new(why.agent.clone().unwrap_or_default()),
        endpoint: EndpointName::new(why.endpoint.clone().unwrap_or_default()),
        detected: why.detected.iter().cloned().map(DetectorName::new).collect(),
        sought: None,
        operation: operation(action, &given)?,
    })
}

fn read_fact(action: &ActionSpec, pair: &str) -> Result<(String, FactValue), String> {
    let (name, value) =
        pair.split_once('=').ok_or_else(|| format!("`{pair}` is not of the form NAME=VALUE"))?;
    let spec = action.facts.iter().find(|fact| fact.name == name).ok_or_else(|| {
        let names: Vec<&str> = action.facts.iter().map(|fact| fact.name).collect();
        format!("action `{}` has no fact `{name}`; it has {}", action.name, names.join(", "))
    })?;
    let wrong = || format!("fact `{name}` is {}, not `{value}`", spec.kind.describe());
    let value = match spec.kind {
        FactKind::Bool => FactValue::Bool(value.parse().ok().ok_or_else(wrong)?),
        FactKind::Long => FactValue::Long(value.parse().ok().ok_or_else(wrong)?),
        FactKind::String => FactValue::String(value.to_owned()),
        FactKind::StringSet => {
            let items = value.split(',').filter(|item| !item.is_empty());
            FactValue::StringSet(items.map(str::to_owned).collect())
        }
    };
    Ok((name.to_owned(), value))
}

fn print_explanation(explanation: &Explanation, out: &mut dyn Write) -> io::Result<()> {
    let (decision, facts) = (&explanation.decision, &explanation.facts);
    let verb = match decision.effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    };
    let action = facts.operation.action();
    writeln!(
        out,
        "{verb}: agent `{}`, action `{action}`, endpoint `{}`",
        facts.agent, facts.endpoint
    )?;
    let names = |names: Vec<String>| names.join(", ");
    let because = names(decision.because.iter().map(ToString::to_string).collect());
    match (decision.effect, because.is_empty(), decision.errors.is_empty()) {
        (_, _, false) => writeln!(out, "  because a rule erred")?,
        (_, true, true) => writeln!(out, "  because no rule permits it")?,
        (_, false, true) => writeln!(out, "  because of {because}")?,
    }
    if let Some(message) = &decision.message {
        writeln!(out, "  message: {message}")?;
    }
    let obligations = &decision.obligations;
    for (what, masks) in
        [("request", &obligations.mask_request), ("response", &obligations.mask_response)]
    {
        if !masks.is_empty() {
            let masks = names(masks.iter().map(ToString::to_string).collect());
            writeln!(out, "  mask {what}: {masks}")?;
        }
    }
    writeln!(out, "  policy {}", decision.policy)?;
    let width = explanation.rules.iter().map(|rule| rule.id.as_str().len()).max().unwrap_or(0);
    for rule in &explanation.rules {
        let effect = if rule.is_permit { "permit" } else { "forbid" };
        let place = format!("{}:{}", rule.file, rule.line);
        let outcome = describe(&rule.outcome);
        writeln!(out, "  {:width$}  {effect}  {outcome}  ({place})", rule.id.as_str())?;
    }
    Ok(())
}

fn describe(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Matched => "matched".to_owned(),
        Outcome::Nearly { unmet } if unmet.is_empty() => "nearly: a condition is false".to_owned(),
        Outcome::Nearly { unmet } => format!("nearly: not {}", unmet.join("; not ")),
        Outcome::Erred { error } => format!("erred: {error}"),
        Outcome::OutOfScope => "about something else".to_owned(),
    }
}

fn print_json(streams: &mut Streams<'_>, value: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *streams.out, value)?;
    writeln!(streams.out)
}

/// A policy that is valid, or the exit code after saying why it is not.
fn load(dir: &Path, streams: &mut Streams<'_>) -> io::Result<Result<(Policy, Sources), u8>> {
    let sources = match read(dir, streams)? {
        Ok(sources) => sources,
        Err(code) => return Ok(Err(code)),
    };
    match compile(&sources) {
        Ok(compiled) => Ok(Ok((compiled.policy, sources))),
        Err(Diagnostics(found)) => {
            draw(&found, &sources, streams)?;
            Ok(Err(INVALID))
        }
    }
}

fn read(dir: &Path, streams: &mut Streams<'_>) -> io::Result<Result<Sources, u8>> {
    let error = match read_sources(dir) {
        Ok(sources) => return Ok(Ok(sources)),
        Err(error) => error,
    };
    write!(streams.err, "error: {error}")?;
    if let Some(cause) = std::error::Error::source(&error) {
        write!(streams.err, ": {cause}")?;
    }
    writeln!(streams.err)?;
    let (code, hint) = match error {
        bundle::Error::Missing(_) | bundle::Error::NotAFolder(_) => {
            (USAGE, "a bundle is a folder with `policy.toml` and `*.cedar` files")
        }
        bundle::Error::Read { .. } => (HOST, "check who may read the folder"),
        bundle::Error::NotAPlainFile(_) => (INVALID, "put a copy of the file into the bundle"),
        bundle::Error::NotText(_) => (INVALID, "save the file as UTF-8"),
        bundle::Error::Misplaced(_) => (INVALID, "move it beside `policy.toml`"),
        bundle::Error::TooLarge(_) => (INVALID, "keep only policy files in the folder"),
    };
    writeln!(streams.err, "hint: {hint}")?;
    Ok(Err(code))
}

/// A problem as it is drawn: with the lines of its file.
#[derive(Debug)]
struct Drawing<'d> {
    found: &'d Diagnostic,
    source: Option<NamedSource<String>>,
}

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.found.message)
    }
}

impl std::error::Error for Drawing<'_> {}

impl miette::Diagnostic for Drawing<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.found.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        let help = self.found.help.as_ref()?;
        Some(Box::new(help))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.found.span.clone()?;
        let label = (!self.found.label.is_empty()).then(|| self.found.label.clone());
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, span))))
    }
}

/// Draws problems with source lines and carets.
///
/// # Errors
/// Only if writing fails.
pub fn draw(found: &[Diagnostic], sources: &Sources, streams: &mut Streams<'_>) -> io::Result<()> {
    let theme =
        if streams.colors { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
    for found in found {
        let file = sources.file(&found.file);
        let source = file.map(|file| NamedSource::new(file.path.clone(), file.text.clone()));
        let mut text = String::new();
        let drawing = Drawing { found, source };
        if handler.render_report(&mut text, &drawing).is_err() {
            text = format!("{found}\n");
        }
        writeln!(streams.err, "{}", text.trim_end())?;
    }
    Ok(())
}
