// SPDX-License-Identifier: Apache-2.0 OR MIT
mod batches;
mod facts;
mod masked;
mod streams;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::FAMILY;
use crate::mask::{Builtin, DetectorKind, DetectorSet, DetectorSpec, Masker, Style};
use crate::model::{Chat, DetectorName, OpaqueCause, Operation};
use crate::protocol::understood::Understood;

/// After the examples of the public API reference ("Messages", "Streaming Messages", "Citations", "Web search tool") and
/// the types of anthropic-sdk-python 2.14.
macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../../../../../tests/fixtures/anthropic/", $path))
    };
}
pub(super) use fixture;

const MESSAGES: &str = "/v1/messages";

fn specs() -> Vec<DetectorSpec> {
    let spec = |builtin: Builtin| DetectorSpec {
        name: DetectorName::new(builtin.name()),
        kind: DetectorKind::Builtin(builtin),
    };
    Builtin::ALL.map(spec).to_vec()
}

fn masker() -> Masker {
    Masker::new(specs().into_iter().map(|spec| (spec, Style::Label)).collect()).unwrap()
}

fn decode(path: &str, body: &str) -> Result<Understood, OpaqueCause> {
    let detectors = DetectorSet::compile(specs()).unwrap();
    let route = FAMILY.route("POST", path).expect("a door");
    let understood = route.decode(path, "", body.as_bytes(), &detectors)?;
    assert_eq!(understood.operation.action(), route.action());
    Ok(understood)
}

fn chat(body: &Value) -> Result<Chat, OpaqueCause> {
    match decode(MESSAGES, &body.to_string())?.operation {
        Operation::Chat(chat) => Ok(chat),
        other => panic!("{other:?}"),
    }
}

/// A request with more members, or with others.
fn with(members: Value) -> Value {
    let mut body = json!({
        "model": "claude-sonnet-4-5",
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": "hi" }],
    });
    body.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    body
}

/// A request whose only message has these blocks.
fn said(blocks: Value) -> Value {
    with(json!({ "messages": [{ "role": "user", "content": blocks }] }))
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().copied().map(str::to_owned).collect()
}
