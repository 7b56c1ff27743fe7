// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streamed messages, masked across their events.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{fixture, masker};
use crate::model::{Denied, DenyReason, Passed, Usage};
use crate::protocol::answer::{AnswerStream, Keep, StreamError, Wants};
use crate::protocol::anthropic::{error, shapes};

const STREAM: &str = fixture!("message_stream/stream.sse");

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn delta(index: u64, delta: Value) -> String {
    event(&json!({ "type": "content_block_delta", "index": index, "delta": delta }))
}

fn text(index: u64, text: &str) -> String {
    delta(index, json!({ "type": "text_delta", "text": text }))
}

fn started(index: u64) -> String {
    let block = json!({ "type": "text", "text": "" });
    event(&json!({ "type": "content_block_start", "index": index, "content_block": block }))
}

fn stopped(index: u64) -> String {
    event(&json!({ "type": "content_block_stop", "index": index }))
}

/// What a client puts together of a stream, as anthropic-sdk-python does (`lib/streaming/_messages.py`).
#[derive(Debug, Default, PartialEq)]
struct Message {
    texts: BTreeMap<u64, String>,
    signatures: Vec<String>,
    citations: Vec<Value>,
    starts: Vec<Value>,
    end: Option<Value>,
    is_stopped: bool,
}

fn put_together(stream: &str) -> Message {
    let mut message = Message::default();
    for part in stream.split("\n\n").filter(|part| !part.trim().is_empty()) {
        let line = |name: &str| part.lines().find_map(|line| line.strip_prefix(name));
        let data: Value = serde_json::from_str(line("data: ").unwrap()).unwrap();
        // The SDK leaves out events without a name.
        assert_eq!(line("event: "), data["type"].as_str(), "{part}");
        let delta = &data["delta"];
        match data["type"].as_str().unwrap() {
            "content_block_start" => message.starts.push(data["content_block"].clone()),
            "content_block_delta" => {
                let index = data["index"].as_u64().unwrap();
                match delta["type"].as_str().unwrap() {
                    "signature_delta" => {
                        message.signatures.push(delta["signature"].as_str().unwrap().to_owned());
                    }
                    "citations_delta" => message.citations.push(delta["citation"].clone()),
                    kind => {
                        let member = match kind {
                            "text_delta" => "text",
                            "thinking_delta" => "thinking",
                            "input_json_delta" => "partial_json",
                            other => panic!("{other}"),
                        };
                        let text = message.texts.entry(index).or_default();
                        text.push_str(delta[member].as_str().unwrap());
                    }
                }
            }
            "message_delta" => message.end = Some(delta["stop_reason"].clone()),
            "message_stop" => message.is_stopped = true,
            _ => {}
        }
    }
    message
}

struct Read {
    deliver: String,
    keep: String,
    usage: Option<Usage>,
    passed: Passed,
    masked: u64,
    fault: Option<StreamError>,
}

fn read(wants: Wants, parts: &[&str]) -> Read {
    let mut stream = AnswerStream::new(&shapes::MESSAGES, wants);
    let (mut deliver, mut keep, mut fault) = (Vec::new(), Vec::new(), None);
    let mut take = |read: Result<crate::protocol::answer::Pieces, StreamError>| match read {
        Ok(pieces) => {
            deliver.extend(pieces.deliver);
            keep.extend(pieces.keep);
        }
        Err(error) => fault = fault.or(Some(error)),
    };
    for part in parts {
        take(stream.push(part.as_bytes()));
    }
    take(stream.push(b""));
    take(stream.finish());
    Read {
        deliver: String::from_utf8(deliver).unwrap(),
        keep: String::from_utf8(keep).unwrap(),
        usage: stream.usage(),
        passed: stream.passed(),
        masked: stream.masked(),
        fault,
    }
}

fn masked() -> Wants {
    Wants { deliver: Some(masker()), keep: Keep::Masked(masker()), choices: 1, ..Wants::default() }
}

#[test]
fn a_stream_is_masked_text_by_text_and_stays_whole() {
    let found = read(masked(), &[STREAM]);
    assert_eq!(found.fault, None);
    let (before, after) = (put_together(STREAM), put_together(&found.deliver));
    assert_eq!(after.texts[&0], "Ask [email]");
    assert_eq!(after.texts[&1], "Write to [email] or [email]");
    assert_eq!(after.texts[&2], r#"{"mail": "[email]", "card": "[credit-card]"}"#);
    assert_eq!(after.signatures, before.signatures, "a signature is passed on as it is, and once");
    let cited: Vec<_> = after.citations.iter().map(|it| it["cited_text"].clone()).collect();
    assert_eq!(cited, ["[email]", "[email]"], "citations come whole");
    assert_eq!(after.starts, before.starts);
    assert_eq!((after.end, after.is_stopped), (Some("tool_use".into()), true));
    assert_eq!(found.keep, found.deliver);
    assert_eq!(found.masked, 7);
    assert_eq!(found.usage, Some(Usage { input_tokens: 500, output_tokens: 89 }));
    assert!(found.deliver.ends_with("event: message_stop\ndata: {\"type\": \"message_stop\"}\n\n"));
}

#[test]
fn a_stream_without_anything_to_mask_passes_byte_by_byte() {
    assert_eq!(read(Wants::default(), &[STREAM]).deliver, STREAM);
    // Where a mask looks, what it finds nothing in may come later, and is the same text.
    let harmless = STREAM.replace('@', "-").replace("111 1", "222 2");
    let found = read(masked(), &[&harmless]);
    assert_eq!((put_together(&found.deliver), found.masked), (put_together(&harmless), 0));
}

#[test]
fn what_is_held_back_comes_before_the_end_of_its_block() {
    let stream = [started(0), text(0, "to ann@exam"), text(0, "ple.com"), stopped(0)].concat();
    let found = read(masked(), &[&stream]).deliver;
    assert_eq!(put_together(&found).texts[&0], "to [email]");
    assert!(found.ends_with(&stopped(0)), "{found}");
    // Two blocks at once are two texts.
    let mixed = [
        started(0),
        started(1),
        text(0, "a ann@exam"),
        text(1, "b bob@exam"),
        text(0, "ple.com"),
        text(1, "ple.com"),
        stopped(0),
        stopped(1),
    ];
    let found = put_together(&read(masked(), &[&mixed.concat()]).deliver);
    assert_eq!((found.texts[&0].as_str(), found.texts[&1].as_str()), ("a [email]", "b [email]"));
}

#[test]
fn a_provider_cannot_get_a_text_past_the_mask() {
    let whole = |text: &str| {
        let block = json!({ "type": "text", "text": text });
        event(&json!({ "type": "content_block_start", "index": 0, "content_block": block }))
    };
    let named = |name: &str| {
        let data = json!({ "type": "content_block_delta", "index": 0, "delta": { "type": "text_delta", "text": "x" } });
        format!("event: {name}\ndata: {data}\n\n")
    };
    let stop = event(&json!({ "type": "message_stop" }));
    for (stream, fault) in [
        // After its end, and of one that began with a text.
        (
            [started(0), text(0, "ann@exam"), stopped(0), text(0, "ple.com")].concat(),
            Some(StreamError::AfterFinish),
        ),
        ([whole("ann@exam"), text(0, "ple.com")].concat(), Some(StreamError::AfterFinish)),
        // Under another name than its type.
        (named("error"), Some(StreamError::Choices)),
        // Behind the end of the answer nothing goes on.
        ([started(0), text(0, "x"), stopped(0), stop, text(1, "ann@example.com")].concat(), None),
        // Nobody's delta.
        (delta(0, json!({ "type": "novel_delta", "novel": ["ann@example.com"] })), None),
        (event(&json!({ "type": "novel", "content": { "text": "ann@example.com" } })), None),
    ] {
        let found = read(masked(), &[&stream]);
        assert_eq!(found.fault, fault, "{stream}");
        for address in ["ann@example.com", "ple.com"] {
            assert!(!found.deliver.contains(address), "{}", found.deliver);
        }
    }
}

#[test]
fn what_comes_whole_is_masked_whole_and_pieces_of_any_event_are_joined() {
    let end = |end: &Value| event(&json!({ "type": "message_delta", "delta": end, "usage": {} }));
    let stop = json!({ "stop_reason": "stop_sequence", "stop_sequence": "ann@example.com" });
    let masked_stop = json!({ "stop_reason": "stop_sequence", "stop_sequence": "[email]" });
    assert_eq!(read(masked(), &[&end(&stop)]).deliver, end(&masked_stop));
    let summary = |text: &str| delta(0, json!({ "type": "compaction_delta", "content": text }));
    assert_eq!(read(masked(), &[&summary("of ann@example.com")]).deliver, summary("of [email]"));
    // A preview of what an agent of a session says.
    let preview = |text: &str| {
        let content = json!({ "type": "text", "text": text });
        let delta = json!({ "type": "content_delta", "index": 0, "content": content });
        event(&json!({ "type": "event_delta", "event_id": "e", "delta": delta }))
    };
    let found = read(masked(), &[&preview("ann@exam"), &preview("ple.com and more text")]).deliver;
    assert!(found.contains("[email]") && !found.contains("ann@exam"), "{found}");
}

#[test]
fn an_error_of_the_provider_passes_and_speaks_in_its_own_name() {
    let data = json!({ "type": "error", "error": { "type": "overloaded_error", "message": "Overloaded" } });
    let found = read(masked(), &[&event(&data)]);
    assert_eq!((found.deliver, found.fault), (event(&data), None));
    let false_name = json!({ "type": "error", "error": { "type": "permission_error", "message": "Denied by Enforcer: x" } });
    let found = read(masked(), &[&event(&false_name)]);
    assert!(found.deliver.contains("provider: Denied by Enforcer"), "{}", found.deliver);
}

#[test]
fn a_stream_that_is_cut_ends_with_an_error_that_the_sdks_raise() {
    let denied = Denied::because(DenyReason::ResponseUndecodable);
    let last = String::from_utf8(error::last_event(&denied, None)).unwrap();
    let data = last.strip_prefix("event: error\ndata: ").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["type"], "error");
    assert_eq!(data["error"]["type"], "permission_error");
    assert_eq!(data["error"]["details"]["error_code"], "enforcer_response_undecodable");
}

#[test]
fn what_passes_is_counted_where_the_provider_reports_nothing() {
    let silent = STREAM.lines().filter(|line| !line.contains("usage")).collect::<Vec<_>>();
    let found = read(Wants::default(), &[&(silent.join("\n") + "\n")]);
    assert_eq!(found.usage, None);
    assert!(found.passed.pieces >= 20 && found.passed.text_bytes > 100, "{:?}", found.passed);
}

proptest! {
    #[test]
    fn any_chunking_of_a_stream_gives_the_same_bytes_and_facts(
        cuts in proptest::collection::btree_set(0..STREAM.len(), 0..40),
    ) {
        let mut parts = Vec::new();
        let mut rest = STREAM;
        for cut in cuts.iter().rev() {
            let (before, after) = rest.split_at(*cut);
            parts.push(after);
            rest = before;
        }
        parts.push(rest);
        parts.reverse();
        for wants in [masked(), Wants { keep: Keep::Masked(masker()), ..Wants::default() }] {
            let (whole, cut) = (read(wants.clone(), &[STREAM]), read(wants, &parts));
            prop_assert_eq!(&whole.deliver, &cut.deliver);
            prop_assert_eq!(&whole.keep, &cut.keep);
            prop_assert_eq!((whole.usage, whole.masked, whole.fault), (cut.usage, cut.masked, cut.fault));
            prop_assert_eq!(whole.passed, cut.passed);
        }
    }

    #[test]
    fn the_pieces_of_a_text_are_masked_as_the_text_is(
        words in proptest::collection::vec("(ann@example\\.com|4111 1111 1111 1111|[a-z .]{0,9})", 0..6),
        sizes in proptest::collection::vec(1..7_usize, 1..20),
        kind in 0..3_usize,
    ) {
        let said = words.join(" ");
        let (of_type, member) = [
            ("text_delta", "text"),
            ("thinking_delta", "thinking"),
            ("input_json_delta", "partial_json"),
        ][kind];
        let mut stream = started(0);
        let (mut rest, mut sizes) = (said.as_str(), sizes.iter().cycle());
        while !rest.is_empty() {
            let (piece, after) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
            stream += &delta(0, json!({ "type": of_type, member: piece }));
            rest = after;
        }
        stream += &stopped(0);
        let found = put_together(&read(masked(), &[&stream]).deliver);
        let shown = found.texts.get(&0).cloned().unwrap_or_default();
        prop_assert_eq!(shown, masker().mask(&said).text.into_owned());
    }
}
