// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Any chunking of any stream gives the same bytes and the same verdicts.

use proptest::prelude::*;
use serde_json::json;

use super::events::{messages_stream, responses_stream};
use super::*;

fn chat_stream(calls: &[(&str, &str)]) -> String {
    let chunk = |delta: &Value, finish: Option<&str>| json!({ "id": "c", "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }] });
    let mut events = vec![chunk(&json!({ "role": "assistant", "content": "Hm." }), None)];
    let (mut firsts, mut rests) = (Vec::new(), Vec::new());
    for (index, (name, arguments)) in calls.iter().enumerate() {
        let (first, rest) = arguments.split_at(arguments.len() / 2);
        let piece =
            |function: Value| json!({ "tool_calls": [{ "index": index, "function": function }] });
        firsts.push(chunk(&piece(json!({ "name": name, "arguments": first })), None));
        rests.push(chunk(&piece(json!({ "arguments": rest })), None));
    }
    events.extend(firsts.into_iter().chain(rests));
    events.push(chunk(&json!({}), Some("tool_calls")));
    sse(&events) + "data: [DONE]\n\n"
}

fn calls() -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    let name = prop::sample::select(vec!["look", "danger", "mail"]);
    let arguments = prop::sample::select(vec![
        "{}",
        r#"{"path":"/etc/passwd"}"#,
        r#"{"to":"ann@example.com","text":"grüße"}"#,
        r#"{"a":[1,2,{"b":"\u0041"}]}"#,
    ]);
    prop::collection::vec((name, arguments), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn every_chunking_gives_the_same_bytes_and_verdicts(
        calls in calls(),
        cuts in prop::collection::vec(1_usize..60, 1..12),
        is_masked in any::<bool>(),
    ) {
        let ids = ["1", "2", "3", "4"];
        let items: Vec<_> = calls.iter().zip(ids).map(|((name, text), id)| (id, *name, *text)).collect();
        let texts: Vec<[&str; 1]> = calls.iter().map(|(_, text)| [*text]).collect();
        let blocks: Vec<(&str, &[&str])> =
            calls.iter().zip(&texts).map(|((name, _), text)| (*name, text.as_slice())).collect();
        for (path, sent) in [
            ("/v1/chat/completions", chat_stream(&calls)),
            ("/v1/responses", responses_stream(&items)),
            ("/v1/messages", messages_stream(&blocks)),
        ] {
            let wants = || Wants { deliver: is_masked.then(masker), keep: codec::Keep::Masked(masker()), ..held() };
            let whole = read(path, wants(), &[sent.as_bytes()]);
            let mut chunks = Vec::new();
            let mut rest = sent.as_bytes();
            for cut in cuts.iter().cycle() {
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                chunks.push(chunk);
                rest = tail;
                if rest.is_empty() {
                    break;
                }
            }
            let cut = read(path, wants(), &chunks);
            prop_assert_eq!(&cut, &whole);
            let (deliver, keep, judged, fault) = whole;
            prop_assert_eq!(fault, None, "{}", deliver);
            // What is kept is masked, whatever the agent gets.
            prop_assert!(!is_masked || keep == deliver, "{}", deliver);
            prop_assert!(!keep.contains("ann@"), "{}", keep);
            let is_denied = |(name, text): &(&str, &str)| *name == "danger" || text.contains("passwd");
            let denied = calls.iter().filter(|call| is_denied(call)).count();
            prop_assert_eq!(judged.iter().filter(|call| call.denied().is_some()).count() > 0, denied > 0);
            prop_assert!(!deliver.contains("passwd"), "{}", deliver);
            if denied == 0 && !is_masked && !calls.iter().any(|(name, _)| *name == "mail") {
                prop_assert_eq!(deliver, sent);
            }
        }
    }
}
