// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Calls of tools in answers of every API. The judge of these tests denies the tool `danger`, masks the arguments of
//! `mail`, and denies what reaches for `/etc/passwd`.

mod chat;
mod events;
mod laws;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::Value;

use super::{Calls, Judge, JudgedCall, Outcome};
use crate::mask::{Builtin, DetectorKind, DetectorSpec, Masker, Style};
use crate::model::{
    Decision, DetectorName, Effect, MaskName, Mode, Obligations, PolicyVersion, RuleId, ToolCall,
};
use crate::policy::Protocol;
use crate::protocol::answer::{Answer, StreamError, Wants};
use crate::protocol::codec::{self, Route};

#[derive(Debug)]
struct ByName(Mode);

impl Judge for ByName {
    fn judge(&self, call: &ToolCall) -> Decision {
        let reaches = call.scalars.contains("path=/etc/passwd") || !call.is_whole;
        let is_denied = call.name == "danger" || reaches;
        let masks = (call.name == "mail").then(|| MaskName::new("pii"));
        Decision {
            effect: if is_denied { Effect::Deny } else { Effect::Allow },
            obligations: Obligations {
                mask_response: masks.into_iter().collect(),
                ..Obligations::none()
            },
            because: if is_denied { vec![RuleId::new("no-danger")] } else { Vec::new() },
            errors: Vec::new(),
            observed: Vec::new(),
            would: None,
            mode: self.0,
            message: is_denied.then(|| "Ask #platform.".to_owned()),
            policy: PolicyVersion::new("v"),
        }
    }

    fn masker(&self, _masks: &BTreeSet<MaskName>) -> Masker {
        masker()
    }
}

fn masker() -> Masker {
    let name = DetectorName::new("email");
    let spec = DetectorSpec { name, kind: DetectorKind::Builtin(Builtin::EMAIL) };
    Masker::new(vec![(spec, Style::Label)]).unwrap()
}

/// What the agent reads in place of the call of a tool.
fn refusal(tool: &str) -> String {
    format!(
        "Denied by Enforcer, not by the provider: the call of the tool `{tool}` (rule `no-danger`): Ask #platform."
    )
}

fn held() -> Wants {
    let judge = Arc::new(ByName(Mode::Enforce));
    Wants { calls: Calls::Held { judge, exchange: None }, ..Wants::default() }
}

fn watched() -> Wants {
    let judge = Arc::new(ByName(Mode::Observe));
    Wants {
        calls: Calls::Watched { judge },
        is_observed: true,
        is_strict: false,
        ..Wants::default()
    }
}

fn route(path: &str) -> Option<Route> {
    let protocol = if path == "/v1/messages" { Protocol::Anthropic } else { Protocol::OpenAi };
    Some(codec::route(protocol, "POST", path).unwrap())
}

/// What became of a stream: bytes for the agent, bytes for the record, calls, and why it ended.
type Read = (String, String, Vec<JudgedCall>, Option<StreamError>);

fn read(path: &str, wants: Wants, chunks: &[&[u8]]) -> Read {
    let mut stream = codec::read_stream(route(path), wants);
    let (mut deliver, mut keep, mut calls, mut fault) = (Vec::new(), Vec::new(), Vec::new(), None);
    let mut take = |read: Result<crate::protocol::answer::Pieces, StreamError>| match read {
        Ok(pieces) => {
            deliver.extend(pieces.deliver);
            keep.extend(pieces.keep);
            true
        }
        Err(error) => {
            fault = Some(error);
            false
        }
    };
    let mut goes_on = true;
    for chunk in chunks {
        goes_on = goes_on && take(stream.push(chunk));
        calls.extend(stream.take_judged());
    }
    if goes_on {
        take(stream.finish());
    }
    calls.extend(stream.take_judged());
    (String::from_utf8(deliver).unwrap(), String::from_utf8(keep).unwrap(), calls, fault)
}

fn plain(path: &str, body: &Value, wants: &Wants) -> (Value, Answer) {
    let body = body.to_string();
    let answer = codec::read_answer(route(path), body.as_bytes(), wants).unwrap();
    let deliver = answer.deliver.clone().unwrap_or(body.into_bytes());
    (serde_json::from_slice(&deliver).unwrap(), answer)
}

/// Names and verdicts of calls.
fn verdicts(calls: &[JudgedCall]) -> Vec<(String, bool)> {
    calls.iter().map(|call| (call.call.name.clone(), call.denied().is_some())).collect()
}

/// The data of all events.
fn datas(stream: &str) -> Vec<Value> {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    data.filter(|data| *data != "[DONE]").map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn sse(events: &[Value]) -> String {
    let one = |event: &Value| match event.get("type").and_then(Value::as_str) {
        Some(kind) => format!("event: {kind}\ndata: {event}\n\n"),
        None => format!("data: {event}\n\n"),
    };
    events.iter().map(one).collect()
}
