// SPDX-License-Identifier: Apache-2.0 OR MIT
mod exempt;
mod parts;
mod responses;
mod streams;
mod typed;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::error::{error_body, last_event};
use super::{FAMILY, tables};
use crate::mask::{Builtin, DetectorKind, DetectorSet, DetectorSpec, Masker, Style};
use crate::model::limits::{JSON_DEPTH_MAX, STREAM_TEXTS_MAX};
use crate::model::{
    Chat, Denied, DenyReason, DetectorName, ExchangeId, OpaqueCause, Operation, RuleId, SessionId,
    Usage,
};
use crate::protocol::answer::{self, Answer, AnswerStream, Keep, Pieces, StreamError, Wants};
use crate::protocol::body::{MaskedBody, mask_body};
use crate::protocol::family::Route;
use crate::protocol::json_tree::Node;
use crate::protocol::understood::Understood;

macro_rules! fixture {
    ($path:literal) => {
        include_str!(concat!("../../../../../tests/fixtures/openai/", $path))
    };
}

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

fn detectors() -> DetectorSet {
    DetectorSet::compile(specs()).unwrap()
}

/// A chat, as its codec understands it.
#[derive(Debug, PartialEq)]
struct ChatRequest {
    facts: Chat,
    detected: BTreeSet<DetectorName>,
}

const CHAT: &str = "/v1/chat/completions";

fn route(method: &str, path: &str) -> Option<Route> {
    FAMILY.route(method, path)
}

fn decode(path: &str, body: &[u8], detectors: &DetectorSet) -> Result<Understood, OpaqueCause> {
    route("POST", path).expect("a door").decode(path, "", body, detectors)
}

fn mask_request(body: &[u8], masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    mask_body(&tables::CHAT, body, masker)
}

fn mask_chat_response(body: &[u8], masker: &Masker) -> Result<MaskedBody, OpaqueCause> {
    mask_body(&tables::CHAT, body, masker)
}

fn read_answer(body: &[u8], wants: &Wants) -> Result<Answer, OpaqueCause> {
    answer::read_answer(&super::shapes::CHAT, body, wants)
}

fn chat_stream(wants: Wants) -> AnswerStream {
    AnswerStream::new(&super::shapes::CHAT, wants)
}

fn decode_chat(body: &[u8], detectors: &DetectorSet) -> Result<ChatRequest, OpaqueCause> {
    let understood = decode(CHAT, body, detectors)?;
    let Operation::Chat(facts) = understood.operation else { panic!("no chat") };
    Ok(ChatRequest { facts, detected: understood.detected })
}

fn names(names: &[&str]) -> BTreeSet<DetectorName> {
    names.iter().copied().map(DetectorName::new).collect()
}

#[test]
fn only_the_exact_request_has_a_codec() {
    assert_eq!(route("POST", CHAT).map(Route::action), Some("chat"));
    for (method, path) in [
        ("PUT", "/v1/chat/completions"),
        ("post", "/v1/chat/completions"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/v1/chat/completions?x"),
        ("POST", "/v1//chat/completions"),
        ("POST", "/V1/chat/completions"),
        ("POST", "/v1/chat/%63ompletions"),
    ] {
        assert_eq!(route(method, path), None, "{method} {path}");
    }
}

#[test]
fn a_request_has_its_facts() {
    let request =
        decode_chat(fixture!("chat_request/request.json").as_bytes(), &detectors()).unwrap();
    assert_eq!(request.facts.model, "gpt-4.1-mini-2025-04-14");
    assert!(request.facts.stream);
    assert_eq!(request.facts.message_count, 4);
    assert_eq!(request.facts.tools, BTreeSet::from(["find_order".to_owned()]));
    assert_eq!(request.facts.parts, ["image_url", "text"].map(str::to_owned).into());
    assert_eq!(request.facts.max_tokens, Some(400));
    assert_eq!(request.detected, names(&["credit-card", "email"]));
    assert!((100..200).contains(&request.facts.input_tokens), "{}", request.facts.input_tokens);
}

#[test]
fn tokens_are_counted_as_openai_documents_it() {
    let count = |model: &str, text: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": text }] });
        decode_chat(body.to_string().as_bytes(), &detectors()).unwrap().facts.input_tokens
    };
    // 3 around the message, 1 for the role, 3 before the answer.
    assert_eq!(count("gpt-4.1", "hello world"), 2 + 7);
    assert_eq!(count("gpt-4", ""), 7);
    // One of the words that the two vocabularies cut differently.
    assert!(
        count("gpt-4", "Привет, как дела сегодня") > count("gpt-4o", "Привет, как дела сегодня")
    );
    assert_eq!(count("gpt-4o", &"hello ".repeat(1000)), 1000 + 1 + 7);
}

#[test]
fn every_type_of_content_part_is_a_fact() {
    let check = |messages: Value, expect: &[&str]| {
        let body = json!({ "model": "m", "messages": messages }).to_string();
        let parts = decode_chat(body.as_bytes(), &detectors()).unwrap().facts.parts;
        assert_eq!(parts.iter().map(String::as_str).collect::<Vec<_>>(), expect, "{body}");
    };
    check(json!([]), &[]);
    check(json!([{ "role": "assistant", "content": null }]), &[]);
    check(json!([{ "role": "user", "content": "x" }]), &["text"]);
    let image = json!({ "type": "image_url", "image_url": { "url": "https://x.example" } });
    check(
        json!([
            { "role": "user", "content": [image] },
            { "role": "assistant", "content": [{ "type": "refusal", "refusal": "no" }] },
            { "role": "user", "content": [{ "type": "hologram" }, { "type": "input_audio" }] },
        ]),
        &["hologram", "image_url", "input_audio", "refusal"],
    );
    // What a part says of itself does not hide what it holds.
    let sly = json!({ "type": "text", "text": "x", "file": { "file_data": "x" } });
    check(json!([{ "role": "user", "content": [sly] }]), &["file", "text"]);
    let many = (0..20).map(|n| json!({ "type": format!("t{n}") })).collect::<Vec<_>>();
    let body = json!({ "model": "m", "messages": [{ "role": "user", "content": many }] });
    let refused = decode_chat(body.to_string().as_bytes(), &detectors());
    assert_eq!(refused.unwrap_err(), OpaqueCause::Fields);
}

#[test]
fn answers_storing_and_searches_are_facts() {
    let facts = |more: Value| {
        let mut body = json!({ "model": "m", "messages": [] });
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        decode_chat(body.to_string().as_bytes(), &detectors()).map(|it| it.facts)
    };
    let plain = facts(json!({})).unwrap();
    assert_eq!((plain.n, plain.store, plain.tools.len()), (1, false, 0));
    let asked = facts(json!({ "n": 128, "store": true, "web_search_options": {} })).unwrap();
    assert_eq!((asked.n, asked.store), (128, true));
    assert_eq!(asked.tools, BTreeSet::from(["web_search".to_owned()]));
    let unset = json!({ "n": null, "store": null, "web_search_options": null });
    assert_eq!(facts(unset).unwrap().tools.len(), 0);
    let both =
        json!({ "search_parameters": { "mode": "on" }, "tools": [{ "type": "web_search" }] });
    assert_eq!(facts(both).unwrap().tools.len(), 1);
    for wrong in [
        json!({ "n": 0 }),
        json!({ "n": 129 }),
        json!({ "n": -1 }),
        json!({ "n": 1.0 }),
        json!({ "n": "2" }),
        json!({ "N": 2 }),
        json!({ "store": 1 }),
        json!({ "Store": true }),
        json!({ "models": ["o3"] }),
        json!({ "fallbacks": [] }),
        json!({ "Api-Base": "https://x.example" }),
    ] {
        assert_eq!(facts(wrong.clone()).unwrap_err(), OpaqueCause::Fields, "{wrong}");
    }
}

#[test]
fn no_text_goes_uncounted_wherever_it_stands() {
    let count = |body: Value| {
        decode_chat(body.to_string().as_bytes(), &detectors()).unwrap().facts.input_tokens
    };
    let chat = |part: Value, more: (&str, Value)| {
        let message = json!({ "role": "user", "content": [part] });
        let mut body = json!({ "model": "gpt-4.1", "messages": [message] });
        body[more.0] = more.1;
        count(body)
    };
    let text = || json!({ "type": "text", "text": "hi" });
    let none = || ("user", Value::Null);
    let hello = "hello ".repeat(1000);
    for part in [
        json!({ "type": "text", "text": hello }),
        json!({ "type": "text", "text": "x", "note": hello }),
        json!({ "type": "text", "text": { "value": hello } }),
        json!({ "type": "note", "note": { "x": [{ "y": hello }] } }),
        json!({ "type": "refusal", "refusal": hello }),
        json!({ "type": "image_url", "image_url": { "url": hello } }),
        json!({ "type": "image_url", "image_url": { "url": format!("data:text/plain,{hello}") } }),
        json!({ "type": "image_url", "image_url": { "url": "https://x.example", "detail": hello } }),
        json!({ "type": "file", "file": { "filename": hello } }),
        json!({ "type": "text", "text": "x", hello.as_str(): {} }),
        json!({ "type": "text", "text": "x", "n": vec![1234; 500] }),
    ] {
        let tokens = chat(part.clone(), none());
        assert!(tokens >= 1000, "{tokens}: {}", part["type"]);
    }
    for more in [
        ("prediction", json!({ "type": "content", "content": hello })),
        ("metadata", json!({ "a": hello })),
        ("user", json!(hello)),
        ("unknown", json!([[hello]])),
        (hello.as_str(), Value::Null),
    ] {
        assert!(chat(text(), more.clone()) >= 1000, "{}", more.0);
    }
    // Payloads are no text.
    let data = format!("data:image/png;base64,{}", "iVBORw0K".repeat(1000));
    let image = json!({ "type": "image_url", "image_url": { "url": data } });
    assert!(chat(image, none()) < 20);
}

#[test]
fn a_request_that_two_readers_may_read_differently_is_opaque() {
    let check = |body: &str, cause| {
        assert_eq!(decode_chat(body.as_bytes(), &detectors()).unwrap_err(), cause, "{body}");
    };
    let ok = r#"{"model":"m","messages":[{"role":"user","content":"x"}]"#;
    assert!(decode_chat(format!("{ok}}}").as_bytes(), &detectors()).is_ok());
    for rest in [
        r#","model":"n"}"#,
        r#","mod\u0065l":"n"}"#,
        r#","Model":"n"}"#,
        r#","meſſages":[]}"#,
        r#","stream":1}"#,
        r#","stream":"true"}"#,
        r#","max_tokens":"10"}"#,
        r#","max_tokens":-1}"#,
        r#","max_tokens":1.5}"#,
        r#","tools":{}}"#,
        r#","tools":[{"type":"function","name":"x"}]}"#,
        r#","tools":[{"type":"function","function":{"name":"a","name":"b"}}]}"#,
        r#","functions":[{}]}"#,
    ] {
        check(&format!("{ok}{rest}"), OpaqueCause::Fields);
    }
    check(&format!("{ok}}} {{}}"), OpaqueCause::NotJson);
    check(ok, OpaqueCause::NotJson);
    for body in [
        "[]",
        "{}",
        r#"{"model":"m"}"#,
        r#"{"model":1,"messages":[]}"#,
        r#"{"model":"","messages":[]}"#,
        r#"{"model":"m","messages":{}}"#,
        r#"{"model":"m","messages":["x"]}"#,
        r#"{"model":"m","messages":[{"content":"x"}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":{"text":"x"}}]}"#,
        r#"{"model":"m","messages":[{"role":"user","content":["x"]}]}"#,
    ] {
        check(body, OpaqueCause::Fields);
    }
    let deep = "[".repeat(JSON_DEPTH_MAX + 1) + &"]".repeat(JSON_DEPTH_MAX + 1);
    check(&format!("{ok},\"x\":{deep}}}"), OpaqueCause::NotJson);
}

#[test]
fn detectors_look_behind_every_escape_and_name() {
    let check = |messages: &str, expect: &[&str]| {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":{messages}}}]}}"#);
        let request = decode_chat(body.as_bytes(), &detectors()).unwrap();
        assert_eq!(request.detected, names(expect), "{messages}");
    };
    check(r#""nothing""#, &[]);
    check(r#""ann\u0040example.com""#, &["email"]);
    check(r#""\u0034111 1111 1111 1111""#, &["credit-card"]);
    check(r#""{\"a\":\"\\u0034111111111111111\"}""#, &["credit-card"]);
    check(r#"null,"x":{"ann@example.com":4111111111111111}"#, &["credit-card", "email"]);
}

#[test]
fn a_request_is_masked_and_stays_the_rest_of_itself() {
    let request = fixture!("chat_request/request.json");
    let masked = mask_request(request.as_bytes(), &masker()).unwrap();
    assert_eq!(String::from_utf8(masked.bytes).unwrap(), fixture!("chat_request/masked.json"));
    assert_eq!(masked.count, 7);
    let again = mask_request(fixture!("chat_request/masked.json").as_bytes(), &masker()).unwrap();
    assert_eq!(
        (again.count, again.bytes.as_slice()),
        (0, fixture!("chat_request/masked.json").as_bytes())
    );
}

#[test]
fn an_answer_is_masked_and_its_arguments_stay_json() {
    let answer = fixture!("chat_answer/answer.json");
    let masked = mask_chat_response(answer.as_bytes(), &masker()).unwrap();
    let text = String::from_utf8(masked.bytes).unwrap();
    assert_eq!(text, fixture!("chat_answer/masked.json"));
    assert_eq!(masked.count, 3);
    let value: Value = serde_json::from_str(&text).unwrap();
    let arguments = value.pointer("/choices/0/message/tool_calls/0/function/arguments").unwrap();
    assert!(serde_json::from_str::<Value>(arguments.as_str().unwrap()).unwrap().is_object());
    let read = read_answer(answer.as_bytes(), &Wants::default()).unwrap();
    assert_eq!(read.usage, Some(Usage { input_tokens: 19, output_tokens: 10 }));
}

/// The texts of a stream by choice and place, and the order in which choices finish.
fn texts(stream: &str) -> BTreeMap<String, String> {
    let mut texts = BTreeMap::new();
    for line in stream.lines().filter_map(|line| line.strip_prefix("data: ")) {
        let Ok(chunk) = serde_json::from_str::<Value>(line) else { continue };
        for choice in chunk["choices"].as_array().into_iter().flatten() {
            let mut add = |place: &str, text: &Value| {
                let key = format!("{}/{place}", choice["index"]);
                let done = format!("{}/done", choice["index"]);
                assert!(!texts.contains_key(&done), "a text after the finish: {line}");
                *texts.entry(key).or_insert_with(String::new) += text.as_str().unwrap_or_default();
            };
            let delta = &choice["delta"];
            for place in ["content", "refusal", "reasoning_content"] {
                if delta[place].is_string() {
                    add(place, &delta[place]);
                }
            }
            for call in delta["tool_calls"].as_array().into_iter().flatten() {
                add(&format!("call{}", call["index"]), &call["function"]["arguments"]);
            }
            if choice["finish_reason"].is_string() {
                add("done", &choice["finish_reason"]);
            }
        }
    }
    texts
}

fn masked_stream() -> AnswerStream {
    chat_stream(Wants { deliver: Some(masker()), ..Wants::default() })
}

fn run(stream: &mut AnswerStream, input: &str, cuts: &[usize]) -> String {
    let mut out = Vec::new();
    let mut rest = input.as_bytes();
    for cut in cuts.iter().cycle() {
        let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
        out.extend(stream.push(chunk).unwrap().deliver);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    out.extend(stream.finish().unwrap().deliver);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_stream_is_masked_across_its_events() {
    for cut in [1, 7, 1000, usize::MAX] {
        let mut stream = masked_stream();
        let out = run(&mut stream, fixture!("chat_stream/stream.sse"), &[cut]);
        let texts = texts(&out);
        assert_eq!(texts["0/content"], "Write to [email], then pay with [credit-card]. Bye");
        assert!(out.ends_with("data: [DONE]\n\n"));
        assert!(stream.is_done());
        assert_eq!(stream.masked(), 2);
        assert_eq!(stream.usage(), Some(Usage { input_tokens: 19, output_tokens: 10 }));
        // The last words were held back for a possible address.
        let made_up =
            out.split("\n\n").find(|event| event.contains(" Bye") || event.contains("Bye\""));
        assert!(made_up.unwrap().contains("\"id\":\"chatcmpl-CF1\""));
    }
}

#[test]
fn a_stream_behind_a_byte_order_mark_is_masked() {
    let input = format!("\u{feff}{}", fixture!("chat_stream/stream.sse"));
    for cut in [1, usize::MAX] {
        let mut stream = masked_stream();
        let out = run(&mut stream, &input, &[cut]);
        let texts = texts(out.trim_start_matches('\u{feff}'));
        assert_eq!(texts["0/content"], "Write to [email], then pay with [credit-card]. Bye");
    }
    // The very first event is the one that changes.
    let chunk = |text: &str| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": text }, "finish_reason": "stop" }] });
        format!("data: {chunk}\n\n")
    };
    let mut stream = masked_stream();
    let out = run(&mut stream, &format!("\u{feff}{}", chunk("a@b.com")), &[usize::MAX]);
    assert_eq!(out, chunk("[email]"));
}

#[test]
fn streamed_arguments_stay_json() {
    let mut stream = masked_stream();
    let out = run(&mut stream, fixture!("chat_stream_tools/stream.sse"), &[usize::MAX]);
    let texts = texts(&out);
    assert_eq!(texts["0/call0"], r#"{"to":"[email]\n","card":"[credit-card]","n":1}"#);
    assert_eq!(texts["0/call1"], r#"{"text":"[email]"}"#);
}

#[test]
fn a_stream_with_nothing_to_mask_passes_event_by_event() {
    let event = |text: &str| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "content": text } }], "id": "x" });
        format!("event: message\r\nretry: 700\r\ndata: {chunk}\r\n\r\n").into_bytes()
    };
    let mut stream = masked_stream();
    for text in ["Hello, ", "it is: ", "\u{1f600} "] {
        assert_eq!(stream.push(&event(text)).unwrap().deliver, event(text));
    }
    assert_eq!(stream.push(b": keep-alive\n\n").unwrap().deliver, b":\n\n");
    let whole = event("word, ");
    let (first, second) = whole.split_at(20);
    assert_eq!(stream.push(first).unwrap().deliver, b"");
    assert_eq!(stream.push(second).unwrap().deliver, whole);
}

#[test]
fn what_is_held_back_comes_before_the_finish_and_at_the_end() {
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({ "id": "c", "choices": [{ "index": 3, "delta": delta, "finish_reason": finish }] });
        format!("data: {chunk}\n\n")
    };
    let held = r#"data: {"id":"c","choices":[{"index":3,"delta":{"reasoning":{"text":"ann"}},"finish_reason":null}]}"#;
    let start = chunk(json!({ "reasoning": { "text": "ann" } }), Value::Null);
    let finish = chunk(json!({}), json!("stop"));
    for end in [finish.as_str(), "data: [DONE]\n\n", ""] {
        let mut stream = masked_stream();
        let out = run(&mut stream, &format!("{start}{end}"), &[usize::MAX]);
        assert!(out.ends_with(&format!("{held}\n\n{end}")), "{out}");
    }
    // A finish that carries text itself.
    let mut stream = masked_stream();
    let last = chunk(json!({ "content": "ann@example.com" }), json!("stop"));
    let out = run(&mut stream, &last, &[usize::MAX]);
    assert_eq!(out, last.replace("ann@example.com", "[email]"));
}

#[test]
fn a_stream_that_is_not_understood_ends() {
    let good = "data: {\"choices\":[]}\n\n";
    for bad in [
        "data: {\"choices\"\n\n",
        "data: hello\n\n",
        "data: {\"a\":1,\"a\":2}\n\n",
        "data: \u{fe}x\n\n",
    ] {
        let mut stream = masked_stream();
        let read = stream.push(format!("{good}{bad}{good}").as_bytes()).unwrap();
        assert_eq!(read.deliver, good.as_bytes());
        assert_eq!(stream.push(good.as_bytes()), Err(StreamError::NotJson), "{bad}");
        assert_eq!(stream.finish(), Err(StreamError::NotJson), "{bad}");
    }
    let mut cut = masked_stream();
    assert_eq!(cut.push(b"data: {\"choices\":["), Ok(Pieces::default()));
    assert_eq!(cut.finish(), Err(StreamError::NotJson));
}

#[test]
fn texts_beyond_the_limit_end_the_stream() {
    let mut stream = masked_stream();
    let event = |index: usize| {
        let call = json!({ "index": index, "function": { "arguments": "a" } });
        let delta = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
        format!("data: {delta}\n\n")
    };
    for index in 0..STREAM_TEXTS_MAX {
        assert!(stream.push(event(index).as_bytes()).is_ok());
    }
    let result = stream.push(event(STREAM_TEXTS_MAX).as_bytes());
    assert_eq!(result, Err(StreamError::TooManyTexts));
}

#[test]
fn without_a_masker_every_byte_passes_and_the_usage_is_read() {
    let input = format!("data: not json\n\n{}", fixture!("chat_stream/stream.sse"));
    let mut stream = chat_stream(Wants::default());
    assert_eq!(run(&mut stream, &input, &[11]), input);
    assert!(stream.is_done());
    assert_eq!(stream.usage(), Some(Usage { input_tokens: 19, output_tokens: 10 }));
    assert_eq!(stream.masked(), 0);
}

#[test]
fn errors_in_a_stream_and_pieces_in_probabilities_are_masked() {
    let mut stream = masked_stream();
    let input = concat!(
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x \"},",
        "\"logprobs\":{\"content\":[{\"token\":\"ann\"}]}}]}\n\n",
        "data: {\"error\":{\"message\":\"bad a@b.com\",\"type\":\"server_error\"}}\n\n",
    );
    let out = run(&mut stream, input, &[usize::MAX]);
    assert!(out.contains("\"logprobs\":null") && !out.contains("ann"), "{out}");
    assert!(out.contains("bad [email]") && !out.contains("a@b"), "{out}");
}

#[test]
fn a_denial_has_the_shape_that_the_sdk_reads() {
    let denied = Denied {
        reason: DenyReason::Policy,
        rules: vec![RuleId::new("no-gpt-4")],
        message: Some("Ask #ai-platform.".to_owned()),
    };
    let exchange = ExchangeId { session: SessionId::from_u64(7), number: 2 };
    let body = error_body(&denied, Some(exchange));
    assert_eq!(body["error"]["code"], "enforcer_policy");
    let message = body["error"]["message"].as_str().unwrap();
    for part in ["`no-gpt-4`", "Ask #ai-platform.", "0000000000000007-2", "not by the provider"] {
        assert!(message.contains(part), "{message}");
    }
    let event = String::from_utf8(last_event(&denied, Some(exchange))).unwrap();
    assert!(event.starts_with("data: {\"error\":{") && event.ends_with("}\n\n"));
}

#[test]
fn large_and_hostile_bodies_are_read_in_linear_time() {
    let text = "Mail ann@example.com, pay 4111 1111 1111 1111. \\n\\\"x\\\" ".repeat(80_000);
    for content in [
        text,
        "@".repeat(1_000_000),
        "4".repeat(1_000_000),
        "\\\\".repeat(500_000),
        "[1,".repeat(300_000),
    ] {
        let body =
            format!(r#"{{"model":"m","messages":[{{"role":"user","content":"{content}"}}]}}"#);
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        assert!(Node::read(&masked.bytes).is_ok());
        assert!(decode_chat(body.as_bytes(), &detectors()).is_ok());
    }
}

proptest! {
    #[test]
    fn a_masked_stream_says_what_the_masked_text_says(
        contents in prop::collection::vec((0_u64..2, 0_usize..3, prop::sample::select(vec![
            "ann", "@", "example.com", " ", "4111", "1111", "4111111111111111", ", ", "é", "\n", "{\"a\":\"",
            "\"}", "\\n", "\\u0040", "[", "12", "}", "漢",
        ])), 0..40),
        cuts in prop::collection::vec(1_usize..400, 1..20),
        finishes in any::<bool>(),
    ) {
        let mut input = String::new();
        let chunk = |choice: u64, delta: Value, finish: Value| {
            let chunk = json!({ "id": "c", "choices": [{ "index": choice, "delta": delta, "finish_reason": finish }] });
            format!("data: {chunk}\n\n")
        };
        for (choice, place, text) in &contents {
            let delta = match place {
                0 => json!({ "content": text }),
                1 => json!({ "reasoning_content": text }),
                _ => json!({ "tool_calls": [{ "index": 1, "function": { "arguments": text } }] }),
            };
            input += &chunk(*choice, delta, Value::Null);
        }
        if finishes {
            input += &chunk(0, json!({}), json!("stop"));
            input += &chunk(1, json!({}), json!("stop"));
        }
        input += "data: [DONE]\n\n";
        let mut stream = masked_stream();
        let out = run(&mut stream, &input, &cuts);
        let mut expect = texts(&input);
        for (place, text) in &mut expect {
            if !place.ends_with("done") {
                *text = masker().mask_text(text).text.into_owned();
            }
        }
        prop_assert_eq!(texts(&out), expect);
        prop_assert!(out.ends_with("data: [DONE]\n\n"));
    }
}
