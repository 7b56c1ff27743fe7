// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session why`: a recorded exchange explained rule by rule, by the evaluator that decided it.
//!
//! Explains by the bundle of today, or by one that is given, and says when that is another version than the
//! one that decided then.

use std::io;
use std::path::PathBuf;

use enforcer_core::model::{Effect, ExchangeId, UnixMillis};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::http::sentence;
use enforcer_core::record::{Event, EventBody, ExchangeOpened};
use serde_json::json;

use super::play::{Paint, moment, not_stored, visible};
use super::policy::why::{because, print_explanation, verb};
use super::source::Source;
use super::{Exit, Failure};

/// Arguments of `enforcer session why`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The exchange.
    id: ExchangeId,
    /// Explain by the bundle in this folder instead of the one in the settings.
    #[arg(long, value_name = "DIR")]
    policies: Option<PathBuf>,
}

/// What the command prints, and how it ends.
pub(super) async fn answer(
    args: &Args,
    source: &Source,
    policies: Option<PathBuf>,
    is_json: bool,
    paint: Paint,
) -> Result<(Exit, String), Failure> {
    let (at, opened) = find(source, args.id).await?;
    let dir = args.policies.clone().or(policies).ok_or_else(|| {
        Failure::new(Exit::Usage, "no bundle is given").hint("name one with `--policies DIR`")
    })?;
    let policy = crate::daemon::load_policy(&dir)?;
    let explanation = policy.explain(&opened.facts);
    let exit = match explanation.decision.effect {
        Effect::Allow => Exit::Fine,
        Effect::Deny => Exit::Difference,
    };
    if is_json {
        let data = json!({
            "exchange": opened.exchange,
            "at": at,
            "request_line": opened.request_line,
            "recorded": opened.decision,
            "denied": opened.denied,
            "request_unstored": opened.request_unstored,
            "facts_cut": opened.facts_cut,
            "same_version": opened.decision.policy == *policy.version(),
            "not_looked_for": policy.lacks(&opened.facts),
            "explanation": explanation,
        });
        return Ok((exit, super::session::json(&data)?));
    }
    let mut text = recorded(at, &opened, paint);
    text += &notes(&policy, &opened, explanation.decision.effect, paint);
    let mut out = Vec::new();
    print_explanation(&explanation, &mut out).map_err(|error: io::Error| Failure::host(&error))?;
    text += &String::from_utf8_lossy(&out);
    Ok((exit, text))
}

async fn find(source: &Source, id: ExchangeId) -> Result<(UnixMillis, ExchangeOpened), Failure> {
    let opens = |event: Event| match event.body {
        EventBody::ExchangeOpened(opened) if opened.exchange == id => Some((event.at, *opened)),
        _ => None,
    };
    let found = source.events(id.session).await?.into_iter().find_map(opens);
    found.ok_or_else(|| {
        Failure::new(Exit::Usage, format!("no exchange `{id}` is recorded"))
            .hint(format!("`enforcer session show {}` lists those of its session", id.session))
    })
}

/// What happened then, in the words that the agent was told.
fn recorded(at: UnixMillis, opened: &ExchangeOpened, paint: Paint) -> String {
    let decision = &opened.decision;
    let mut text = format!(
        "{}  {}  {}\nrecorded: {}, {} (policy {})\n",
        paint.faint(&moment(at)),
        opened.exchange,
        visible(&opened.request_line),
        verb(decision.effect),
        because(decision),
        decision.policy,
    );
    if let Some(denied) = &opened.denied {
        text += &format!("told: {}\n", visible(&sentence(denied, Some(opened.exchange))));
    }
    if let Some(why) = opened.request_unstored {
        let what = not_stored("the request", opened.request.as_ref(), why);
        text += &format!("{} {what}\n", paint.bad("note:"));
    }
    if opened.facts_cut {
        text += &format!(
            "{} the facts are not whole: the agent had stored as much as it may; what follows may not hold\n",
            paint.bad("note:")
        );
    }
    text
}

/// What keeps the explanation from being the whole truth about the record.
fn notes(policy: &Policy, opened: &ExchangeOpened, effect: Effect, paint: Paint) -> String {
    let mut text = String::new();
    let recorded = &opened.decision;
    if recorded.policy != *policy.version() {
        let differs = if recorded.effect == effect { "the same" } else { "otherwise" };
        let version = policy.version();
        text += &format!(
            "{} policy {version} explains it, not the one that decided; it decides {differs}\n",
            paint.bad("note:")
        );
    }
    if !policy.has_agent(&opened.facts.agent) {
        text +=
            &format!("{} this bundle has no agent `{}`\n", paint.bad("note:"), opened.facts.agent);
    }
    if policy.endpoint_named(&opened.facts.endpoint).is_none() {
        let endpoint = &opened.facts.endpoint;
        text += &format!("{} this bundle has no endpoint `{endpoint}`\n", paint.bad("note:"));
    }
    let lacks: Vec<String> = policy.lacks(&opened.facts).iter().map(ToString::to_string).collect();
    if !lacks.is_empty() {
        text += &format!(
            "{} nobody looked for {} then, so what follows may not hold\n",
            paint.bad("note:"),
            lacks.join(", ")
        );
    }
    text
}
