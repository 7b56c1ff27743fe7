// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A session as a conversation in time order: what was asked, what came back, what was refused.
//!
//! Shows what is recorded, which is masked already. It does not judge and does not decode beyond what a
//! person needs to follow; a body of an unknown shape is shown as its beginning.

use std::collections::BTreeSet;
use std::fmt::Write;

use enforcer_core::model::limits::BODY_VIEW_BYTES_MAX;
use enforcer_core::model::{ApprovalName, Denied, DenyReason, Effect, RecordDepth, UnixMillis};
use enforcer_core::record::{
    BodyRef, Event, EventBody, ExchangeClosed, ExchangeOpened, ExchangeOutcome, NetworkRefused,
    Process, Repeated, Unstored,
};
use serde::Serialize;
use serde_json::Value;

use super::source::Source;

/// Characters of a body without a known shape that are shown.
const EXCERPT_CHARS: usize = 400;

/// Who says that a body is not whole.
const NOT_WHOLE: &str = "not whole";

/// Colors, where there is a terminal to show them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    pub(super) colors: bool,
}

impl Paint {
    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Ways around, apart from ordinary denials.
    pub(super) fn alarm(self, text: &str) -> String {
        self.paint("1;35", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// An event and what its bodies say.
#[derive(Debug, Serialize)]
pub(super) struct Scene {
    /// The event.
    pub(super) event: Event,
    /// What was asked, where a body of it is stored.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) asked: Vec<Said>,
    /// What came back.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) answered: Vec<Said>,
}

/// Something that someone said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Said {
    /// Who: the role, `tool call`, `error`, `body`.
    pub(super) who: String,
    /// What.
    pub(super) what: String,
}

impl Said {
    fn new(who: impl Into<String>, what: impl Into<String>) -> Self {
        Self { who: who.into(), what: what.into() }
    }
}

/// The events with what their bodies say. A body that cannot be read is said to be so.
pub(super) async fn scenes(source: &Source, events: Vec<Event>) -> Vec<Scene> {
    let mut scenes = Vec::with_capacity(events.len());
    for event in events {
        let nothing = (None, None);
        let (request, response) = match &event.body {
            EventBody::ExchangeOpened(opened) => {
                ((opened.request.as_ref(), opened.request_unstored), nothing)
            }
            EventBody::ExchangeClosed(closed) => (
                (closed.request.as_ref(), closed.request_unstored),
                (closed.response.as_ref(), closed.response_unstored),
            ),
            _ => (nothing, nothing),
        };
        let asked = match facts_only(&event) {
            Some(note) => vec![note],
            None => said(source, &event, request, asked).await,
        };
        let answered = said(source, &event, response, answered).await;
        scenes.push(Scene { event, asked, answered });
    }
    scenes
}

/// Why there is no text, where the rules asked for none.
fn facts_only(event: &Event) -> Option<Said> {
    let EventBody::ExchangeOpened(opened) = &event.body else { return None };
    let is_asked = opened.decision.obligations.record == RecordDepth::Facts;
    let note = "texts are not stored: the rules ask for facts only";
    (is_asked && opened.request.is_none()).then(|| Said::new("record", note))
}

async fn said(
    source: &Source,
    event: &Event,
    (body, unstored): (Option<&BodyRef>, Option<Unstored>),
    read: fn(&str) -> Vec<Said>,
) -> Vec<Said> {
    let Some(body) = body else { return Vec::new() };
    let mut bytes = match source.body(event, body).await {
        Ok(bytes) => bytes,
        Err(why) => return vec![Said::new("missing", why)],
    };
    let is_shown = bytes.len() <= BODY_VIEW_BYTES_MAX;
    bytes.truncate(BODY_VIEW_BYTES_MAX);
    let mut said = read(&String::from_utf8_lossy(&bytes));
    said.extend(missing(body, unstored, is_shown).map(|what| Said::new(NOT_WHOLE, what)));
    said
}

/// What is missing at the end of a body of which something is stored.
fn missing(body: &BodyRef, unstored: Option<Unstored>, is_shown: bool) -> Option<String> {
    let what = if body.stored_bytes > 0 { "the rest is not stored" } else { "not stored" };
    if let Some(why) = unstored {
        return Some(format!("({what}: {})", why.sentence()));
    }
    if body.seen_bytes > body.stored_bytes {
        return Some(format!("({what})"));
    }
    let mib = BODY_VIEW_BYTES_MAX / 1024 / 1024;
    (!is_shown).then(|| format!("(the rest is stored, and not shown: more than {mib} MiB)"))
}

/// What a person is told about a body that is not stored whole.
pub(super) fn not_stored(what: &str, body: Option<&BodyRef>, why: Unstored) -> String {
    let has_beginning = body.is_some_and(|body| body.stored_bytes > 0);
    let how = if has_beginning { "is stored only in part" } else { "is not stored" };
    format!("{what} {how}: {}", why.sentence())
}

/// The messages of a request since the model spoke last; the earlier ones were shown when they were new.
fn asked(body: &str) -> Vec<Said> {
    let Ok(json) = serde_json::from_str::<Value>(body) else { return excerpt(body) };
    let Some(messages) = json.get("messages").and_then(Value::as_array) else {
        return excerpt(body);
    };
    let is_model = |message: &Value| message.get("role").is_some_and(|role| role == "assistant");
    let new = messages.iter().rposition(is_model).map_or(0, |last| last + 1);
    messages.iter().skip(new).flat_map(message).collect()
}

/// What a plain or streamed answer says.
fn answered(body: &str) -> Vec<Said> {
    if body.trim_start().starts_with("data:") || body.trim_start().starts_with("event:") {
        return streamed(body);
    }
    let Ok(json) = serde_json::from_str::<Value>(body) else { return excerpt(body) };
    if let Some(error) = error_of(&json) {
        return vec![error];
    }
    let Some(choices) = json.get("choices").and_then(Value::as_array) else { return excerpt(body) };
    choices.iter().filter_map(|choice| choice.get("message")).flat_map(message).collect()
}

/// The pieces of a streamed answer, put together by choice.
fn streamed(body: &str) -> Vec<Said> {
    let mut texts: std::collections::BTreeMap<(u64, u64), Said> = std::collections::BTreeMap::new();
    let mut errors = Vec::new();
    for line in body.lines() {
        let data = line.strip_prefix("data:").map(str::trim);
        let Some(event) = data.and_then(|data| serde_json::from_str::<Value>(data).ok()) else {
            continue;
        };
        errors.extend(error_of(&event));
        let choices = event.get("choices").and_then(Value::as_array);
        for choice in choices.into_iter().flatten() {
            let index = choice.get("index").and_then(Value::as_u64).unwrap_or(0);
            let Some(delta) = choice.get("delta") else { continue };
            if let Some(text) = delta.get("content").and_then(Value::as_str) {
                let said = texts.entry((index, 0)).or_insert_with(|| Said::new("assistant", ""));
                said.what.push_str(text);
            }
            let calls = delta.get("tool_calls").and_then(Value::as_array);
            for call in calls.into_iter().flatten() {
                let number = call.get("index").and_then(Value::as_u64).unwrap_or(0);
                let place = (index, number.saturating_add(1));
                let said = texts.entry(place).or_insert_with(|| Said::new("tool call", ""));
                said.what.push_str(&tool_call(call));
            }
        }
    }
    if texts.is_empty() && errors.is_empty() {
        return excerpt(body);
    }
    texts.into_values().filter(|said| !said.what.is_empty()).chain(errors).collect()
}

fn message(message: &Value) -> Vec<Said> {
    let role = message.get("role").and_then(Value::as_str).unwrap_or("assistant");
    let mut said = Vec::new();
    let text = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts.iter().map(part).collect::<Vec<_>>().join("\n"),
        _ => String::new(),
    };
    if !text.is_empty() {
        said.push(Said::new(role, text));
    }
    let calls = message.get("tool_calls").and_then(Value::as_array);
    said.extend(calls.into_iter().flatten().map(|call| Said::new("tool call", tool_call(call))));
    said
}

fn part(part: &Value) -> String {
    let kind = part.get("type").and_then(Value::as_str).unwrap_or("part");
    let text = part.get("text").and_then(Value::as_str);
    text.map_or_else(|| format!("[{kind}]"), str::to_owned)
}

/// A tool call or a piece of one: the name, then the arguments as they come.
fn tool_call(call: &Value) -> String {
    let function = call.get("function");
    let word = |key| function.and_then(|f| f.get(key)).and_then(Value::as_str);
    let name = word("name").map(|name| format!("{name} ")).unwrap_or_default();
    name + word("arguments").unwrap_or_default()
}

fn error_of(json: &Value) -> Option<Said> {
    let error = json.get("error").filter(|error| !error.is_null())?;
    let message = error.get("message").and_then(Value::as_str);
    Some(Said::new("error", message.map_or_else(|| error.to_string(), str::to_owned)))
}

fn excerpt(body: &str) -> Vec<Said> {
    let mut text: String = body.chars().take(EXCERPT_CHARS).collect();
    if text.len() < body.len() {
        text.push('…');
    }
    if text.is_empty() { Vec::new() } else { vec![Said::new("body", text)] }
}

/// The play for a person.
pub(super) fn text(scenes: &[Scene], paint: Paint) -> String {
    let mut text = String::new();
    for scene in scenes {
        // Writing into a String does not fail.
        let _infallible =
            writeln!(text, "{}  {}", paint.faint(&time(scene.event.at)), line(&scene.event, paint));
        for said in scene.asked.iter().chain(&scene.answered) {
            let is_bad = matches!(said.who.as_str(), "error" | "missing" | NOT_WHOLE);
            let who = format!("{:>11}", visible(&said.who));
            let who = if is_bad { paint.bad(&who) } else { paint.strong(&who) };
            for (number, said) in said.what.lines().enumerate() {
                let who = if number == 0 { who.as_str() } else { "           " };
                let _infallible = writeln!(text, "{who}  {}", visible(said));
            }
        }
    }
    text
}

/// An event on one line.
pub(super) fn line(event: &Event, paint: Paint) -> String {
    match &event.body {
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
            format!(
                "{word} connection to {}{} by {}: {}{}",
                visible(destination),
                name.unwrap_or_default(),
                by(process),
                reason(denied),
                in_words(detail.as_deref())
            )
        }
        EventBody::ApprovalAnswered { .. }
        | EventBody::ApprovalAsked { .. }
        | EventBody::Audited { .. }
        | EventBody::BudgetReset { .. } => obligation_line(&event.body, paint),
        EventBody::ConnectionsCut { process, count } => format!(
            "{} of {}: {count} made before it was guarded",
            paint.bad("CONNECTIONS ENDED"),
            by(process)
        ),
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
        EventBody::KernelEventsLost { count } => paint
            .bad(&format!("{count} refusals of the kernel were not recorded: its ring was full")),
        EventBody::NetworkRefused(refused) => refused_line(refused, paint),
        EventBody::PolicyLoaded { policy } => format!("policy {policy} in force"),
        EventBody::ResolveRefused { process, name, repeated } => {
            let by = process.as_ref().map(|process| format!(" by {}", by(process)));
            format!(
                "{} name {}{}: no endpoint uses it{}",
                paint.bad("REFUSED"),
                visible(name),
                by.unwrap_or_default(),
                times(repeated)
            )
        }
        EventBody::SessionClosed {} => paint.strong("session ended"),
        EventBody::SessionOpened(opened) => format!(
            "{} as agent {} under policy {}{}: {}",
            paint.strong("session began"),
            visible(opened.agent.as_str()),
            opened.policy,
            opened.launch.as_ref().map(|launch| format!(", {launch}")).unwrap_or_default(),
            visible(&opened.command.join(" "))
        ),
        EventBody::TunnelClosed { exchange, bytes_up, bytes_down } => {
            format!("#{} tunnel closed: {bytes_up} bytes up, {bytes_down} down", exchange.number)
        }
    }
}

/// What people did about an obligation, or have to.
fn obligation_line(body: &EventBody, paint: Paint) -> String {
    let names = |names: &BTreeSet<ApprovalName>| {
        let names: Vec<&str> = names.iter().map(ApprovalName::as_str).collect();
        names.join(", ")
    };
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
            "{} {} by {}, at {} tokens and {} requests",
            paint.bad("budget reset:"),
            visible(account),
            visible(by),
            had.tokens,
            had.requests
        ),
        _ => String::new(),
    }
}

fn refused_line(refused: &NetworkRefused, paint: Paint) -> String {
    let word = paint.alarm("WAY AROUND refused");
    let to = refused.destination.as_ref().map(|to| format!(" to {}", visible(to)));
    let by = match refused.process.pid {
        0 => "an unknown process".to_owned(),
        _ => by(&refused.process),
    };
    format!(
        "{word} {}: {}{} by {by}: {} ({}){}",
        refused.technique.word(),
        visible(&refused.socket),
        to.unwrap_or_default(),
        visible(&refused.refusal),
        visible(&refused.hook),
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
    let rules = names(&opened.decision.because);
    let judged = match (&opened.denied, opened.decision.effect) {
        (Some(denied), _) => format!("{} {}", paint.bad("DENIED"), reason(denied)),
        (None, Effect::Deny) => {
            format!("{} observed only, rules {rules}", paint.bad("WOULD BE DENIED"))
        }
        (None, Effect::Allow) => format!("{} by {rules}", paint.good("allowed")),
    };
    let model = opened.facts.operation.model().map(|model| format!(" {}", visible(model)));
    let model = model.unwrap_or_default();
    let action = opened.facts.operation.action();
    let host = visible(&opened.host);
    let request = visible(&opened.request_line);
    let masked = masked(opened.masked);
    let unstored = unstored("the request", opened.request.as_ref(), opened.request_unstored);
    let cut = if opened.facts_cut { ", the facts are not whole" } else { "" };
    let number = opened.exchange.number;
    format!("#{number} {action}{model}: {request} to {host}  {judged}{masked}{cut}{unstored}")
}

fn unstored(what: &str, body: Option<&BodyRef>, why: Option<Unstored>) -> String {
    why.map(|why| format!(", {}", not_stored(what, body, why))).unwrap_or_default()
}

fn closed_line(closed: &ExchangeClosed, paint: Paint) -> String {
    let how = match &closed.outcome {
        ExchangeOutcome::Aborted => paint.bad("the agent went away"),
        ExchangeOutcome::Completed => "answered".to_owned(),
        ExchangeOutcome::Denied(denied) => format!("{} {}", paint.bad("DENIED"), reason(denied)),
    };
    let status = closed.status.map(|status| format!(" {status}")).unwrap_or_default();
    let tokens = closed
        .usage
        .map(|usage| format!(", tokens {} in {} out", usage.input_tokens, usage.output_tokens));
    format!(
        "#{} {how}{status} in {} ms{}{}{}{}{}",
        closed.exchange.number,
        closed.took_ms,
        tokens.unwrap_or_default(),
        masked(closed.masked),
        unstored("the request", closed.request.as_ref(), closed.request_unstored),
        unstored("the answer", closed.response.as_ref(), closed.response_unstored),
        in_words(closed.detail.as_deref())
    )
}

fn masked(places: u64) -> String {
    if places == 0 { String::new() } else { format!(", {places} places masked") }
}

fn in_words(detail: Option<&str>) -> String {
    detail.map(|detail| format!(" ({})", visible(detail))).unwrap_or_default()
}

fn reason(denied: &Denied) -> String {
    let mut text = denied.reason.code().to_owned();
    if denied.reason != DenyReason::Policy {
        text = format!("{} [{text}]", denied.reason.sentence());
    }
    if !denied.rules.is_empty() {
        text += &format!(" by {}", names(&denied.rules));
    }
    if let Some(message) = &denied.message {
        text += &format!(": {}", visible(message));
    }
    text
}

fn names(rules: &[enforcer_core::model::RuleId]) -> String {
    match rules {
        [] => "no rule".to_owned(),
        rules => rules.iter().map(|rule| visible(rule.as_str())).collect::<Vec<_>>().join(", "),
    }
}

fn by(process: &Process) -> String {
    let exe = process.details.as_ref().and_then(|details| details.exe.as_ref());
    let exe = exe.map(|exe| format!(" {}", visible(exe))).unwrap_or_default();
    format!("{} (pid {}{exe})", visible(&process.comm), process.pid)
}

/// Text without anything that a terminal obeys or that hides what stands there.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        // SECURITY: escape sequences rewrite the screen, direction marks and joiners rewrite the eye.
        let is_direction = matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if char == '\t' {
            out.push(' ');
        } else if char.is_control() || is_direction {
            out.extend(char.escape_unicode());
        } else {
            out.push(char);
        }
    }
    out
}

/// Day and time, UTC.
pub(super) fn moment(at: UnixMillis) -> String {
    crate::runtime::moment(at)
}

fn time(at: UnixMillis) -> String {
    timestamp(at).strftime("%H:%M:%S%.3f").to_string()
}

fn timestamp(at: UnixMillis) -> jiff::Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(said: Vec<Said>, expect: &[(&str, &str)]) {
        let expect: Vec<_> = expect.iter().map(|(who, what)| Said::new(*who, *what)).collect();
        assert_eq!(said, expect);
    }

    #[test]
    fn only_what_is_new_in_a_request_is_shown() {
        check(
            asked(
                r#"{"messages":[{"role":"system","content":"s"},{"role":"user","content":"a"},
                {"role":"assistant","content":"b"},{"role":"user","content":[{"type":"text","text":"c"},
                {"type":"image_url","image_url":{}}]}]}"#,
            ),
            &[("user", "c\n[image_url]")],
        );
        check(asked("not json"), &[("body", "not json")]);
        check(asked(r#"{"input":1}"#), &[("body", r#"{"input":1}"#)]);
        check(asked(""), &[]);
    }

    #[test]
    fn a_streamed_answer_is_put_together() {
        let body = concat!(
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"He\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"llo\"}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"{\"}}]}}]}\n\n",
            "data: {\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}}]}\n\n",
            "data: {\"error\":{\"message\":\"cut\"}}\n\ndata: [DONE]\n\n",
        );
        check(answered(body), &[("assistant", "Hello"), ("tool call", "f {}"), ("error", "cut")]);
    }

    #[test]
    fn a_plain_answer_and_an_error_are_shown() {
        let plain = r#"{"choices":[{"index":0,"message":{"role":"assistant","content":"hi"}}]}"#;
        check(answered(plain), &[("assistant", "hi")]);
        check(answered(r#"{"error":{"message":"no"}}"#), &[("error", "no")]);
    }

    #[test]
    fn a_body_that_is_not_whole_is_said_to_be_so() {
        let body =
            |stored_bytes, seen_bytes| BodyRef { hash: String::new(), stored_bytes, seen_bytes };
        let rest = |unstored| missing(&body(1, 1), unstored, true);
        assert_eq!(rest(None), None);
        let bound = rest(Some(Unstored::AgentBound)).unwrap();
        assert!(bound.starts_with("(the rest is not stored: the agent"), "{bound}");
        assert_eq!(missing(&body(1, 2), None, true).unwrap(), "(the rest is not stored)");
        assert!(missing(&body(1, 1), None, false).unwrap().contains("not shown"));
    }

    #[test]
    fn a_terminal_obeys_nothing_that_was_recorded() {
        assert_eq!(visible("a\x1b[2Jb\tc\u{202e}d\u{85}"), "a\\u{1b}[2Jb c\\u{202e}d\\u{85}");
    }
}
