// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy why`: what a bundle decides for a described request, rule by rule.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Write};
use std::path::PathBuf;

use enforcer_core::model::{AgentName, DetectorName, Effect, EndpointName, Facts};
use enforcer_core::policy::{
    ActionSpec, Explanation, FactKind, FactValue, Outcome, Policy, action, operation,
};
use serde_json::json;

use super::{Bundle, DIFFERENCE, FINE, Output, Streams, USAGE, load, print_json};

/// A described request.
#[derive(Debug, clap::Args)]
pub struct Args {
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

pub(super) fn run(why: &Args, streams: &mut Streams<'_>) -> io::Result<u8> {
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

fn read_facts(why: &Args) -> Result<Facts, String> {
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
