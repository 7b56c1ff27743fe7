// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is exempt from masking, and nothing else.

use serde_json::json;

use super::mask_chat_response;
use super::{StreamError, mask_request};
use super::{masked_stream, masker, run};
use crate::mask::{DetectorKind, DetectorSpec, Masker, Style};
use crate::model::{DetectorName, OpaqueCause};

#[test]
fn only_what_is_a_payload_is_exempt_from_masking() {
    let url = |text: &str| {
        let part = json!({ "type": "image_url", "image_url": { "url": text } });
        json!({ "messages": [{ "content": [part] }] }).to_string()
    };
    let check = |body: String, expect: &str| {
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        assert_eq!(String::from_utf8(masked.bytes).unwrap(), expect);
    };
    let card = "4111111111111111";
    let long = format!("{card}/{}", "A".repeat(47));
    for (text, masked) in [
        (card.to_owned(), "[credit-card]".to_owned()),
        (format!("data:image/png;base64,{card}"), format!("data:image/png;base64,{card}")),
        (long.clone(), long.clone()),
        // Not canonical base64.
        (format!("{long}A"), format!("[credit-card]/{}", "A".repeat(48))),
        (format!("{long}-_=="), format!("[credit-card]/{}-_==", "A".repeat(47))),
        (
            format!("data:image/png;base64,{card}A"),
            "data:image/png;base64,[credit-card]A".to_owned(),
        ),
        (format!("data:image/png,{card}"), "data:image/png,[credit-card]".to_owned()),
        (format!("data:a/{card};base64,AAAA"), "data:a/[credit-card];base64,AAAA".to_owned()),
    ] {
        check(url(&text), &url(&masked));
    }
    // Nor is it one at another place.
    let elsewhere =
        |text: &str| json!({ "messages": [{ "content": [{ "url": text }] }] }).to_string();
    check(elsewhere(&long), &elsewhere(&long.replace(card, "[credit-card]")));
}

#[test]
fn a_streamed_payload_passes_and_what_is_none_is_masked_in_order() {
    let event = |data: &str| {
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "audio": { "data": data } } }] });
        format!("data: {chunk}\n\n")
    };
    let audio = format!("4111111111111111{}", "A".repeat(48));
    let mut stream = masked_stream();
    for data in [audio.as_str(), "", "4111", "QUFB"] {
        assert_eq!(stream.push(event(data).as_bytes()).unwrap().deliver, event(data).into_bytes());
    }
    // A piece that is no base64 ends the payload for good.
    let input = event("a@b.com, ") + &event(&audio);
    let out = run(&mut stream, &input, &[usize::MAX]);
    assert!(out.contains("[email], ") && out.contains("[credit-card]"), "{out}");
    assert!(!out.contains("4111") && !out.contains("a@b"), "{out}");
}

#[test]
fn ids_and_names_that_are_masked_still_fit_together() {
    let (one, other) = ("call_4111111111111111", "call_5555555555554444");
    let hash = |text: &str| masker().with_style(Style::Hash).mask(text).text.into_owned();
    let body = |one: &str, other: &str| {
        json!({
            "model": "m",
            "messages": [
                { "role": "assistant", "tool_calls": [
                    { "id": one, "type": "function", "function": { "name": "ok", "arguments": "{}" } },
                    { "id": other, "type": "function", "function": { "name": "ok", "arguments": "{}" } },
                ] },
                { "role": "tool", "tool_call_id": other, "content": "x" },
                { "role": "tool", "tool_call_id": one, "content": "y" },
            ],
        })
        .to_string()
    };
    assert!(hash(one).starts_with("call_[credit-card:") && hash(one) != hash(other));
    let masked = mask_request(body(one, other).as_bytes(), &masker()).unwrap();
    assert_eq!(String::from_utf8(masked.bytes).unwrap(), body(&hash(one), &hash(other)));
    assert_eq!(masked.count, 4);
    // What an id is written with does not matter.
    let (ann, bob) = ("ann@example.com", "bob@example.com");
    let masked = mask_request(body(ann, bob).as_bytes(), &masker()).unwrap();
    assert_eq!(String::from_utf8(masked.bytes).unwrap(), body(&hash(ann), &hash(bob)));
}

#[test]
fn only_the_words_of_the_api_are_exempt_from_masking() {
    let words = DetectorSpec {
        name: DetectorName::new("words"),
        kind: DetectorKind::Pattern("user|secret".to_owned()),
    };
    let words = Masker::new(vec![(words, Style::Label)]).unwrap();
    let masked = |body: &str| {
        String::from_utf8(mask_request(body.as_bytes(), &words).unwrap().bytes).unwrap()
    };
    for body in [r#"{"messages":[{"role":"user"}]}"#, r#"{"tool_choice":"auto"}"#] {
        assert_eq!(masked(body), body);
    }
    assert_eq!(
        masked(r#"{"messages":[{"role":"secret","content":"user"}]}"#),
        r#"{"messages":[{"role":"[words]","content":"[words]"}]}"#
    );
    assert_eq!(masked(r#"{"service_tier":"secret"}"#), r#"{"service_tier":"[words]"}"#);
}

#[test]
fn a_streamed_name_is_masked_whole_or_ends_the_stream() {
    let event = |name: &str| {
        let call = json!({ "index": 0, "id": "call_1", "function": { "name": name } });
        let chunk = json!({ "choices": [{ "index": 0, "delta": { "tool_calls": [call] } }] });
        format!("data: {chunk}\n\n")
    };
    let hash = |text: &str| masker().with_style(Style::Hash).mask(text).text.into_owned();
    let mut stream = masked_stream();
    assert_eq!(
        stream.push(event("find_order").as_bytes()).unwrap().deliver,
        event("find_order").into_bytes()
    );
    let masked = stream.push(event("4111111111111111").as_bytes()).unwrap().deliver;
    assert_eq!(masked, event(&hash("4111111111111111")).into_bytes());
    assert_eq!(stream.masked(), 1);
    let mut split = masked_stream();
    assert!(split.push(event("41111111").as_bytes()).is_ok());
    assert_eq!(split.push(event("11111111").as_bytes()), Err(StreamError::SplitName));
}

#[test]
fn a_number_that_is_masked_becomes_a_string() {
    let request = |body: &str, expect: &str| {
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        assert_eq!(String::from_utf8(masked.bytes).unwrap(), expect);
        assert_eq!(masked.count > 0, body != expect, "{body}");
    };
    request(r#"{"a":[4111111111111111 , 12.50]}"#, r#"{"a":["[credit-card]" , 12.50]}"#);
    request(r#"{"a":-4111111111111111}"#, r#"{"a":"-[credit-card]"}"#);
    // Another way of writing the same.
    request(r#"{"a":4.111111111111111e15}"#, r#"{"a":"[credit-card].0"}"#);
    request(r#"{"seed":4111111111111111}"#, r#"{"seed":"[credit-card]"}"#);
    let answer = r#"{"choices":[{"message":{"x":4111111111111111}}],"created":4111111111111111}"#;
    let masked = mask_chat_response(answer.as_bytes(), &masker()).unwrap();
    assert_eq!(masked.bytes, answer.replace("4111111111111111", "\"[credit-card]\"").as_bytes());
    let mut stream = masked_stream();
    let chunk = r#"{"id":"c","choices":[{"index":0,"delta":{"x":{"y":4111111111111111}}}]}"#;
    let out = run(&mut stream, &format!("data: {chunk}\n\n"), &[usize::MAX]);
    let expect = chunk.replace("4111111111111111", "\"[credit-card]\"");
    assert_eq!(out, format!("data: {expect}\n\n"));
    // What SDKs account with stays a number, whatever a bundle looks for.
    let digits = DetectorSpec {
        name: DetectorName::new("digits"),
        kind: DetectorKind::Pattern("[0-9]{1,12}".to_owned()),
    };
    let digits = Masker::new(vec![(digits, Style::Label)]).unwrap();
    let answer = br#"{"created":1741569952,"usage":{"prompt_tokens":19},"n":[19]}"#;
    let masked = mask_chat_response(answer, &digits).unwrap();
    assert_eq!(
        String::from_utf8(masked.bytes).unwrap(),
        r#"{"created":1741569952,"usage":{"prompt_tokens":19},"n":["[digits]"]}"#
    );
}

#[test]
fn nothing_hides_in_names_identifiers_or_payloads() {
    let check = |body: &str, expect: &str| {
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        assert_eq!(String::from_utf8(masked.bytes).unwrap(), expect);
    };
    check(r#"{"a":"a@b.com","a":"c@d.com"}"#, r#"{"a":"[email]","a":"[email]"}"#);
    check(
        r#"{"user":"a@b.com","x":{"user":"a@b.com"}}"#,
        r#"{"user":"[email]","x":{"user":"[email]"}}"#,
    );
    check(r#"{"a@b.com" : 1.0}"#, r#"{"[email]" : 1.0}"#);
    check(
        r#"{"messages":[{"content":[{"image_url":{"url":"data:text/plain,a@b.com"}}]}]}"#,
        r#"{"messages":[{"content":[{"image_url":{"url":"data:text/plain,[email]"}}]}]}"#,
    );
    check(
        r#"{"*":{"role":"a@b.com"},"e":"\ud83d\ude00 a@b.com"}"#,
        r#"{"*":{"role":"[email]"},"e":"😀 [email]"}"#,
    );
    assert_eq!(mask_request(b"{", &masker()), Err(OpaqueCause::NotJson));
}
