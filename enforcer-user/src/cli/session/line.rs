// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One event on one line, for a person.

use std::collections::BTreeSet;
use std::fmt::Display;

use enforcer_core::model::{
    ApprovalName, Decision, Denied, DenyReason, Effect, Obligations, Operation,
};
use enforcer_core::record::{
    BodyRef, CallVerdict, Cause, Charged, Ending, Event, EventBody, ExchangeClosed, ExchangeOpened,
    ExchangeOutcome, NetworkRefused, Process, RecordedCall, Repeated, SessionOpened, Technique,
    Unstored,
};

use crate::cli::paint::{Paint, count, time, user, visible};

/// An event on one line.
pub(super) fn line(event: &Event, paint: Paint) -> String {
    match &event.body {
        EventBody::ConnectionRefused { .. }
        | EventBody::ConnectionsCut { .. }
        | EventBody::KernelEventsLost { .. }
        | EventBody::NetworkRefused(_)
        | EventBody::ResolveRefused { .. } => network_line(&event.body, paint),
        EventBody::ApprovalAnswered { .. }
        | EventBody::ApprovalAsked { .. }
        | EventBody::Audited { .. }
        | EventBody::BudgetReset { .. } => obligation_line(&event.body, paint),
        EventBody::EventsLost { count } => {
            paint.bad(&format!("{count} events were not recorded: queue full"))
        }
        EventBody::ExchangeClosed(closed) => closed_line(closed, paint),
        EventBody::ExchangeOpened(opened) => opened_line(opened, paint),
        EventBody::JournalRecovered { detail } => format!("journal recovered: {}", visible(detail)),
        EventBody::FaultBegan { fault, detail } => {
            format!("{} {}: {}", paint.bad("FAULT"), fault.name(), visible(detail))
        }
        EventBody::FaultEnded { fault } => {
            format!("{} {}", paint.good("fault is over:"), fault.name())
        }
        EventBody::PolicyLoaded { policy } => format!("policy {policy} in force"),
        EventBody::SessionClosed {} => paint.strong("session ended"),
        EventBody::SessionOpened(opened) => began_line(opened, paint),
        EventBody::TunnelClosed { exchange, bytes_up, bytes_down, denied, detail } => {
            match denied {
                Some(denied) => joined(&[
                    format!("#{} {}", exchange.number, refusal(denied, None, paint.bad("DENIED"))),
                    detail.as_deref().map(visible).unwrap_or_default(),
                ]),
                None => format!(
                    "#{} tunnel closed: {bytes_up} bytes up, {bytes_down} down",
                    exchange.number
                ),
            }
        }
    }
}

fn began_line(opened: &SessionOpened, paint: Paint) -> String {
    format!(
        "{} as agent {}, user {}, under policy {}{}: {}",
        paint.strong("session began"),
        visible(opened.agent.as_str()),
        user(opened.process.uid),
        opened.policy,
        opened.launch.as_ref().map(|launch| format!(", {launch}")).unwrap_or_default(),
        visible(&opened.command.join(" "))
    )
}

/// What was refused or lost before it became an exchange.
fn network_line(body: &EventBody, paint: Paint) -> String {
    match body {
        EventBody::ConnectionRefused {
            process,
            destination,
            server_name,
            denied,
            detail,
            mode,
        } => {
            let name = server_name.as_ref().map(|name| format!(" ({})", visible(name)));
            let word = if mode.is_enforce() {
                paint.bad("REFUSED")
            } else {
                paint.strong("would be refused:")
            };
            let detail = detail.as_deref().map(|detail| format!(" ({})", visible(detail)));
            format!(
                "{word} connection to {}{} by {}: {} [{}]{}; {}",
                visible(destination),
                name.unwrap_or_default(),
                by(process),
                denied.reason.sentence(),
                denied.reason.code(),
                detail.unwrap_or_default(),
                // It is no exchange, so `why` cannot be asked about it.
                denied.reason.advice()
            )
        }
        EventBody::ConnectionsCut { process, count } => format!(
            "{} of {}: {count} made before it was guarded",
            paint.bad("CONNECTIONS ENDED"),
            by(process)
        ),
        EventBody::KernelEventsLost { count } => paint
            .bad(&format!("{count} refusals of the kernel were not recorded: its ring was full")),
        EventBody::NetworkRefused(refused) => refused_line(refused, paint),
        EventBody::ResolveRefused { process, name, repeated } => {
            let by = process.as_ref().map(|process| format!(" by {}", by(process)));
            format!(
                "{} name {}{}: no endpoint that this agent may use has it{}",
                paint.bad("REFUSED"),
                visible(name),
                by.unwrap_or_default(),
                times(repeated)
            )
        }
        _ => String::new(),
    }
}

/// What people did about an obligation, or have to.
fn obligation_line(body: &EventBody, paint: Paint) -> String {
    let names = |names: &BTreeSet<ApprovalName>| list(names.iter());
    match body {
        EventBody::ApprovalAnswered { exchange, question, approvals, grants, by, .. } => {
            let word = if *grants { paint.good("GRANTED") } else { paint.bad("REFUSED") };
            let (number, by) = (exchange.number, visible(by));
            format!("#{number} {word} by {by}: {} (question {question})", names(approvals))
        }
        EventBody::ApprovalAsked { exchange, question, needs, .. } => {
            format!("#{} waits for {} (question {question})", exchange.number, names(needs))
        }
        EventBody::Audited { by, uid, of_session, what } => {
            let of = of_session.map(|session| format!(" of session {session}")).unwrap_or_default();
            format!("{} (user {uid}) read {}{of}", visible(by), what.words())
        }
        EventBody::BudgetReset { account, by, had } => format!(
            "{} {} by {}, at {} and {}",
            paint.bad("budget reset:"),
            visible(account),
            visible(by),
            count(had.tokens, "token", "tokens"),
            count(had.requests, "request", "requests")
        ),
        _ => String::new(),
    }
}

fn refused_line(refused: &NetworkRefused, paint: Paint) -> String {
    let word = paint.alarm("BYPASS refused:");
    let socket = match refused.technique {
        Technique::OtherFamily | Technique::OtherProtocol | Technique::Unknown => {
            format!(" (socket {})", visible(&refused.socket))
        }
        _ => String::new(),
    };
    let to = refused.destination.as_ref().map(|to| format!(" to {}", visible(to)));
    let by = match refused.process.pid {
        0 => "an unknown process".to_owned(),
        _ => by(&refused.process),
    };
    format!(
        "{word} {}{socket}{} by {by}{}",
        refused.technique.sentence(),
        to.unwrap_or_default(),
        times(&refused.repeated)
    )
}

fn times(repeated: &Repeated) -> String {
    let Repeated { count, first, last, is_mixed } = repeated;
    let (Some(first), Some(last)) = (first, last) else { return String::new() };
    let mixed = if *is_mixed { ", not all alike" } else { "" };
    format!(", {count} times from {} to {}{mixed}", time(*first), time(*last))
}

fn opened_line(opened: &ExchangeOpened, paint: Paint) -> String {
    let decision = &opened.decision;
    let judged = match &opened.denied {
        Some(denied) if denied.reason == DenyReason::Policy => {
            let word = paint.bad("DENIED");
            let unjudged = match &opened.facts.operation {
                // A refusal says it by itself, unless the record is from a version in which none did.
                Operation::Opaque(opaque) if denied.message == decision.message => {
                    format!(" ({})", visible(&opaque.unjudged()))
                }
                _ => String::new(),
            };
            format!("{word} {}{unjudged}{}", because(decision), message(denied))
        }
        Some(denied) => refusal(denied, opened.cause.as_ref(), paint.bad("DENIED")),
        None if decision.effect == Effect::Deny => paint.good("sent on"),
        None => format!("{} by {}", paint.good("allowed"), list(decision.because.iter())),
    };
    let model = opened.facts.operation.model().map(|model| format!(" {}", visible(model)));
    let number = opened.exchange.number;
    let asked = format!(
        "#{number} {}{}: {} to {}  {judged}",
        opened.facts.operation.action(),
        model.unwrap_or_default(),
        visible(&opened.request_line),
        visible(&opened.host),
    );
    let would = undone(decision).map(|would| paint.strong(&would)).unwrap_or_default();
    joined(&[
        asked,
        would,
        masked(opened.masked),
        if opened.facts_cut { "the facts are not whole".to_owned() } else { String::new() },
        unstored("the request", opened.request.as_ref(), opened.request_unstored),
    ])
}

/// Which rules denied, in words; the reason's code stands behind it, for who searches.
pub(super) fn because(decision: &Decision) -> String {
    let code = DenyReason::Policy.code();
    match (decision.because.as_slice(), decision.errors.as_slice()) {
        (_, [_, ..]) => {
            format!("because a rule erred: {} [{code}]", list(decision.errors.iter()))
        }
        ([], []) => format!("because no rule permits it [{code}]"),
        (rules, []) => format!("by {} [{code}]", list(rules.iter())),
    }
}

/// What a decision would have done if nothing only observed, and by which rules.
pub(super) fn undone(decision: &Decision) -> Option<String> {
    let undone = decision.undone()?;
    let rules = match (decision.undone_by(), undone.effect) {
        ([], Effect::Deny) => "because no rule permits it".to_owned(),
        ([], Effect::Allow) => String::new(),
        (rules, Effect::Deny) => format!("by {}", list(rules.iter())),
        (rules, Effect::Allow) => format!("({})", list(rules.iter())),
    };
    let what = match undone.effect {
        Effect::Deny => vec!["would be denied".to_owned()],
        Effect::Allow => {
            let mut would = would(&undone.obligations);
            if decision.is_refusal() {
                would.insert(0, "would be allowed".to_owned());
            }
            would
        }
    };
    Some(format!("observed only: {} {rules}", what.join(", ")).trim_end().to_owned())
}

fn would(obligations: &Obligations) -> Vec<String> {
    let Obligations { mask_request, mask_response, approvals, budgets, credentials, record: _ } =
        obligations;
    [
        ("would wait for", list(approvals.iter())),
        ("would be masked by", list(mask_request.iter())),
        ("its answer would be masked by", list(mask_response.iter())),
        ("would be charged to", list(budgets.iter())),
        ("would get the credential", list(credentials.iter())),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| format!("{what} {names}"))
    .collect()
}

fn closed_line(closed: &ExchangeClosed, paint: Paint) -> String {
    let status = closed.status.map(|status| format!(" (status {status})")).unwrap_or_default();
    let how = match (&closed.outcome, closed.status) {
        (ExchangeOutcome::Aborted, None) => paint.bad("the agent left before an answer"),
        (ExchangeOutcome::Aborted, Some(_)) => {
            paint.bad("the agent left before the answer was whole") + &status
        }
        (ExchangeOutcome::Completed, Some(status)) => format!("answered with status {status}"),
        (ExchangeOutcome::Completed, None) => "answered".to_owned(),
        (ExchangeOutcome::Denied(denied), _) => {
            let word = if Ending::is_cut(closed) { "ANSWER CUT" } else { "DENIED" };
            refusal(denied, closed.cause.as_ref(), paint.bad(word)) + &status
        }
    };
    let tokens = closed
        .usage
        .map(|usage| format!("tokens {} in and {} out", usage.input_tokens, usage.output_tokens));
    joined(&[
        format!("#{} {how} in {} ms", closed.exchange.number, closed.took_ms),
        tokens.unwrap_or_default(),
        charged(&closed.charged),
        masked(closed.masked),
        tool_calls(closed, paint),
        unstored("the request", closed.request.as_ref(), closed.request_unstored),
        unstored("the answer", closed.response.as_ref(), closed.response_unstored),
        closed.detail.as_deref().map(visible).unwrap_or_default(),
    ])
}

/// The calls of tools that the model asked for, and what was decided.
fn tool_calls(closed: &ExchangeClosed, paint: Paint) -> String {
    let call = |call: &RecordedCall| {
        let server = call.server.as_deref().map(|server| format!(" of `{}`", visible(server)));
        let rules = match call.rules.as_slice() {
            [] => String::new(),
            rules => format!(" by {}", list(rules.iter())),
        };
        let reason = call.reason.map(|reason| format!(" [{}]", reason.code())).unwrap_or_default();
        let verdict = match call.verdict {
            CallVerdict::Allow => "allowed".to_owned(),
            CallVerdict::Deny => paint.bad("DENIED"),
            CallVerdict::WouldDeny => "would be denied".to_owned(),
        };
        let name = visible(&call.name);
        format!("tool call `{name}`{} {verdict}{rules}{reason}", server.unwrap_or_default())
    };
    let mut calls: Vec<String> = closed.tool_calls.iter().map(call).collect();
    if closed.more_tool_calls > 0 {
        calls.push(format!("{} more", count(closed.more_tool_calls, "tool call", "tool calls")));
    }
    calls.join(", ")
}

/// What it was charged, to each counter.
fn charged(charged: &[Charged]) -> String {
    let each = charged.iter().map(|Charged { account, amount }| {
        let tokens = count(amount.tokens, "token", "tokens");
        let requests = count(amount.requests, "request", "requests");
        format!("{tokens} and {requests} to {}", visible(account))
    });
    let each: Vec<String> = each.collect();
    if each.is_empty() { String::new() } else { format!("charged {}", each.join(" and ")) }
}

/// Why an answer did not reach the agent whole, though a part of it may have.
pub(super) fn cut_short(closed: &ExchangeClosed) -> Option<String> {
    match &closed.outcome {
        ExchangeOutcome::Aborted => Some("the agent left before the rest".to_owned()),
        ExchangeOutcome::Completed => None,
        ExchangeOutcome::Denied(denied) => Some(format!("cut: {}", denied.reason.sentence())),
    }
}

/// What a person is told about a body that is not stored whole.
pub(super) fn not_stored(what: &str, body: Option<&BodyRef>, why: Unstored) -> String {
    let has_beginning = body.is_some_and(|body| body.stored_bytes > 0);
    let how = if has_beginning { "is stored only in part" } else { "is not stored" };
    format!("{what} {how}: {}", why.sentence())
}

fn unstored(what: &str, body: Option<&BodyRef>, why: Option<Unstored>) -> String {
    why.map(|why| not_stored(what, body, why)).unwrap_or_default()
}

fn masked(places: u64) -> String {
    if places == 0 { String::new() } else { count(places, "place", "places") + " masked" }
}

fn refusal(denied: &Denied, cause: Option<&Cause>, word: String) -> String {
    let cause = cause.map(|cause| format!(": {}", visible(&cause.sentence())));
    let (sentence, code) = (denied.reason.sentence(), denied.reason.code());
    format!("{word}: {sentence} [{code}]{}", cause.unwrap_or_else(|| message(denied)))
}

fn message(denied: &Denied) -> String {
    denied.message.as_ref().map(|message| format!(": {}", visible(message))).unwrap_or_default()
}

/// The parts that say something; a full stop is for the last one.
fn joined(parts: &[String]) -> String {
    let mut said = parts.iter().filter(|part| !part.is_empty()).peekable();
    let mut text = String::new();
    while let Some(part) = said.next() {
        match said.peek() {
            Some(_) => text += &format!("{}, ", part.trim_end_matches('.')),
            None => text += part,
        }
    }
    text
}

/// Names, as they may stand on a terminal.
pub(super) fn list<N: Display>(names: impl Iterator<Item = N>) -> String {
    names.map(|name| visible(&name.to_string())).collect::<Vec<_>>().join(", ")
}

fn by(process: &Process) -> String {
    let exe = process.details.as_ref().and_then(|details| details.exe.as_ref());
    let exe = exe.map(|exe| format!(" {}", visible(exe))).unwrap_or_default();
    format!("{} (pid {}{exe})", visible(&process.comm), process.pid)
}

#[cfg(test)]
mod tests {
    use enforcer_core::model::{Mode, PolicyVersion, RuleId};

    use super::*;

    fn decision(effect: Effect, mode: Mode, because: &[&str]) -> Decision {
        Decision {
            effect,
            obligations: Obligations {
                approvals: [ApprovalName::new("lead"), ApprovalName::new("legal")].into(),
                ..Obligations::none()
            },
            because: because.iter().map(|rule| RuleId::new(*rule)).collect(),
            errors: vec![],
            observed: vec![],
            would: None,
            mode,
            message: None,
            policy: PolicyVersion::new("v"),
        }
    }

    #[test]
    fn what_only_observes_is_shown_as_what_it_would_do() {
        let shown = |effect, because: &[&str]| undone(&decision(effect, Mode::Observe, because));
        assert_eq!(
            shown(Effect::Allow, &["files"]).unwrap(),
            "observed only: would wait for lead, legal (files)"
        );
        assert_eq!(
            shown(Effect::Deny, &[]).unwrap(),
            "observed only: would be denied because no rule permits it"
        );
        assert_eq!(shown(Effect::Deny, &["no"]).unwrap(), "observed only: would be denied by no");
        assert_eq!(undone(&decision(Effect::Deny, Mode::Enforce, &[])), None);
    }

    #[test]
    fn parts_are_joined_without_a_full_stop_before_a_comma() {
        let parts = ["a: Use b.".to_owned(), String::new(), "1 place masked".to_owned()];
        assert_eq!(joined(&parts), "a: Use b, 1 place masked");
        assert_eq!(joined(&parts[..1]), "a: Use b.");
        assert_eq!((masked(1), masked(2)), ("1 place masked".into(), "2 places masked".into()));
    }
}
