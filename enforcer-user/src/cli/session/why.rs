// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session why`: what became of a recorded exchange, at which step and by which facts, and what to do.
//!
//! The outcome is what the record says, whatever a bundle would decide now. Below it the rules are explained by the
//! bundle of today, or by one that is given; where that is another version than the one that decided then, or where
//! it cannot be read, that is shown, too.

use std::io;
use std::path::{Path, PathBuf};

use enforcer_core::model::{Decision, DenyReason, Effect, ExchangeId, Mode, Operation, UnixMillis};
use enforcer_core::policy::{Explanation, Policy};
use enforcer_core::protocol::http::sentence;
use enforcer_core::record::{
    Cause, Ending, Event, EventBody, ExchangeClosed, ExchangeOpened, Refused,
};
use serde_json::{Value, json};

use super::line::{because, list, not_stored, undone};
use crate::cli::paint::{Paint, moment, user, user_name, visible};
use crate::cli::policy::why as rules;
use crate::cli::source::Source;
use crate::cli::{Exit, Failure};

/// Arguments of `enforcer session why`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The exchange.
    pub(super) id: ExchangeId,
    /// Explain by the bundle in this folder instead of the one in the settings.
    #[arg(long, value_name = "DIR")]
    pub(super) policies: Option<PathBuf>,
}

/// An exchange with all that is recorded of it.
#[derive(Debug)]
struct Story {
    at: UnixMillis,
    opened: ExchangeOpened,
    end: Option<EventBody>,
    /// Nothing more will be recorded of it.
    is_over: bool,
    /// Who refused which question, the last one for each exchange of the session.
    refusals: Vec<(u64, String)>,
}

/// Which bundle explains.
#[derive(Clone, Copy, Debug)]
pub enum By<'p> {
    /// One that has to be there: the caller named it.
    Given(&'p Path),
    /// The one of the settings. Where it cannot be read, that is noted, and no rule is explained.
    Settings(&'p Path),
    /// None.
    Nothing,
}

/// What `enforcer session why` prints, and how it ends: [`Exit::Difference`] if the exchange was denied.
///
/// # Errors
/// If the source cannot be read or does not know the exchange, or a bundle that was given cannot be read.
pub async fn why(
    source: &Source,
    id: ExchangeId,
    bundle: By<'_>,
    paint: Paint,
    is_json: bool,
) -> Result<(Exit, String), Failure> {
    let story = find(source, id).await?;
    let (policy, unread) = match bundle {
        By::Given(folder) => (Some(crate::daemon::load_policy(folder)?), None),
        By::Settings(folder) => match crate::daemon::load_policy(folder) {
            Ok(policy) => (Some(policy), None),
            Err(error) => (None, Some(error.to_string())),
        },
        By::Nothing => (None, None),
    };
    let ending = story.ending();
    let exit = if ending.refused().is_some() { Exit::Difference } else { Exit::Fine };
    let explained = policy.as_ref().map(|policy| (policy, policy.explain(&story.opened.facts)));
    if is_json {
        let data = story.json(ending, explained.as_ref(), unread);
        return Ok((exit, super::json(&data)?));
    }
    let mut text = story.text(ending, paint);
    if let Some(why) = unread {
        text += &format!("{} the rules are not explained: {why}\n", paint.bad("note:"));
    }
    if let Some((policy, explanation)) = &explained {
        text += &notes(policy, &story.opened, &explanation.decision, paint);
        let mut out = Vec::new();
        let printed = rules::print_explanation(explanation, &mut out);
        printed.map_err(|error: io::Error| Failure::host(&error))?;
        text += &String::from_utf8_lossy(&out);
    }
    Ok((exit, text))
}

async fn find(source: &Source, id: ExchangeId) -> Result<Story, Failure> {
    let events = source.events(id.session).await?;
    let mut is_over = !source.is_live();
    let (mut found, mut end, mut refusals) = (None, None, Vec::new());
    for Event { at, body, .. } in events {
        match body {
            EventBody::ExchangeOpened(opened) if opened.exchange == id => {
                found = Some((at, *opened));
            }
            EventBody::ExchangeClosed(ref closed) if closed.exchange == id => end = Some(body),
            EventBody::TunnelClosed { exchange, .. } if exchange == id => end = Some(body),
            // What people said before it ended; a later answer is about a later request.
            EventBody::ApprovalAnswered { question, grants: false, by, .. } if end.is_none() => {
                refusals.push((question, by));
            }
            EventBody::SessionClosed {} => is_over = true,
            _ => {}
        }
    }
    let (at, opened) = found.ok_or_else(|| super::unknown_exchange(id))?;
    Ok(Story { at, opened, end, is_over, refusals })
}

impl Story {
    fn ending(&self) -> Ending<'_> {
        Ending::of(&self.opened, self.end.as_ref(), self.is_over)
    }

    fn closed(&self) -> Option<&ExchangeClosed> {
        match &self.end {
            Some(EventBody::ExchangeClosed(closed)) => Some(closed),
            _ => None,
        }
    }

    /// What the operator needs to know beyond reason and cause.
    fn detail(&self) -> Option<&str> {
        match &self.end {
            Some(EventBody::ExchangeClosed(closed)) => closed.detail.as_deref(),
            Some(EventBody::TunnelClosed { detail, .. }) => detail.as_deref(),
            _ => None,
        }
    }

    /// Who refused the question that a refusal is about.
    fn refused_by(&self, refused: Refused<'_>) -> Option<&str> {
        let Some(Cause::Approval { question, .. }) = refused.cause else { return None };
        let of = |(number, _): &&(u64, String)| number == question;
        let found = self.refusals.iter().rfind(of).map(|(_, by)| by.as_str());
        found.filter(|_| refused.denied.reason == DenyReason::ApprovalRefused)
    }

    /// What to do about it, as exactly as the record allows.
    fn advice(&self, ending: Ending<'_>) -> Option<String> {
        let refused = ending.refused()?;
        if let Some(exact) = refused.cause.and_then(Cause::advice) {
            return Some(exact);
        }
        let general = refused.denied.reason.advice();
        Some(match (refused.denied.reason, &self.opened.facts.operation) {
            // A refusal says it by itself, unless the record is from a version in which none did.
            (DenyReason::Policy, Operation::Opaque(opaque))
                if refused.denied.message == self.opened.decision.message =>
            {
                format!("{}; {general}", opaque.unjudged())
            }
            (DenyReason::UpstreamCertificate, _) if self.is_other_name() => {
                format!("{general}, at `[upstream.resolve]`, and at the host in policy.toml")
            }
            _ => general.to_owned(),
        })
    }

    /// What reached the agent; `said` is the refusal in words.
    fn received(&self, ending: Ending<'_>, said: &str) -> String {
        let status = self.closed().and_then(|closed| closed.status).unwrap_or_default();
        match ending {
            Ending::Cut(refused) if refused.denied.reason == DenyReason::UpstreamUnreachable => {
                format!("the beginning of the answer, with status {status}; then it broke off")
            }
            Ending::Cut(_) => format!(
                "the beginning of the answer, with status {status}; then, where that was a stream: {said}"
            ),
            Ending::AgentLeft { .. }
            | Ending::Answered
            | Ending::Denied(_)
            | Ending::Lost
            | Ending::UnderWay => said.to_owned(),
        }
    }

    /// The certificate of the provider is for another name, as the TLS library says it.
    fn is_other_name(&self) -> bool {
        let words = ["not valid for name", "NotValidForName"];
        self.detail().is_some_and(|detail| words.iter().any(|word| detail.contains(word)))
    }

    /// What was found, one fact on each line.
    fn facts(&self, refused: Refused<'_>) -> Vec<String> {
        let denied = refused.denied;
        let by_rules = (denied.reason == DenyReason::Policy)
            .then(|| format!("denied {}", because(&self.opened.decision)));
        let message = denied.message.as_ref().filter(|_| denied.reason == DenyReason::Policy);
        let message = message.map(|message| format!("message: {message}"));
        let by = self.refused_by(refused).map(|by| format!("refused by {by}"));
        let cause = refused.cause.map(Cause::sentence);
        let detail = self.detail().map(str::to_owned);
        by_rules.into_iter().chain(message).chain(cause).chain(by).chain(detail).collect()
    }

    fn json(
        &self,
        ending: Ending<'_>,
        explained: Option<&(&Policy, Explanation)>,
        unread: Option<String>,
    ) -> Value {
        let opened = &self.opened;
        let refused = ending.refused();
        let closed = self.closed();
        json!({
            "exchange": opened.exchange,
            "at": self.at,
            "agent": opened.facts.agent,
            "uid": opened.process.uid,
            "user": user_name(opened.process.uid),
            "host": opened.host,
            "request_line": opened.request_line,
            "outcome": ending.outcome(),
            "step": refused.map(|refused| refused.denied.reason.step()),
            "denied": refused.map(|refused| refused.denied),
            "cause": refused.and_then(|refused| refused.cause),
            "facts": refused.map(|refused| self.facts(refused)),
            "refused_by": refused.and_then(|refused| self.refused_by(refused)),
            "advice": self.advice(ending),
            "detail": self.detail(),
            "status": closed.and_then(|closed| closed.status),
            "usage": closed.and_then(|closed| closed.usage),
            "charged": closed.map(|closed| &closed.charged),
            "would_deny": opened.decision.would_deny(),
            "recorded": opened.decision,
            "request_unstored": opened.request_unstored,
            "facts_cut": opened.facts_cut,
            "bundle_unread": unread,
            "same_version": explained
                .map(|(policy, _)| opened.decision.policy == *policy.version()),
            "not_looked_for": explained.map(|(policy, _)| policy.lacks(&opened.facts)),
            "hidden_facts": explained.map(|(policy, _)| policy.lacks_hidden(&opened.facts)),
            "nearest_permit": explained
                .and_then(|(_, explanation)| explanation.nearest_permit()),
            "explanation": explained.map(|(_, explanation)| explanation),
        })
    }

    fn text(&self, ending: Ending<'_>, paint: Paint) -> String {
        let opened = &self.opened;
        let process = &opened.process;
        let mut text = format!(
            "{}  {}  {} to {}\nasked by: agent {}, user {}, {} (pid {})\noutcome: {}\n",
            paint.faint(&moment(self.at)),
            opened.exchange,
            visible(&opened.request_line),
            visible(&opened.host),
            visible(opened.facts.agent.as_str()),
            user(process.uid),
            visible(&process.comm),
            process.pid,
            self.verdict(ending, paint),
        );
        if let Some(refused) = ending.refused() {
            for fact in self.facts(refused) {
                text += &format!("fact: {}\n", visible(&fact));
            }
        }
        if let Some(advice) = self.advice(ending) {
            text += &format!("advice: {}\n", visible(&advice));
        }
        if let Some(refused) = ending.refused() {
            let said = sentence(refused.denied, Some(opened.exchange));
            text += &format!("the agent received: {}\n", self.received(ending, &visible(&said)));
        }
        let decision = &opened.decision;
        text += &format!(
            "rules: {}, {} (policy {})\n",
            rules::verb(decision.effect),
            rules::because(decision),
            decision.policy,
        );
        if let Some(undone) = undone(decision) {
            text += &format!("{undone}\n");
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

    /// The outcome in one line, as the record says it.
    fn verdict(&self, ending: Ending<'_>, paint: Paint) -> String {
        let said = |word: &str, refused: Refused<'_>| {
            let reason = refused.denied.reason;
            let (step, code) = (reason.step().word(), reason.code());
            let sentence = match (ending, reason) {
                (Ending::Cut(_), DenyReason::UpstreamUnreachable) => {
                    "the provider ended the connection before its answer was whole"
                }
                _ => reason.sentence(),
            };
            format!("{} at the step `{step}`: {sentence} [{code}]", paint.bad(word))
        };
        let status = self.closed().and_then(|closed| closed.status);
        match ending {
            Ending::AgentLeft { is_begun: false } => {
                paint.bad("agent left") + ", before an answer had begun"
            }
            Ending::AgentLeft { is_begun: true } => {
                paint.bad("agent left") + ", before its answer was whole"
            }
            Ending::Answered => match status {
                Some(status) => format!("{} with status {status}", paint.good("answered")),
                None => paint.good("answered"),
            },
            Ending::Cut(refused) => said("cut", refused),
            Ending::Denied(refused) => said("denied", refused),
            Ending::Lost => {
                paint.bad("lost") + ": the daemon ended before the end of the exchange was recorded"
            }
            Ending::UnderWay => paint.strong("under way") + ": its end is not recorded yet",
        }
    }
}

/// How what would happen now differs from what happened; `is_known` if the bundle of today has agent and endpoint.
fn difference(recorded: &Decision, now: &Decision, is_known: bool) -> &'static str {
    match (recorded.effect, now.effect) {
        (Effect::Allow, Effect::Deny) | (Effect::Deny, Effect::Allow) => "decides otherwise",
        (Effect::Allow, Effect::Allow) => "decides the same",
        (Effect::Deny, Effect::Deny) if recorded.mode != now.mode => match now.mode {
            Mode::Enforce => "denies it too, and does not only observe",
            Mode::Observe => "denies it too, but only observes",
        },
        (Effect::Deny, Effect::Deny) => {
            let is_same = recorded.because == now.because && recorded.errors == now.errors;
            if is_known && is_same {
                "decides the same"
            } else {
                "denies it too, for another reason"
            }
        }
    }
}

/// What keeps the explanation from being the whole truth about the record.
fn notes(policy: &Policy, opened: &ExchangeOpened, now: &Decision, paint: Paint) -> String {
    let mut text = String::new();
    let recorded = &opened.decision;
    if recorded.policy != *policy.version() {
        let is_known = policy.has_agent(&opened.facts.agent)
            && policy.endpoint_named(&opened.facts.endpoint).is_some();
        let (version, differs) = (policy.version(), difference(recorded, now, is_known));
        text += &format!(
            "{} policy {version} explains it, not the one that decided; it {differs}\n",
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
    let lacks = list(policy.lacks(&opened.facts).iter());
    if !lacks.is_empty() {
        text += &format!(
            "{} nobody looked for {lacks} then, so what follows may not hold\n",
            paint.bad("note:")
        );
    }
    let hidden = list(policy.lacks_hidden(&opened.facts).iter());
    if !hidden.is_empty() {
        text += &format!(
            "{} a part of {hidden} is hidden in the record, so what follows may not hold\n",
            paint.bad("note:")
        );
    }
    text
}
