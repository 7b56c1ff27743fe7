// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a provider tries with a stream: pieces in other forms and places, texts after the end, odd events, false
//! usage, names without end.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{AnswerStream, Keep, StreamError, Wants, chat_stream, read_answer};
use super::{masked_stream, masker, run};
use crate::model::limits::{SSE_EVENT_BYTES_MAX, STREAM_PLACES_BYTES_MAX};
use crate::model::{Passed, Usage};

fn event(chunk: &Value) -> String {
    format!("data: {chunk}\n\n")
}

fn choice(members: Value) -> String {
    let mut choice = json!({ "index": 0 });
    choice.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    event(&json!({ "id": "c", "choices": [choice] }))
}

fn said(content: &str) -> String {
    choice(json!({ "delta": { "content": content } }))
}

fn keeping(deliver: bool) -> AnswerStream {
    let deliver = deliver.then(masker);
    chat_stream(Wants { deliver, keep: Keep::Masked(masker()), choices: 1, ..Wants::default() })
}

/// Everything that a client could show, joined in the order in which it came.
fn shown(stream: &str) -> String {
    fn strings(value: &Value, out: &mut String) {
        match value {
            Value::String(text) => out.push_str(text),
            Value::Array(items) => items.iter().for_each(|item| strings(item, out)),
            Value::Object(members) => {
                members
                    .iter()
                    .filter(|(name, _)| *name != "finish_reason")
                    .for_each(|it| strings(it.1, out));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    let mut out = String::new();
    for data in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        if let Ok(chunk) = serde_json::from_str::<Value>(data) {
            strings(&chunk["choices"], &mut out);
        }
    }
    out
}

/// All that a stream lets go on before it ends or fails, and how it failed.
fn outcome(mut stream: AnswerStream, input: &str) -> (String, String, Option<StreamError>) {
    let (mut deliver, mut keep) = (Vec::new(), Vec::new());
    let mut fault = None;
    for part in [Some(input), Some(""), None] {
        let read = match part {
            Some(part) => stream.push(part.as_bytes()),
            None => stream.finish(),
        };
        match read {
            Ok(pieces) => {
                deliver.extend(pieces.deliver);
                keep.extend(pieces.keep);
            }
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    (String::from_utf8(deliver).unwrap(), String::from_utf8(keep).unwrap(), fault)
}

#[test]
fn a_name_that_a_provider_chose_for_a_text_is_masked_where_the_rest_of_the_text_is_released() {
    for end in ["", "data: [DONE]\n\n"] {
        for member in
            [json!({ "ann@example.com": "v" }), json!({ "a": { "ann@example.com": "v" } })]
        {
            let input = choice(json!({ "delta": member, "finish_reason": null })) + end;
            let (delivered, kept, _) = outcome(keeping(true), &input);
            for text in [delivered, kept] {
                assert!(!text.contains("ann@example.com"), "{text}");
            }
        }
    }
}

#[test]
fn a_text_after_the_finish_of_its_choice_ends_the_stream() {
    let stop = choice(json!({ "delta": {}, "finish_reason": "stop" }));
    let with_text = choice(json!({ "delta": { "content": "ann@exa" }, "finish_reason": "stop" }));
    for input in [
        said("ann@exa") + &stop + &said("mple.com"),
        with_text.clone() + &said("mple.com"),
        with_text.clone() + &with_text.replace("ann@exa", "mple.com"),
        with_text.clone() + &choice(json!({ "text": "mple.com" })),
        with_text.clone() + &choice(json!({ "message": { "content": "mple.com" } })),
    ] {
        let (out, _, fault) = outcome(masked_stream(), &input);
        assert_eq!(fault, Some(StreamError::AfterFinish), "{input}");
        assert!(!shown(&out).contains("ann@example.com") && !out.contains("mple.com"), "{out}");
        // The record of a stream that nobody masks ends there, too, and says so.
        let mut stream = keeping(false);
        let read = stream.push(input.as_bytes()).unwrap();
        assert!(!stream.is_kept_whole() && !String::from_utf8(read.keep).unwrap().contains("mple"));
        assert_eq!(read.deliver, input.as_bytes());
    }
    // What comes after a finish without a text is usage and the like.
    let usage =
        event(&json!({ "choices": [], "usage": { "prompt_tokens": 1, "completion_tokens": 2 } }));
    let (out, _, fault) =
        outcome(masked_stream(), &(stop.clone() + &said("") + &usage + "data: [DONE]\n\n"));
    assert_eq!(fault, None);
    assert!(out.ends_with("data: [DONE]\n\n"));
}

#[test]
fn a_choice_has_one_text_in_whatever_form_its_pieces_come() {
    let forms = |text: &str| {
        [
            choice(json!({ "delta": { "content": text } })),
            choice(json!({ "delta": { "content": [{ "type": "text", "text": text }] } })),
            choice(json!({ "delta": { "content": [text] } })),
            choice(json!({ "text": text })),
            choice(json!({ "message": { "content": text } })),
            choice(
                json!({ "message": { "content": [{ "type": "text", "index": 3, "text": text }] } }),
            ),
        ]
    };
    for first in forms("Write to ann@exa") {
        for second in forms("mple.com, please") {
            let input = format!("{first}{second}data: [DONE]\n\n");
            let (out, _, fault) = outcome(masked_stream(), &input);
            assert_eq!(fault, None);
            let text = shown(&out).replace("text", "");
            assert_eq!(text, "Write to [email], please", "{input}");
        }
    }
    // Two pieces in the event that finishes.
    let both =
        json!({ "delta": { "content": "ann@exa" }, "text": "mple.com", "finish_reason": "stop" });
    let (out, _, _) = outcome(masked_stream(), &choice(both));
    assert_eq!(shown(&out), "[email]");
}

#[test]
fn choices_that_two_clients_could_sort_differently_end_the_stream() {
    let first = said("ann@exa");
    for second in [
        event(&json!({ "choices": [{ "index": 7, "delta": { "content": "mple.com" } }] })),
        event(&json!({ "choices": [{ "index": 0.0, "delta": { "content": "mple.com" } }] })),
        event(&json!({ "choices": [{ "index": "0", "delta": { "content": "mple.com" } }] })),
        event(&json!({ "choices": [{ "index": -1, "delta": { "content": "mple.com" } }] })),
        event(&json!({ "choices": { "0": { "delta": { "content": "mple.com" } } } })),
        event(&json!({ "choices": ["mple.com"] })),
        event(
            &json!({ "choices": [{ "index": 0, "delta": {} }, { "index": 0, "text": "mple.com" }] }),
        ),
        event(
            &json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [{ "index": 1.0 }] } }] }),
        ),
    ] {
        let deliver = Some(masker());
        let stream = chat_stream(Wants { deliver, choices: 1, ..Wants::default() });
        let (out, _, fault) = outcome(stream, &(first.clone() + &second));
        assert_eq!(fault, Some(StreamError::Choices), "{second}");
        assert!(!out.contains("mple"), "{out}");
    }
}

#[test]
fn nothing_goes_on_behind_the_end_marker() {
    for mut stream in [masked_stream(), chat_stream(Wants::default()), keeping(false)] {
        let input = format!("{}data: [DONE]\n\n{}: x\n\n", said("a, "), said("b"));
        let out = run(&mut stream, &input, &[usize::MAX]);
        assert!(out.ends_with("data: [DONE]\n\n") && !out.contains("\"b\""), "{out}");
    }
}

#[test]
fn lines_beside_the_data_carry_no_text_of_the_provider() {
    let input = "event: ann@exa\nid: mple.com\n: 4111 1111 1111 1111\nretry: 4111111111111111\nnote: x\n\
                 event: message\nretry: 300\ndata: {\"choices\":[]}\n\n: a@b.com\n\n";
    let (out, _, fault) = outcome(masked_stream(), input);
    assert_eq!(fault, None);
    assert_eq!(out, ":\nevent: message\nretry: 300\ndata: {\"choices\":[]}\n\n:\n\n");
}

#[test]
fn an_answer_is_counted_whatever_is_masked_or_stored() {
    // More texts than are followed, and an event that is no JSON.
    let words = "word ".repeat(4000);
    for stream in [masked_stream(), keeping(false), keeping(true), chat_stream(Wants::default())] {
        let mut stream = stream;
        drop(stream.push(said(&words).as_bytes()));
        assert_eq!(stream.passed(), Passed { pieces: 1, text_bytes: 20_000 });
        assert_eq!(stream.passed().tokens(), 5_000);
    }
    let mut stream = keeping(false);
    let ping = "data: ping\n\n";
    let read = stream.push(format!("{}{ping}{}", said("one, "), said("two, ")).as_bytes()).unwrap();
    assert_eq!(stream.passed(), Passed { pieces: 3, text_bytes: 10 + ping.len() as u64 });
    assert_eq!(read.deliver, format!("{}{ping}{}", said("one, "), said("two, ")).as_bytes());
    assert_eq!(String::from_utf8(read.keep).unwrap(), said("one, "));
    assert!(!stream.is_kept_whole());
    // What some reader could take for JSON ends it.
    for odd in ["data: {\"a\":NaN}\n\n", "data: {\"a\":1,\"a\":2}\n\n", "data: \"x\n\n"] {
        assert_eq!(outcome(keeping(false), odd).2, Some(StreamError::NotJson), "{odd}");
    }
}

#[test]
fn names_and_probabilities_count_and_what_the_api_puts_around_a_text_does_not() {
    let count = |chunk: Value| {
        let mut stream = chat_stream(Wants::default());
        stream.push(event(&chunk).as_bytes()).unwrap();
        stream.passed()
    };
    let usual = json!({
        "id": "chatcmpl-0123456789", "object": "chat.completion.chunk", "created": 1_741_569_952,
        "model": "gpt-4.1-2025-04-14", "system_fingerprint": "fp_44709d6fcb", "service_tier": "default",
        "obfuscation": "x".repeat(20), "usage": null,
        "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "" }, "logprobs": null, "finish_reason": null }],
    });
    assert_eq!(count(usual), Passed::default());
    let hidden = json!({ "choices": [{ "index": 0, "delta": { "x".repeat(1000): 1 } }] });
    assert!(count(hidden).text_bytes >= 1000);
    let other = json!({ "note": "x".repeat(1000) });
    assert!(count(other).text_bytes >= 1000);
    let id = json!({ "id": "x".repeat(1000), "choices": [] });
    assert!(count(id).text_bytes >= 800);
}

#[test]
fn a_usage_that_is_no_whole_number_is_none_and_the_largest_counts() {
    let usage = |input: Value, output: Value| json!({ "prompt_tokens": input, "completion_tokens": output });
    let read = |usage: Value| {
        let body = json!({ "usage": usage }).to_string();
        read_answer(body.as_bytes(), &Wants::default()).unwrap().usage
    };
    for (input, output) in [
        (json!(-5000), json!(1)),
        (json!(1), json!(-5000)),
        (json!(5000.0), json!(5000.0)),
        (json!("5"), json!(1)),
        (json!(0), json!(0)),
        (json!(1), json!([])),
    ] {
        assert_eq!(read(usage(input.clone(), output.clone())), None, "{input} {output}");
    }
    assert_eq!(
        read(json!({ "prompt_tokens": 7 })),
        Some(Usage { input_tokens: 7, output_tokens: 0 })
    );
    // No number is large enough to be a card.
    let most = Some(Usage { input_tokens: 9_999_999_999, output_tokens: 1 });
    assert_eq!(read(usage(json!(4_111_111_111_111_111_u64), json!(1))), most);
    let mut stream = chat_stream(Wants::default());
    for (input, output) in [(10, 2), (10, 500), (1, 0)] {
        let chunk = json!({ "choices": [], "usage": usage(json!(input), json!(output)) });
        stream.push(event(&chunk).as_bytes()).unwrap();
    }
    assert_eq!(stream.usage(), Some(Usage { input_tokens: 10, output_tokens: 500 }));
}

#[test]
fn an_error_in_a_stream_does_not_speak_in_our_name() {
    let error = json!({ "error": { "message": "Denied by Enforcer, not by the provider: x", "code": "enforcer_policy" } });
    for stream in [masked_stream(), keeping(false), chat_stream(Wants::default())] {
        let (out, _, _) = outcome(stream, &event(&error));
        assert!(
            out.contains("provider: Denied by Enforcer")
                && out.contains("\"provider: enforcer_policy\""),
            "{out}"
        );
    }
    let observed = chat_stream(Wants { is_observed: true, ..Wants::default() });
    assert_eq!(outcome(observed, &event(&error)).0, event(&error));
}

#[test]
fn while_a_bundle_observes_every_byte_passes() {
    let odd = format!("data: {{x\n\n\u{fe}data: [DONE]\n\n{}", "y".repeat(SSE_EVENT_BYTES_MAX + 1));
    let mut stream =
        chat_stream(Wants { keep: Keep::Masked(masker()), is_observed: true, ..Wants::default() });
    assert_eq!(run(&mut stream, &odd, &[70_000]), odd);
    assert!(!stream.is_kept_whole() && stream.passed().text_bytes > 0);
}

#[test]
fn where_texts_stand_is_remembered_within_a_bound() {
    let mut stream = masked_stream();
    let mut pushed = 0;
    let fault = loop {
        let name = format!("{pushed}{}", "n".repeat(900_000));
        let chunk = choice(json!({ "delta": { name: "text" } }));
        pushed += 1;
        match stream.push(chunk.as_bytes()) {
            Ok(_) => assert!(pushed < 3, "names of {STREAM_PLACES_BYTES_MAX} bytes at most"),
            Err(fault) => break fault,
        }
    };
    assert_eq!(fault, StreamError::TooManyTexts);
}

/// One event of a provider that puts a piece of its text somewhere.
fn piece(form: usize, text: &str, finishes: bool) -> String {
    let finish = if finishes { json!("stop") } else { Value::Null };
    match form {
        0 => choice(json!({ "delta": { "content": text }, "finish_reason": finish })),
        1 => choice(
            json!({ "finish_reason": finish, "delta": { "content": [{ "type": "text", "text": text }] } }),
        ),
        2 => choice(json!({ "text": text, "finish_reason": finish })),
        3 => choice(json!({ "message": { "content": text }, "finish_reason": finish })),
        4 => event(
            &json!({ "choices": [{ "delta": { "content": text }, "finish_reason": finish }] }),
        ),
        5 => event(
            &json!({ "choices": [{ "index": 1, "delta": { "content": text }, "finish_reason": finish }] }),
        ),
        6 => format!(": {text}\nevent: {text}\nid: {text}\n\n"),
        7 => format!("data: {text}\n\n"),
        _ => "data: [DONE]\n\n".to_owned(),
    }
}

proptest! {
    #[test]
    fn whatever_a_provider_does_with_a_stream_nothing_that_a_mask_names_is_shown(
        before in "[a-z ,]{0,12} ",
        secret in prop::sample::select(vec!["ann@example.com", "4111 1111 1111 1111", "4111111111111111"]),
        cuts in prop::collection::vec(1_usize..8, 1..8),
        forms in prop::collection::vec((0_usize..9, prop::bool::weighted(0.2)), 1..12),
        chunks in prop::collection::vec(1_usize..200, 1..6),
    ) {
        let text = format!("{before}{secret}");
        let mut rest = text.as_str();
        let mut input = String::new();
        let mut forms = forms.iter().cycle();
        for cut in cuts.iter().cycle() {
            let (part, tail) = rest.split_at((*cut).min(rest.len()));
            let (form, finishes) = forms.next().unwrap();
            input += &piece(*form, part, *finishes);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        for deliver in [true, false] {
            let mut stream = keeping(deliver);
            let (mut out, mut kept) = (Vec::new(), Vec::new());
            let mut left = input.as_bytes();
            for size in chunks.iter().cycle() {
                let (chunk, tail) = left.split_at((*size).min(left.len()));
                let Ok(read) = stream.push(chunk) else { break };
                out.extend(read.deliver);
                kept.extend(read.keep);
                left = tail;
                if left.is_empty() {
                    break;
                }
            }
            if let Ok(read) = stream.finish() {
                out.extend(read.deliver);
                kept.extend(read.keep);
            }
            let sides = if deliver { vec![out, kept] } else { vec![kept] };
            for side in sides {
                let side = String::from_utf8(side).unwrap();
                prop_assert!(!shown(&side).contains(secret), "{side}");
                prop_assert!(!side.contains(secret), "{side}");
            }
        }
    }
}
