// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One reading for masks and detectors, and texts that stand in several parts.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::mask_chat_response;
use super::{decode, mask_request};
use super::{decode_chat, detectors, masker, names, specs};
use crate::mask::{DetectorSet, Masker, Style};
use crate::model::{DetectorName, Operation};

fn chat(content: &Value) -> String {
    json!({ "model": "m", "messages": [{ "role": "user", "content": content }] }).to_string()
}

fn text(text: &str) -> Value {
    json!({ "type": "text", "text": text })
}

fn request(content: &Value, expect: &Value) {
    let (body, expect) = (chat(content), chat(expect));
    let masked = mask_request(body.as_bytes(), &masker()).unwrap();
    assert_eq!(String::from_utf8(masked.bytes).unwrap(), expect);
    assert_eq!(masked.count > 0, body != expect, "{body}");
    let detected = decode_chat(body.as_bytes(), &detectors()).unwrap().detected;
    assert_eq!(detected.is_empty(), body == expect, "{body}");
}

#[test]
fn text_parts_of_one_message_are_one_text() {
    let image = json!({ "type": "image_url", "image_url": { "url": "https://x.example" } });
    let refusal = |text: &str| json!({ "type": "refusal", "refusal": text });
    request(
        &json!([text("4111 1111 "), text("1111 1111, ok")]),
        &json!([text("[credit-card]"), text(", ok")]),
    );
    request(&json!([text("ann@"), text("example.com")]), &json!([text("[email]"), text("")]));
    request(
        &json!([text("to ann@"), image, text("example.com")]),
        &json!([text("to [email]"), image, text("")]),
    );
    request(&json!([text("ann@"), refusal("example.com")]), &json!([text("[email]"), refusal("")]));
    // Who leaves out refusals reads a card here.
    request(
        &json!([text("4111 1111 "), refusal("no"), text("1111 1111")]),
        &json!([text("[credit-card]"), refusal("no"), text("")]),
    );
    request(
        &json!([text("{\"c\":\"4111\\u0020"), text("1111\\u00201111\\u00201111\"} thanks")]),
        &json!([text("{\"c\":\"[credit-card]"), text("\"} thanks")]),
    );
    request(&json!([text("a "), image, text("b")]), &json!([text("a "), image, text("b")]));
    // Other messages are other texts.
    let apart = json!({ "model": "m", "messages": [
        { "role": "user", "content": [text("ann@")] },
        { "role": "user", "content": [text("example.com")] },
    ], "prediction": { "type": "content", "content": [text("4111 1111 "), text("1111 1111")] } });
    let masked = mask_request(apart.to_string().as_bytes(), &masker()).unwrap();
    let masked = String::from_utf8(masked.bytes).unwrap();
    assert!(masked.contains("ann@") && masked.contains("example.com"), "{masked}");
    assert!(!masked.contains("4111 1111"), "{masked}");
}

#[test]
fn text_parts_of_an_answer_are_one_text() {
    let check = |content: &str, expect: &str| {
        let answer = |content: &str| format!(r#"{{"choices":[{{"message":{{{content}}}}}]}}"#);
        let masked = mask_chat_response(answer(content).as_bytes(), &masker()).unwrap();
        assert_eq!(String::from_utf8(masked.bytes).unwrap(), answer(expect));
        assert_eq!(masked.count, 1, "{content}");
    };
    check(
        r#""content":[{"type":"text","text":"ann@"}, {"type":"text","text":"example.com"}]"#,
        r#""content":[{"type":"text","text":"[email]"}, {"type":"text","text":""}]"#,
    );
    check(r#""content":["4111 1111 ","1111 1111"]"#, r#""content":["[credit-card]",""]"#);
    // What stands twice is put together by nobody.
    check(
        r#""content":[{"text":"9"}],"content":[{"text":"4111 1111 "},{"text":"1111 1111"}]"#,
        r#""content":[{"text":"9"}],"content":[{"text":"[credit-card]"},{"text":""}]"#,
    );
    check(
        r#""content":[{"text":"9","text":"4111 1111 "},{"text":"1111 1111"}]"#,
        r#""content":[{"text":"9","text":"[credit-card]"},{"text":""}]"#,
    );
    check(
        r#""content":[{"text":"4111 1111 ","text":"x"},{"text":"1111 1111","text":"y"}]"#,
        r#""content":[{"text":"[credit-card]","text":"x"},{"text":"","text":"y"}]"#,
    );
    check(
        r#""content":[{"text":"ann@","x":[{"text":"1"},{"text":"2"}]},{"text":"example.com"}]"#,
        r#""content":[{"text":"[email]","x":[{"text":"1"},{"text":"2"}]},{"text":""}]"#,
    );
    // The lists that are dropped have no say in it.
    let answer = r#"{"choices":[{"logprobs":{"content":[{"text":"a"},{"text":"b"}]},"message":
        {"content":[{"text":"ann@"},{"text":"example.com"}]}}]}"#;
    let masked = mask_chat_response(answer.as_bytes(), &masker()).unwrap();
    let masked = String::from_utf8(masked.bytes).unwrap();
    assert!(masked.contains(r#"[{"text":"[email]"},{"text":""}]"#), "{masked}");
}

#[test]
fn escapes_hide_nothing_wherever_json_stands_in_a_text_and_however_deep() {
    let one_level = r"4111\u00201111\u00201111\u00201111";
    let nested = one_level.replace('\\', r"\\");
    for text in [
        format!(r#"Please: {{"c":"{one_level}"}}"#),
        format!(r#"5 {{"c":"{one_level}"}}"#),
        format!(r#"1 ["{one_level}"]"#),
        format!(r#"x({{"c":"{one_level}"}})"#),
        format!("\u{feff}{{\"c\":\"{one_level}\"}}"),
        format!("```json\n{{\"c\":\"{one_level}\"}}\n```"),
        format!(r#"{{"c":"ok"}}{{"c":"{one_level}"}}"#),
        format!("{{\"c\":\"ok\"}}\n{{\"c\":\"{one_level}\"}}"),
        format!(r#"{{"c":"{{\"c\":\"{nested}\"}}"}}"#),
        format!(r#"x {{"c":"{{\"c\":\"{nested}\"}}"}}"#),
        r#"x {"c":"\u0034111 1111 1111 1111"}"#.to_owned(),
        r#"x {"c":"\\\\u0034111 1111 1111 1111"}"#.to_owned(),
    ] {
        let body =
            json!({ "model": "m", "messages": [{ "role": "user", "content": text }] }).to_string();
        let found = decode_chat(body.as_bytes(), &detectors()).unwrap().detected;
        assert!(found.contains(&DetectorName::new("credit-card")), "{text}: {found:?}");
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        let masked: Value = serde_json::from_slice(&masked.bytes).unwrap();
        let masked = masked["messages"][0]["content"].as_str().unwrap();
        assert!(masked.contains("[credit-card]") && !masked.contains("1111"), "{masked}");
    }
    for mail in [r"ann@example\u002ecom", r"\u0061nn\u0040example.com"] {
        let text = format!(r#"see {{"c":"{mail}"}}"#);
        let body =
            json!({ "model": "m", "messages": [{ "role": "user", "content": text }] }).to_string();
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        let masked: Value = serde_json::from_slice(&masked.bytes).unwrap();
        assert_eq!(masked["messages"][0]["content"], r#"see {"c":"[email]"}"#);
    }
    // Backslashes that are no such escapes stay as they are.
    for text in [r"C:\new\users\u12 x", r"\frac{1}{2} \\ \upsilon", "\\"] {
        let body = json!({ "messages": [{ "content": text }] }).to_string();
        assert_eq!(mask_request(body.as_bytes(), &masker()).unwrap().bytes, body.as_bytes());
    }
}

#[test]
fn detectors_also_look_at_what_masks_leave_alone() {
    let found = |body: &str| decode_chat(body.as_bytes(), &detectors()).unwrap().detected;
    let url = format!("data:image/png;base64,4111111111111111{}", "A".repeat(48));
    let image = json!([{ "type": "image_url", "image_url": { "url": url } }]);
    assert_eq!(found(&chat(&image)), names(&["credit-card"]));
    let probabilities = r#"{"model":"m","messages":[],"choices":[{"logprobs":{"a":"a@b.com"}}]}"#;
    assert_eq!(found(probabilities), names(&["email"]));
    assert_eq!(
        found(r#"{"model":"m","messages":[],"seed":4.111111111111111e15}"#),
        names(&["credit-card"])
    );
    assert_eq!(
        found(r#"{"model":"m","messages":[],"{\"4111\\u00201111\\u00201111\\u00201111\":1}":1}"#),
        names(&["credit-card"])
    );
}

#[test]
fn neighboring_text_parts_are_counted_as_one_text() {
    let count = |content: &Value| {
        decode_chat(chat(content).as_bytes(), &detectors()).unwrap().facts.input_tokens
    };
    // Long enough that the floor has no say.
    let (first, rest) = ("a b c d e f g h ".repeat(20) + "inter", "nationalization");
    let parts = json!([text(&first), text("national"), text("ization")]);
    assert_eq!(count(&parts), count(&json!([text(&(first + rest))])));
    let image = json!({ "type": "image_url", "image_url": { "url": "https://x.example" } });
    assert!(count(&json!([text("a"), image, text("b")])) > count(&json!([text("a"), image])));
}

#[test]
fn words_of_json_and_empty_lists_are_counted_and_no_text_is_below_its_floor() {
    let tokens = |schema: &Value| {
        let tool = json!({ "type": "function", "function": { "name": "f", "parameters": schema } });
        let body = json!({ "model": "gpt-4.1", "messages": [], "tools": [tool] }).to_string();
        decode_chat(body.as_bytes(), &detectors()).unwrap().facts.input_tokens
    };
    for item in [Value::Null, json!(true), json!(false), json!([]), json!({})] {
        assert!(tokens(&json!({ "x": vec![item.clone(); 10_000] })) >= 10_000, "{item}");
        assert!(tokens(&json!({ "x": vec![json!([item]); 10_000] })) >= 10_000);
    }
    let long = " ".repeat(80_000);
    let body = chat(&json!(long));
    assert!(decode_chat(body.as_bytes(), &detectors()).unwrap().facts.input_tokens >= 10_000);
    for (route, body) in [
        ("/v1/embeddings", json!({ "model": "m", "input": long })),
        (
            "/v1/embeddings",
            json!({ "model": "m", "input": "x", "more": vec![Value::Null; 10_000] }),
        ),
        ("/v1/audio/speech", json!({ "model": "m", "input": long })),
    ] {
        let understood = decode(route, body.to_string().as_bytes(), &detectors()).unwrap();
        let tokens = match understood.operation {
            Operation::Embed(embed) => embed.input_tokens,
            Operation::Speech(speech) => speech.input_tokens,
            other => panic!("{other:?}"),
        };
        assert!(tokens >= 10_000, "{tokens}");
    }
    // Payloads have no floor either.
    let data = format!("data:image/png;base64,{}", "iVBORw0K".repeat(10_000));
    let image = json!([{ "type": "image_url", "image_url": { "url": data } }]);
    assert!(decode_chat(chat(&image).as_bytes(), &detectors()).unwrap().facts.input_tokens < 30);
}

fn strings() -> impl Strategy<Value = String> {
    let fragment = prop::sample::select(vec![
        "ann",
        "@",
        "example.com",
        "4111",
        "1111",
        " ",
        "4111111111111111",
        "{\"a\":\"",
        "\"}",
        "\\u0020",
        "[",
        "null",
        "n",
        "4.111111111111111e15",
        ",",
        "\\n",
        "é",
        "9",
    ]);
    prop::collection::vec(fragment, 0..8).prop_map(|parts| parts.concat())
}

fn values() -> impl Strategy<Value = Value> {
    let number = prop::sample::select(vec![
        json!(4_111_111_111_111_111_u64),
        json!(4.111111111111111e15),
        json!(7),
    ]);
    let leaf =
        prop_oneof![4 => strings().prop_map(Value::from), 1 => number, 1 => Just(Value::Null)];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let name = prop::sample::select(vec![
            "text",
            "refusal",
            "content",
            "type",
            "a",
            "ann@example.com",
            "{\"n\":1}",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name.prop_map(str::to_owned), inner, 0..4)
                .prop_map(Value::from_iter),
        ]
    })
}

proptest! {
    #[test]
    fn what_a_mask_would_change_in_a_body_is_what_a_detector_reports(
        contents in prop::collection::vec(prop_oneof![
            strings().prop_map(Value::from),
            prop::collection::vec(strings().prop_map(|it| text(&it)), 0..4).prop_map(Value::from),
        ], 0..3),
        more in values(),
    ) {
        let message = |content: &Value| json!({ "role": "user", "content": content });
        let messages: Vec<Value> = contents.iter().map(message).collect();
        let body = json!({ "model": "m", "messages": messages, "more": more }).to_string();
        for spec in specs() {
            let set = DetectorSet::compile(vec![spec.clone()]).unwrap();
            let masker = Masker::new(vec![(spec, Style::Label)]).unwrap();
            let masked = mask_request(body.as_bytes(), &masker).unwrap();
            let detected = decode_chat(body.as_bytes(), &set).unwrap().detected;
            prop_assert_eq!(masked.count > 0, !detected.is_empty(), "{}", body);
            prop_assert_eq!(masked.count > 0, masked.bytes != body.as_bytes());
        }
    }

    #[test]
    fn no_cut_into_parts_protects_a_text(
        before in "[a-z, ]{0,12}",
        after in "[a-z, ]{0,12}",
        secret in prop::sample::select(vec!["ann@example.com", "4111 1111 1111 1111", "378282246310005"]),
        cuts in prop::collection::vec((0_usize..40, any::<bool>()), 0..5),
    ) {
        let whole = format!("{before} {secret}, {after}");
        let mut ends: Vec<_> = cuts.iter().map(|(at, image)| (*at.min(&whole.len()), *image)).collect();
        ends.sort_unstable();
        let (mut parts, mut from) = (Vec::new(), 0);
        for (at, has_image) in ends {
            parts.push(text(whole.get(from..at).unwrap()));
            from = at;
            if has_image {
                parts.push(json!({ "type": "image_url", "image_url": { "url": "https://x.example" } }));
            }
        }
        parts.push(text(whole.get(from..).unwrap()));
        let joined = |bytes: &[u8], place: &str| {
            let body: Value = serde_json::from_slice(bytes).unwrap();
            let parts = body.pointer(place).unwrap().as_array().unwrap().clone();
            parts.iter().filter_map(|part| part["text"].as_str()).collect::<String>()
        };
        let body = chat(&Value::from(parts.clone()));
        let masked = mask_request(body.as_bytes(), &masker()).unwrap();
        let expect = masker().mask_text(&whole).text.into_owned();
        prop_assert_eq!(joined(&masked.bytes, "/messages/0/content"), expect.clone());
        prop_assert!(!decode_chat(body.as_bytes(), &detectors()).unwrap().detected.is_empty());
        let answer = json!({ "choices": [{ "message": { "content": parts } }] }).to_string();
        let masked = mask_chat_response(answer.as_bytes(), &masker()).unwrap();
        prop_assert_eq!(joined(&masked.bytes, "/choices/0/message/content"), expect);
    }
}

#[test]
fn a_text_in_a_part_of_another_type_hides_nothing() {
    let check = |between: Value| {
        let content = json!([
            { "type": "text", "text": "ann@exa" }, between, { "type": "text", "text": "mple.com" },
        ]);
        let body = json!({ "model": "m", "messages": [{ "role": "user", "content": content }] });
        let request = decode_chat(body.to_string().as_bytes(), &detectors()).unwrap();
        assert_eq!(request.detected, names(&["email"]), "{body}");
        let masked = mask_request(body.to_string().as_bytes(), &masker()).unwrap();
        assert!(!String::from_utf8(masked.bytes).unwrap().contains("mple.com"), "{body}");
    };
    check(json!({ "type": "refusal", "refusal": "", "text": " x " }));
    check(json!({ "type": "holo", "text": " x " }));
    check(json!({ "text": " x ", "type": "thinking" }));
}
