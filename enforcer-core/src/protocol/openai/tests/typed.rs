// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Streams of typed events, in the form of the Responses API (openai-python 3.54,
//! `types/responses/response_stream_event.py`): masked across their events, whatever the chunks.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{AnswerStream, Keep, Pieces, StreamError, Wants, masker};
use crate::model::{Denied, DenyReason, Passed, Usage};
use crate::protocol::openai::shapes;

fn event(data: &Value) -> String {
    format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap())
}

fn stream(wants: Wants) -> AnswerStream {
    AnswerStream::new(&shapes::TYPED, wants)
}

fn masked() -> AnswerStream {
    stream(Wants { deliver: Some(masker()), keep: Keep::Masked(masker()), ..Wants::default() })
}

/// Everything that goes on until the stream ends or fails.
fn outcome(
    stream: &mut AnswerStream,
    input: &[u8],
    cuts: &[usize],
) -> (Pieces, Option<StreamError>) {
    let mut all = Pieces::default();
    let mut rest = input;
    let mut cuts = cuts.iter().cycle();
    while !rest.is_empty() {
        let (chunk, tail) = rest.split_at((*cuts.next().unwrap()).clamp(1, rest.len()));
        match stream.push(chunk) {
            Ok(pieces) => {
                all.deliver.extend(pieces.deliver);
                all.keep.extend(pieces.keep);
            }
            Err(fault) => return (all, Some(fault)),
        }
        rest = tail;
    }
    match stream.finish() {
        Ok(pieces) => {
            all.deliver.extend(pieces.deliver);
            all.keep.extend(pieces.keep);
            (all, None)
        }
        Err(fault) => (all, Some(fault)),
    }
}

fn whole(input: &str) -> (String, String, Option<StreamError>) {
    let (out, fault) = outcome(&mut masked(), input.as_bytes(), &[usize::MAX]);
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(out.deliver), text(out.keep), fault)
}

fn events(stream: &[u8]) -> Vec<Value> {
    let text = str::from_utf8(stream).unwrap();
    text.lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .map(|data| serde_json::from_str(data).unwrap())
        .collect()
}

/// What a client shows of each text: its deltas, joined.
fn shown(events: &[Value]) -> BTreeMap<(String, u64, u64), String> {
    let mut texts = BTreeMap::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        let Some(stem) = kind.strip_suffix(".delta") else { continue };
        let index = event["content_index"].as_u64().or(event["summary_index"].as_u64());
        let place = (stem.to_owned(), event["output_index"].as_u64().unwrap(), index.unwrap_or(0));
        *texts.entry(place).or_insert_with(String::new) += event["delta"].as_str().unwrap();
    }
    texts
}

/// What the ends of texts repeat.
fn said_again(events: &[Value]) -> BTreeMap<(String, u64, u64), String> {
    let mut texts = BTreeMap::new();
    for event in events {
        let kind = event["type"].as_str().unwrap();
        let Some(stem) = kind.strip_suffix(".done") else { continue };
        let text = ["text", "arguments", "refusal"].iter().find_map(|name| event[name].as_str());
        let index = event["content_index"].as_u64().or(event["summary_index"].as_u64());
        let index = index.unwrap_or(0);
        if let (Some(text), Some(output)) = (text, event["output_index"].as_u64()) {
            texts.insert((stem.to_owned(), output, index), text.to_owned());
        }
    }
    texts
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Text,
    Refusal,
    Arguments,
    Summary,
}

/// One text of an answer and how it is cut.
#[derive(Clone, Debug)]
struct Said {
    kind: Kind,
    pieces: Vec<String>,
}

impl Said {
    fn whole(&self) -> String {
        self.pieces.concat()
    }

    /// Its events, each with the item and the place that it has.
    fn events(&self, output: usize) -> Vec<Value> {
        let (id, text) = (format!("item_{output}"), self.whole());
        let (stem, name, index) = match self.kind {
            Kind::Text => ("response.output_text", "text", "content_index"),
            Kind::Refusal => ("response.refusal", "refusal", "content_index"),
            Kind::Arguments => ("response.function_call_arguments", "arguments", ""),
            Kind::Summary => ("response.reasoning_summary_text", "text", "summary_index"),
        };
        let place = |mut event: Value| {
            event["item_id"] = json!(id);
            event["output_index"] = json!(output);
            if !index.is_empty() {
                event[index] = json!(0);
            }
            event
        };
        let item = |text: &str, status: &str| match self.kind {
            Kind::Arguments => {
                json!({ "id": id, "type": "function_call", "status": status, "name": "f",
                                       "call_id": "call_1", "arguments": text })
            }
            Kind::Summary => json!({ "id": id, "type": "reasoning",
                                     "summary": [{ "type": "summary_text", "text": text }] }),
            Kind::Text | Kind::Refusal => json!({ "id": id, "type": "message", "status": status,
                "role": "assistant", "content": [{ "type": "output_text", name: text }] }),
        };
        let added = match self.kind {
            Kind::Arguments => item("", "in_progress"),
            Kind::Summary => json!({ "id": id, "type": "reasoning", "summary": [] }),
            Kind::Text | Kind::Refusal => json!({ "id": id, "type": "message", "content": [] }),
        };
        let mut all = vec![
            json!({ "type": "response.output_item.added", "output_index": output, "item": added }),
        ];
        if self.kind != Kind::Arguments {
            let kind =
                if self.kind == Kind::Summary { "reasoning_summary_part" } else { "content_part" };
            all.push(place(json!({ "type": format!("response.{kind}.added"), "part": { "type": "output_text", "text": "" } })));
        }
        all.extend(self.pieces.iter().map(|piece| {
            place(json!({ "type": format!("{stem}.delta"), "delta": piece, "logprobs": [], "obfuscation": "x" }))
        }));
        all.push(place(json!({ "type": format!("{stem}.done"), name: text, "logprobs": [] })));
        all.push(json!({ "type": "response.output_item.done", "output_index": output, "item": item(&text, "completed") }));
        all
    }
}

/// A whole stream: the texts' events, woven into each other by `order`.
fn response(said: &[Said], order: &[usize]) -> Vec<Value> {
    let mut queues: Vec<std::collections::VecDeque<Value>> =
        said.iter().enumerate().map(|(output, said)| said.events(output).into()).collect();
    let started = json!({ "id": "resp_1", "object": "response", "created_at": 1_763_800_000, "status": "in_progress",
                          "instructions": "Be kind.", "output": [], "text": { "format": { "type": "text" } } });
    let mut all = vec![
        json!({ "type": "response.created", "response": started }),
        json!({ "type": "response.in_progress", "response": started }),
    ];
    let mut order = order.iter().cycle();
    while queues.iter().any(|queue| !queue.is_empty()) {
        let at = order.next().unwrap() % queues.len();
        let next = (0..queues.len()).map(|step| (at + step) % queues.len());
        let next = next.into_iter().find(|index| !queues[*index].is_empty()).unwrap();
        all.push(queues[next].pop_front().unwrap());
    }
    let mut done = started;
    done["status"] = json!("completed");
    done["output"] = all
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| event["item"].clone())
        .collect();
    done["usage"] = json!({ "input_tokens": 19, "input_tokens_details": { "cached_tokens": 4 },
                            "output_tokens": 27, "total_tokens": 46 });
    all.push(json!({ "type": "response.completed", "response": done }));
    for (number, event) in all.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    all
}

fn wire(events: &[Value]) -> String {
    events.iter().map(event).collect()
}

fn said(kind: Kind, pieces: &[&str]) -> Said {
    Said { kind, pieces: pieces.iter().map(|piece| (*piece).to_owned()).collect() }
}

fn texts() -> impl Strategy<Value = Said> {
    let kind = prop_oneof![
        Just(Kind::Text),
        Just(Kind::Refusal),
        Just(Kind::Summary),
        Just(Kind::Arguments)
    ];
    let word = prop_oneof![
        Just("maria.lopez@example.com"),
        Just("4111 1111 1111 1111"),
        Just("ann@exa"),
        Just("mple.com"),
        Just(" and "),
        Just("\u{e9}\u{1f600} "),
        Just("x"),
    ];
    (kind, prop::collection::vec(word, 1..6), prop::collection::vec(1_usize..9, 1..6)).prop_map(
        |(kind, words, cuts)| {
            let text = words.concat();
            let text =
                if kind == Kind::Arguments { json!({ "a": text }).to_string() } else { text };
            let characters: Vec<char> = text.chars().collect();
            let (mut pieces, mut at) = (Vec::new(), 0);
            for cut in cuts.iter().cycle() {
                if at >= characters.len() {
                    break;
                }
                let end = (at + cut).min(characters.len());
                pieces.push(characters[at..end].iter().collect());
                at = end;
            }
            Said { kind, pieces }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_the_chunks_a_stream_gives_the_same_bytes_and_facts(
        said in prop::collection::vec(texts(), 1..4),
        order in prop::collection::vec(0_usize..4, 1..8),
        cuts in prop::collection::vec(1_usize..200, 1..8),
    ) {
        let input = wire(&response(&said, &order));
        let (mut at_once, mut cut) = (masked(), masked());
        let expect = outcome(&mut at_once, input.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(expect.1, None);
        let found = outcome(&mut cut, input.as_bytes(), &cuts);
        prop_assert_eq!(&found, &expect);
        prop_assert_eq!((cut.usage(), cut.passed(), cut.masked()), (at_once.usage(), at_once.passed(), at_once.masked()));
        prop_assert!(cut.is_done());
        // The record is masked by the same detectors, so it is the same.
        prop_assert_eq!(found.0.keep, found.0.deliver);
    }

    #[test]
    fn the_pieces_of_a_text_are_together_what_its_whole_is_masked(
        said in prop::collection::vec(texts(), 1..4),
        order in prop::collection::vec(0_usize..4, 1..8),
    ) {
        let input = wire(&response(&said, &order));
        let (out, fault) = outcome(&mut masked(), input.as_bytes(), &[usize::MAX]);
        prop_assert_eq!(fault, None);
        let events = events(&out.deliver);
        let (shown, again) = (shown(&events), said_again(&events));
        for (place, text) in &again {
            prop_assert_eq!(shown.get(place).map_or("", String::as_str), text, "{:?}", place);
        }
        for (output, said) in said.iter().enumerate() {
            let expect = masker().mask_text(&said.whole()).text.into_owned();
            let found = shown.iter().find(|(place, _)| place.1 == output as u64);
            prop_assert_eq!(found.map(|it| it.1.as_str()), Some(expect.as_str()));
        }
        // Without a mask every byte goes on as sent.
        let plain = outcome(&mut stream(Wants::default()), input.as_bytes(), &[7]);
        prop_assert_eq!(plain.0.deliver, input.as_bytes());
    }
}

/// An event of a provider that puts a piece of its text anywhere.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec!["ann@exa", "mple.com", "x", "", "ann@example.com"]);
    let keys = (0_usize..3, 0_usize..3, 0_usize..3).prop_map(|(item, output, content)| {
        let mut keys = serde_json::Map::new();
        let mut add = |name: &str, value: Value, is_there: bool| {
            if is_there {
                keys.insert(name.to_owned(), value);
            }
        };
        add("item_id", json!(["a", "b", ""][item]), item < 2);
        add("output_index", json!(output), output < 2);
        add("content_index", json!(content), content < 2);
        keys
    });
    (piece, keys, 0_usize..9).prop_map(|(text, keys, form)| {
        let of = |kind: &str, member: &str, value: Value| {
            let mut event = keys.clone();
            event.insert("type".to_owned(), json!(kind));
            event.insert(member.to_owned(), value);
            Value::from(event)
        };
        match form {
            0..4 => event(&of(TEXT, "delta", json!(text))),
            4 => event(&of("response.output_text.done", "text", json!(text))),
            5 => event(&of("response.content_part.done", "part", json!({ "text": text }))),
            6 => event(&of("response.output_item.done", "item", json!({ "id": text }))),
            7 => event(&of(
                "response.output_item.added",
                "item",
                json!({ "content": [{ "text": text }] }),
            )),
            _ => event(&of(TEXT, "delta", json!({ "a": text, "b": [text] }))),
        }
    })
}

/// What clients could show that sort pieces by these members.
fn sorted(events: &[Value], by: &[&str]) -> Vec<String> {
    let mut texts: BTreeMap<Vec<String>, String> = BTreeMap::new();
    for event in events {
        let place: Vec<String> = by
            .iter()
            .map(|name| match &event[*name] {
                Value::Null => "0".to_owned(),
                value => value.to_string(),
            })
            .collect();
        let begun = event["item"]["content"][0]["text"].as_str();
        let piece = event["delta"].as_str().or(begun).unwrap_or_default();
        *texts.entry(place).or_default() += piece;
    }
    texts.into_values().collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_a_provider_does_with_typed_events_nothing_that_a_mask_names_is_shown(
        events in prop::collection::vec(hostile(), 1..7),
    ) {
        let (out, _) = outcome(&mut masked(), events.concat().as_bytes(), &[usize::MAX]);
        for side in [&out.deliver, &out.keep] {
            prop_assert!(!String::from_utf8_lossy(side).contains("ann@example.com"));
            let events = self::events(side);
            for by in [&["item_id", "output_index", "content_index"][..], &["output_index", "content_index"]] {
                let shown = sorted(&events, by);
                prop_assert!(shown.iter().all(|text| !text.contains("ann@example.com")), "{:?} {:?}", by, shown);
            }
        }
    }
}

#[test]
fn what_is_held_back_comes_before_the_end_of_its_text() {
    let said = [said(Kind::Text, &["Write to ann@exa", "mple.com"])];
    let (out, _, fault) = whole(&wire(&response(&said, &[0])));
    assert_eq!(fault, None);
    let kinds: Vec<_> =
        events(out.as_bytes()).iter().map(|it| it["type"].as_str().unwrap().to_owned()).collect();
    let last = kinds.iter().rposition(|kind| kind == "response.output_text.delta").unwrap();
    assert_eq!(kinds[last + 1], "response.output_text.done");
    assert_eq!(
        shown(&events(out.as_bytes())).into_values().collect::<Vec<_>>(),
        ["Write to [email]"]
    );
    // An event that is made up has what SDKs read of one.
    for event in
        events(out.as_bytes()).iter().filter(|it| it["type"] == "response.output_text.delta")
    {
        for member in ["item_id", "output_index", "content_index", "sequence_number", "logprobs"] {
            assert!(!event[member].is_null(), "{member} {event}");
        }
    }
}

#[test]
fn ids_of_a_stream_stay_consistent() {
    let mut all = response(&[said(Kind::Text, &["hello"])], &[0]);
    let text = serde_json::to_string(&all).unwrap().replace("item_0", "ann@example.com");
    all = serde_json::from_str(&text).unwrap();
    let (out, _, fault) = whole(&wire(&all));
    assert_eq!(fault, None);
    assert!(!out.contains("ann@example.com"));
    let events = events(out.as_bytes());
    let ids: std::collections::BTreeSet<&str> = events
        .iter()
        .flat_map(|event| [event["item_id"].as_str(), event["item"]["id"].as_str()])
        .flatten()
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

fn delta(kind: &str, members: Value, text: &str) -> String {
    let mut event = json!({ "type": kind, "delta": text });
    event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    self::event(&event)
}

const TEXT: &str = "response.output_text.delta";

#[test]
fn a_piece_of_a_text_that_is_over_ends_the_stream() {
    let place = json!({ "item_id": "a", "output_index": 0, "content_index": 0 });
    let first = delta(TEXT, place.clone(), "ann@exa");
    let ended = |kind: &str, members: Value| {
        let mut event = json!({ "type": kind });
        event.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        self::event(&event)
    };
    let begun = json!({ "type": "response.output_item.added", "output_index": 0,
                        "item": { "content": [{ "type": "output_text", "text": "ann@exa" }] } });
    for before in [
        first.clone() + &ended("response.output_text.done", place.clone()),
        first.clone() + &ended("response.content_part.done", place.clone()),
        first.clone() + &ended("response.output_item.done", json!({ "output_index": 0 })),
        event(&begun),
    ] {
        let (out, kept, fault) = whole(&(before.clone() + &delta(TEXT, place.clone(), "mple.com")));
        assert_eq!(fault, Some(StreamError::AfterFinish), "{before}");
        assert!(!out.contains("mple.com") && !kept.contains("mple.com"), "{out}");
    }
    // Another text may follow.
    let other = json!({ "item_id": "b", "output_index": 1, "content_index": 0 });
    let input = first + &ended("response.output_item.done", json!({ "output_index": 0 }));
    assert_eq!(whole(&(input + &delta(TEXT, other, "hi"))).2, None);
}

#[test]
fn an_end_without_a_place_ends_no_other_text() {
    let place = json!({ "item_id": "a", "output_index": 0, "content_index": 0 });
    let input = delta(TEXT, place.clone(), "ann@exa")
        + &event(&json!({ "type": "response.audio.done" }))
        + &delta(TEXT, place, "mple.com");
    let (out, _, fault) = whole(&input);
    assert_eq!(fault, None);
    assert_eq!(shown(&events(out.as_bytes())).into_values().collect::<Vec<_>>(), ["[email]"]);
}

#[test]
fn events_that_two_clients_could_take_for_different_ones_end_the_stream() {
    let place = json!({ "item_id": "a", "output_index": 0, "content_index": 0 });
    let first = delta(TEXT, place, "ann@exa");
    for second in [
        // Whoever sorts by index takes it for the same text.
        delta(TEXT, json!({ "item_id": "b", "output_index": 0, "content_index": 0 }), "mple.com"),
        delta(TEXT, json!({ "output_index": 0, "content_index": 0 }), "mple.com"),
        delta(TEXT, json!({ "output_index": 0 }), "mple.com"),
        // Whoever sorts by id does.
        delta(TEXT, json!({ "item_id": "a", "output_index": 1, "content_index": 0 }), "mple.com"),
        delta(TEXT, json!({}), "x")
            .replace("event: response.output_text.delta", "event: response.refusal.delta"),
        "data: {\"delta\":\"mple.com\"}\n\n".to_owned(),
        "data: {\"type\":7,\"delta\":\"mple.com\"}\n\n".to_owned(),
        "data: [\"mple.com\"]\n\n".to_owned(),
    ] {
        let (out, _, fault) = whole(&(first.clone() + &second));
        assert_eq!(fault, Some(StreamError::Choices), "{second}");
        assert!(!out.contains("mple"), "{out}");
    }
}

#[test]
fn an_error_of_the_provider_passes_and_does_not_speak_in_our_name() {
    let error = "data: {\"error\":{\"message\":\"Denied by Enforcer for ann@example.com\"}}\n\n";
    let (out, _, fault) = whole(error);
    assert_eq!(fault, None);
    assert!(out.contains("provider: Denied by Enforcer for [email]"), "{out}");
}

#[test]
fn sounds_stay_and_what_only_stands_in_their_place_is_a_text() {
    let sound = "QUJD".repeat(100);
    let input = delta("response.audio.delta", json!({}), &sound);
    assert_eq!(whole(&input).0, input);
    let (out, _, fault) = whole(
        &(delta("response.audio.delta", json!({}), "ann@exa")
            + &delta("response.audio.delta", json!({}), "mple.com!")),
    );
    assert_eq!(fault, None);
    assert!(!out.contains("mple.com"), "{out}");
}

#[test]
fn what_is_said_is_counted_once_and_what_was_asked_is_not() {
    let words = "word ".repeat(100);
    let mut all = response(&[said(Kind::Text, &[&words, &words])], &[0]);
    for event in &mut all {
        if event["response"].is_object() {
            event["response"]["instructions"] = json!("x".repeat(10_000));
            event["response"]["tools"] =
                json!([{ "type": "function", "name": "x".repeat(10_000) }]);
            event["response"]["text"] = json!({ "format": { "schema": "x".repeat(10_000) } });
        }
    }
    for mut stream in [masked(), stream(Wants::default())] {
        outcome(&mut stream, wire(&all).as_bytes(), &[1000]);
        let Passed { pieces, text_bytes } = stream.passed();
        assert_eq!(pieces, 2);
        assert!((1000..1100).contains(&text_bytes), "{text_bytes}");
        assert_eq!(stream.usage(), Some(Usage { input_tokens: 19, output_tokens: 27 }));
    }
    // An answer that comes without pieces counts, too.
    let whole: Vec<Value> = all
        .iter()
        .filter(|it| !it["type"].as_str().unwrap().ends_with(".delta"))
        .cloned()
        .collect();
    let mut stream = masked();
    outcome(&mut stream, wire(&whole).as_bytes(), &[1000]);
    assert!((1000..1100).contains(&stream.passed().text_bytes), "{:?}", stream.passed());
}

#[test]
fn nothing_goes_on_behind_the_last_event() {
    let all = wire(&response(&[said(Kind::Text, &["hi"])], &[0]));
    let more = delta(TEXT, json!({ "output_index": 5, "content_index": 0 }), "more");
    for mut stream in [masked(), stream(Wants::default())] {
        let (out, _) = outcome(&mut stream, (all.clone() + &more).as_bytes(), &[usize::MAX]);
        assert!(!String::from_utf8(out.deliver).unwrap().contains("more"));
    }
}

#[test]
fn a_long_answer_of_many_items_is_followed_to_its_end() {
    let many: Vec<Said> = (0..600).map(|_| said(Kind::Text, &["ann@exa", "mple.com"])).collect();
    let input: String = many
        .iter()
        .enumerate()
        .flat_map(|(output, said)| said.events(output))
        .map(|it| event(&it))
        .collect();
    let (out, _, fault) = whole(&input);
    assert_eq!(fault, None);
    assert!(!out.contains("ann@exa"));
}

#[test]
fn a_stream_that_is_cut_off_ends_with_what_every_sdk_raises() {
    let denied = Denied::because(DenyReason::BudgetSpent);
    let last = stream(Wants::default()).last_event(&denied, None);
    let text = String::from_utf8(last.clone()).unwrap();
    assert!(text.starts_with("event: response.failed\ndata: {"), "{text}");
    let event = &events(&last)[0];
    assert_eq!(event["type"], "response.failed");
    assert_eq!(event["response"]["error"]["code"], "invalid_prompt");
    assert_eq!(event["response"]["error"]["message"], event["error"]["message"]);
    assert!(event["error"]["code"].as_str().unwrap().starts_with("enforcer_"));
}

#[test]
fn what_clients_could_go_on_with_or_sort_otherwise_ends_the_stream() {
    let part = json!({ "type": "output_text", "text": "ann@exa" });
    let begun =
        json!({ "type": "response.created", "response": { "output": [{ "content": [part] }] } });
    let piece = |index: Value, text: &str| {
        event(&json!({
            "type": "response.output_text.delta", "item_id": "m", "output_index": index,
            "content_index": 0, "delta": text,
        }))
    };
    let (out, _, fault) = whole(&[event(&begun), piece(json!(0), "mple.com")].concat());
    assert_eq!(fault, Some(StreamError::AfterFinish), "{out}");
    assert!(!out.contains("mple.com"), "{out}");
    let (out, _, fault) =
        whole(&[piece(json!(0), "ann@exa"), piece(json!(0.0), "mple.com")].concat());
    assert_eq!(fault, Some(StreamError::Choices), "{out}");
    let (out, _, fault) = whole(&[piece(json!(0), "all "), piece(json!(0), "well")].concat());
    assert_eq!((out.contains("all "), fault), (true, None), "{out}");
}
