// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A session as a conversation in time order: what was asked, what came back, what was refused.
//!
//! Shows what is recorded, which is masked already.

use std::fmt::Write;

use enforcer_core::model::RecordDepth;
use enforcer_core::model::limits::BODY_VIEW_BYTES_MAX;
use enforcer_core::record::{BodyRef, Event, EventBody, Unstored};
use serde::Serialize;

use super::line::line;
use super::said::{self, Said};
use crate::cli::paint::{Paint, time, visible};
use crate::cli::source::Source;

/// Who says that a body is not whole.
const NOT_WHOLE: &str = "not whole";

/// What is read of a body.
type Read = fn(&str) -> Vec<Said>;

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

/// The events with what their bodies say: what is new in them, or all of it. A body that cannot be read is said to
/// be so.
pub(super) async fn scenes(source: &Source, events: Vec<Event>, is_full: bool) -> Vec<Scene> {
    let read_request: Read = if is_full { said::whole } else { said::asked };
    let read_answer: Read = if is_full { said::whole } else { said::answered };
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
            None => said(source, &event, request, read_request).await,
        };
        let mut answered = said(source, &event, response, read_answer).await;
        if let EventBody::ExchangeClosed(closed) = &event.body
            && let Some(why) = super::line::cut_short(closed)
            && !answered.is_empty()
        {
            answered.push(Said::new(NOT_WHOLE, format!("({why})")));
        }
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
    read: Read,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
