// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy why`: what a bundle decides for a described request, rule by rule.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use enforcer_core::facts::Place;
use enforcer_core::model::{
    AgentName, Decision, DetectorName, Effect, EndpointName, Facts, Mode, Obligations, Operation,
    limits,
};
use enforcer_core::policy::cases::Request;
use enforcer_core::policy::{
    ACTIONS, ActionSpec, Endpoint, Explanation, FactKind, FactValue, Otherwise, Outcome, Policy,
    RuleOutcome, Tls, action, operation, suggestion,
};
use serde_json::json;

use crate::cli::paint::visible;

use super::{Bundle, DIFFERENCE, FINE, Output, Streams, USAGE, load, print_json};

const USAGE_LINES: &str = "\
enforcer policy why DIR --agent AGENT --endpoint ENDPOINT --action ACTION [--fact NAME=VALUE]... [--all]
       enforcer policy why DIR --agent AGENT --request FILE [--all]
       enforcer policy why DIR --facts FILE [--all]";

/// A described request.
#[derive(Debug, clap::Args)]
#[command(override_usage = USAGE_LINES)]
pub struct Args {
    #[command(flatten)]
    bundle: Bundle,
    /// Who asks.
    #[arg(long, value_name = "AGENT", required_unless_present = "facts")]
    agent: Option<String>,
    /// Where to; with `--request`, by default the endpoint of its `host` header.
    #[arg(long, value_name = "ENDPOINT", required_unless_present_any = ["facts", "request"])]
    endpoint: Option<String>,
    #[arg(
        long,
        value_name = "ACTION",
        required_unless_present_any = ["facts", "request"],
        help = "What is asked",
        long_help = actions_help(),
    )]
    action: Option<String>,
    /// A fact of the action; sets are written with commas.
    #[arg(long = "fact", value_name = "NAME=VALUE")]
    fact: Vec<String>,
    /// A detector that found something.
    #[arg(long, value_name = "DETECTOR")]
    detected: Vec<String>,
    /// A raw HTTP request instead of action and facts: request line, headers, an empty line, and the body. The rules
    /// judge it, and masks are tried on its head. What the proxy refuses before the rules (ambiguous paths and names
    /// of headers, another host, upgrades) is not tried.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["action", "fact", "detected", "facts"])]
    request: Option<PathBuf>,
    /// All facts from a JSON file, as they stand in a record.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["agent", "endpoint", "action", "fact", "detected"])]
    facts: Option<PathBuf>,
    /// List every rule, also those that do not apply.
    #[arg(long)]
    all: bool,
}

/// Every action and its facts.
fn actions_help() -> String {
    let mut text = "What is asked, and its facts (those in brackets can be left out):".to_owned();
    for action in ACTIONS {
        let facts = action.facts.iter().map(|fact| match fact.otherwise {
            Otherwise::Required => fact.name.to_owned(),
            Otherwise::Absent | Otherwise::Default(_) | Otherwise::Text(_) => {
                format!("[{}]", fact.name)
            }
        });
        text += &format!("\n  {}: {}", action.name, facts.collect::<Vec<_>>().join(", "));
    }
    text
}

/// What is wrong with a description, and what to do about it.
#[derive(Debug)]
struct Misdescribed {
    message: String,
    hint: Option<String>,
}

impl From<String> for Misdescribed {
    fn from(message: String) -> Self {
        Self { message, hint: None }
    }
}

pub(super) fn run(why: &Args, streams: &mut Streams<'_>) -> io::Result<u8> {
    let (policy, _) = match load(&why.bundle.dir, streams)? {
        Ok(loaded) => loaded,
        Err(code) => return Ok(code),
    };
    let (facts, request) = match read_facts(why, &policy) {
        Ok(read) => read,
        Err(Misdescribed { message, hint }) => {
            writeln!(streams.err, "error: {message}")?;
            if let Some(hint) = hint {
                writeln!(streams.err, "hint: {hint}")?;
            }
            return Ok(USAGE);
        }
    };
    let explanation = policy.explain(&facts);
    let unmaskable =
        request.as_ref().and_then(|request| unmaskable(&policy, request, &explanation.decision));
    match why.bundle.output {
        Output::Json => {
            let mut data = json!(explanation);
            if let (Some(fields), Some(cause)) = (data.as_object_mut(), &unmaskable) {
                fields.insert("refused_after_the_rules".to_owned(), json!(cause));
            }
            print_json(streams, &data)?;
        }
        Output::Text => {
            print(&explanation, why.all, streams.out)?;
            if let Some(cause) = &unmaskable {
                writeln!(streams.out, "  denied after the rules: {cause} [request_undecodable]")?;
            }
        }
    }
    Ok(match (explanation.decision.effect, unmaskable) {
        (Effect::Allow, None) => FINE,
        (Effect::Allow, Some(_)) | (Effect::Deny, _) => DIFFERENCE,
    })
}

/// Why a request that the rules allow cannot be masked as they oblige to, if that is so.
fn unmaskable(policy: &Policy, request: &Request, decision: &Decision) -> Option<String> {
    if decision.effect == Effect::Deny || decision.mode == Mode::Observe {
        return None;
    }
    let masker = policy.masker(&decision.obligations.mask_request);
    let head = request.head();
    Some(match head.touched(&masker)? {
        Place::Header(name) => {
            format!(
                "the header `{name}` holds what has to be masked, and a header cannot be masked"
            )
        }
        Place::Line => "the path or the query holds what has to be masked".to_owned(),
    })
}

/// Facts whose names the bundle has: a misspelt one would be denied by default and look like an answer.
fn read_facts(why: &Args, policy: &Policy) -> Result<(Facts, Option<Request>), Misdescribed> {
    if let Some(path) = &why.facts {
        let facts: Facts =
            serde_json::from_slice(&read(path)?).map_err(|error| unreadable(path, &error))?;
        known_agent(policy, facts.agent.as_str())?;
        known_endpoint(policy, facts.endpoint.as_str())?;
        known_detectors(policy, &facts)?;
        return Ok((facts, None));
    }
    let agent = known_agent(policy, why.agent.as_deref().unwrap_or_default())?;
    if let Some(path) = &why.request {
        let (facts, request) = read_request(policy, &agent, why.endpoint.as_deref(), path)?;
        return Ok((facts, Some(request)));
    }
    let endpoint = known_endpoint(policy, why.endpoint.as_deref().unwrap_or_default())?;
    let name = why.action.as_deref().unwrap_or_default();
    let action = action(name)
        .ok_or_else(|| unknown("action", name, ACTIONS.iter().map(|action| action.name)))?;
    let mut given = BTreeMap::new();
    for pair in &why.fact {
        let (name, value) = read_fact(action, pair)?;
        if given.insert(name, value).is_some() {
            return Err(format!("fact given twice: `{pair}`").into());
        }
    }
    let facts = Facts {
        agent,
        endpoint: endpoint.name.clone(),
        detected: why.detected.iter().cloned().map(DetectorName::new).collect(),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
        operation: operation(action, &given)?,
    };
    known_detectors(policy, &facts)?;
    Ok((facts, None))
}

/// A raw request, and the facts that the data path would find in it.
fn read_request(
    policy: &Policy,
    agent: &AgentName,
    endpoint: Option<&str>,
    path: &Path,
) -> Result<(Facts, Request), Misdescribed> {
    let request = Request::parse(&read(path)?).map_err(|wrong| Misdescribed {
        message: format!("`{}` is not a request: {wrong}", path.display()),
        hint: Some(wrong.help.to_owned()),
    })?;
    let endpoint = match (endpoint, request.host()) {
        (Some(name), _) => known_endpoint(policy, name)?,
        (None, Some((host, port))) => policy.endpoint(host, port).ok_or_else(|| Misdescribed {
            message: format!("no endpoint of the bundle has host `{host}` at port {port}"),
            hint: Some("name one with `--endpoint`".to_owned()),
        })?,
        (None, None) => {
            return Err(Misdescribed {
                message: "the request has no `host` header".to_owned(),
                hint: Some("name the endpoint with `--endpoint`".to_owned()),
            });
        }
    };
    if endpoint.tls == Tls::Passthrough {
        return Err(Misdescribed {
            message: format!("endpoint `{}` is passed through: no request is seen", endpoint.name),
            hint: Some("describe the connection with `--action connect`".to_owned()),
        });
    }
    Ok((request.facts(policy, agent, endpoint), request))
}

/// Reads a file; one that is larger than any request that is understood is cut.
fn read(path: &Path) -> Result<Vec<u8>, Misdescribed> {
    let most = limits::HEAD_BYTES_MAX + limits::REQUEST_BODY_BYTES_MAX + 1;
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    file.take(u64::try_from(most).unwrap_or(u64::MAX))
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(path, &error))?;
    Ok(bytes)
}

fn unreadable(path: &Path, error: &dyn fmt::Display) -> Misdescribed {
    format!("failed to read `{}`: {error}", path.display()).into()
}

fn unknown<'n>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'n str> + Clone,
) -> Misdescribed {
    let message = format!("unknown {what} `{name}`");
    let too_many = || Some(format!("`enforcer policy schema` lists every {what}"));
    let hint = suggestion(name, known).or_else(too_many);
    Misdescribed { message, hint }
}

fn known_agent(policy: &Policy, name: &str) -> Result<AgentName, Misdescribed> {
    let agent = AgentName::new(name);
    if policy.has_agent(&agent) {
        return Ok(agent);
    }
    let known: Vec<&str> = policy.agents().map(AgentName::as_str).collect();
    Err(unknown("agent", name, known))
}

fn known_endpoint<'p>(policy: &'p Policy, name: &str) -> Result<&'p Endpoint, Misdescribed> {
    let known: Vec<&str> = policy.endpoints().map(|endpoint| endpoint.name.as_str()).collect();
    policy.endpoint_named(&EndpointName::new(name)).ok_or_else(|| unknown("endpoint", name, known))
}

fn known_detectors(policy: &Policy, facts: &Facts) -> Result<(), Misdescribed> {
    let known = policy.detector_names();
    match facts.detected.iter().find(|name| !known.contains(name)) {
        Some(name) => {
            let known: Vec<&str> = known.iter().map(DetectorName::as_str).collect();
            Err(unknown("detector", name.as_str(), known))
        }
        None => Ok(()),
    }
}

fn read_fact(action: &ActionSpec, pair: &str) -> Result<(String, FactValue), Misdescribed> {
    let (name, value) =
        pair.split_once('=').ok_or_else(|| format!("`{pair}` is not of the form NAME=VALUE"))?;
    let spec = action.facts.iter().find(|fact| fact.name == name).ok_or_else(|| {
        let known = action.facts.iter().map(|fact| fact.name);
        let message = format!("action `{}` has no fact `{name}`", action.name);
        Misdescribed { message, hint: suggestion(name, known) }
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

/// Prints a decision, what it was made from, and the rules that had a part in it.
pub(in crate::cli) fn print_explanation(
    explanation: &Explanation,
    out: &mut dyn Write,
) -> io::Result<()> {
    print(explanation, false, out)
}

fn print(explanation: &Explanation, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let (decision, facts) = (&explanation.decision, &explanation.facts);
    let action = facts.operation.action();
    writeln!(
        out,
        "{}: agent `{}`, action `{action}`, endpoint `{}`",
        verb(decision.effect),
        facts.agent,
        facts.endpoint
    )?;
    writeln!(out, "  {}", because(decision))?;
    if let Some(nearest) = explanation.nearest_permit() {
        writeln!(out, "  {nearest}")?;
    }
    if decision.mode == Mode::Observe {
        writeln!(out, "  recorded only: the bundle observes")?;
    }
    if let Some(message) = &decision.message {
        writeln!(out, "  message: {message}")?;
    }
    for line in owed(&decision.obligations) {
        writeln!(out, "  {line}")?;
    }
    writeln!(out, "  facts: {}", visible(&facts_line(facts)))?;
    if let Some(about) = about_action(&facts.operation) {
        writeln!(out, "  {}", visible(&about))?;
    }
    writeln!(out, "  policy {}", decision.policy)?;
    print_rules(explanation, all, out)
}

/// The rules that matched or erred, and the permits that nearly matched; all of them if that is asked for.
fn print_rules(explanation: &Explanation, all: bool, out: &mut dyn Write) -> io::Result<()> {
    let has_part = |rule: &&RuleOutcome| match rule.outcome {
        Outcome::Matched | Outcome::Erred { .. } => true,
        Outcome::Nearly { .. } => rule.is_permit,
        Outcome::OutOfScope { .. } => false,
    };
    let shown: Vec<&RuleOutcome> =
        explanation.rules.iter().filter(|rule| all || has_part(rule)).collect();
    let width = shown.iter().map(|rule| rule.id.as_str().len()).max().unwrap_or(0);
    for rule in &shown {
        let effect = if rule.is_permit { "permit" } else { "forbid" };
        let place = format!("{}:{}", rule.file, rule.line);
        let near = match rule.outcome {
            Outcome::Nearly { .. } if rule.is_permit => "nearly: ",
            Outcome::Nearly { .. } => "does not apply: ",
            Outcome::Matched | Outcome::Erred { .. } | Outcome::OutOfScope { .. } => "",
        };
        let outcome = format!("{near}{}", rule.outcome.describe());
        let only = if rule.mode == Mode::Observe { ", only observed" } else { "" };
        writeln!(out, "  {:width$}  {effect}  {outcome}{only}  ({place})", rule.id.as_str())?;
    }
    match explanation.rules.len().saturating_sub(shown.len()) {
        0 => Ok(()),
        1 => writeln!(out, "  1 rule does not apply"),
        more => writeln!(out, "  {more} rules do not apply"),
    }
}

/// What an action means that no request says of itself.
fn about_action(operation: &Operation) -> Option<Cow<'static, str>> {
    match operation {
        Operation::Opaque(opaque) => Some(opaque.sentence().into()),
        Operation::Http(_) => {
            Some("`http`: method and path are known, the body is not looked at".into())
        }
        Operation::Connect(_) => {
            Some("`connect`: the connection is passed through, and only its name is known".into())
        }
        Operation::Administer(_)
        | Operation::AgentRun(_)
        | Operation::Batch(_)
        | Operation::Chat(_)
        | Operation::CountTokens(_)
        | Operation::Embed(_)
        | Operation::FileRead(_)
        | Operation::FileUpload(_)
        | Operation::FineTune(_)
        | Operation::Image(_)
        | Operation::ListModels(_)
        | Operation::Moderate(_)
        | Operation::Realtime(_)
        | Operation::Search(_)
        | Operation::Speech(_)
        | Operation::StoredRead(_)
        | Operation::StoredWrite(_)
        | Operation::ToolCall(_)
        | Operation::TraceExport(_)
        | Operation::Transcribe(_)
        | Operation::Video(_) => None,
    }
}

pub(in crate::cli) const fn verb(effect: Effect) -> &'static str {
    match effect {
        Effect::Allow => "allow",
        Effect::Deny => "deny",
    }
}

/// Which rules decided, in words.
pub(in crate::cli) fn because(decision: &Decision) -> String {
    match (decision.because.is_empty(), decision.errors.is_empty()) {
        (_, false) => {
            format!("because a rule could not be evaluated: {}", join(decision.errors.iter()))
        }
        (true, true) => "because no rule permits it".to_owned(),
        (false, true) => format!("because of {}", quoted(decision.because.iter())),
    }
}

/// What is owed for an allowed request, one line for each kind.
pub(in crate::cli) fn owed(obligations: &Obligations) -> Vec<String> {
    [
        ("mask request", join(obligations.mask_request.iter())),
        ("mask response", join(obligations.mask_response.iter())),
        ("approvals", join(obligations.approvals.iter())),
        ("budgets", join(obligations.budgets.iter())),
        ("credentials", join(obligations.credentials.iter())),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what}: {names}"))
    .collect()
}

fn join<N: fmt::Display>(names: impl Iterator<Item = N>) -> String {
    names.map(|name| name.to_string()).collect::<Vec<_>>().join(", ")
}

/// Names of rules, each in backticks.
fn quoted<N: fmt::Display>(names: impl Iterator<Item = N>) -> String {
    names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

/// The facts as rules name them.
pub(super) fn facts_line(facts: &Facts) -> String {
    let operation = serde_json::to_value(&facts.operation).unwrap_or_default();
    let named = operation.as_object().into_iter().flatten();
    let known = action(facts.operation.action()).map_or(&[][..], |action| action.facts);
    let named = named.filter(|(name, _)| known.iter().any(|fact| fact.name == *name));
    let mut all: Vec<String> = named.map(|(name, value)| format!("{name} = {value}")).collect();
    let nobody_looked = facts.sought.as_ref().is_some_and(BTreeSet::is_empty);
    if facts.detected.is_empty() && nobody_looked {
        all.push("detected: not looked for".to_owned());
    } else {
        let detected = facts.detected.iter().map(|name| format!("\"{name}\""));
        all.push(format!("detected = [{}]", detected.collect::<Vec<_>>().join(",")));
    }
    all.join(", ")
}
