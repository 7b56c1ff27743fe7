// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tool calls that a model asks for: judged on their way to the agent, by the same rules in every API.

use bytes::Bytes;
use enforcer_core::record::CallVerdict;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use crate::client::{H1, H2, chat, chat_request, request};
use crate::provider::full;
use crate::rig::{Rig, outcome, policy, policy_with};

/// One tool is never called, and the arguments of another one are masked.
const TOOLS: &str = r#"
@id("chats")
permit (principal, action == Action::"chat", resource);
@id("no-danger") @message("Ask #platform.")
forbid (principal, action == Action::"tool_call", resource)
when { context.name == "danger" || context.scalars.contains("path=/etc/passwd") };
"#;

/// No rule is about calls.
const NO_CALLS: &str = r#"
@id("chats")
permit (principal, action == Action::"chat", resource);
"#;

fn offering(stream: bool, tool: &str, parameter: &str) -> Value {
    let mut body = chat("gpt-4.1", stream, "go");
    body["tools"] = json!([{ "type": "function", "function": {
        "name": tool, "parameters": { "type": "object", "properties": { parameter: { "type": "string" } } },
    } }]);
    body
}

fn text_of(answer: &str, is_streamed: bool) -> String {
    if !is_streamed {
        let answer: Value = serde_json::from_str(answer).unwrap();
        return answer["choices"][0]["message"]["content"].as_str().unwrap().to_owned();
    }
    let data = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    let chunks = data.filter_map(|data| serde_json::from_str::<Value>(data).ok());
    let pieces = chunks
        .map(|it| it["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned());
    pieces.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_tool_call_never_reaches_the_agent_and_the_answer_says_why() {
    let (rig, _provider) = Rig::with_stand_in(TOOLS).await;
    for (number, stream) in [(0, false), (1, true)] {
        let (head, answer) = rig.ask(chat_request(&offering(stream, "danger", "order"))).await;
        assert_eq!(head.status, 200);
        let text = text_of(&answer, stream);
        assert!(
            text.starts_with("Denied by Enforcer, not by the provider: the call of the tool `danger` (rule `no-danger`): Ask #platform. [exchange "),
            "{text}"
        );
        assert!(
            !answer.contains("tool_calls") && answer.contains("\"finish_reason\":\"stop\""),
            "{answer}"
        );
        let closed = rig.closed(number + 1).await.remove(number);
        let call = &closed.tool_calls[0];
        assert_eq!((call.name.as_str(), call.verdict), ("danger", CallVerdict::Deny));
        assert_eq!(call.rules[0].as_str(), "no-danger");
        assert_eq!(call.arguments.as_deref(), Some("{\"order\":\"A-1001\"}"));
        assert_eq!(outcome(&closed), "completed");
    }
    let denied = rig.enforcer.denials.denied_counts();
    assert_eq!(denied.values().sum::<u64>(), 2, "{denied:?}");
    assert!(denied.keys().next().unwrap().contains(&"no-danger".to_owned()), "{denied:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_tool_call_arrives_as_sent_and_is_recorded() {
    let (rig, _provider) = Rig::with_stand_in(TOOLS).await;
    for (number, stream) in [(0, false), (1, true)] {
        let body = offering(stream, "look_up", "order");
        rig.enforce(policy(TOOLS));
        let (_, judged) = rig.ask(chat_request(&body)).await;
        let calls = rig.closed(2 * number + 1).await.remove(2 * number).tool_calls;
        assert_eq!((calls[0].name.as_str(), calls[0].verdict), ("look_up", CallVerdict::Allow));
        rig.enforce(policy(NO_CALLS));
        let (_, plain) = rig.ask(chat_request(&body)).await;
        let unnumbered = |answer: &str| {
            let digits = |c: char| c.is_ascii_digit();
            answer.replace(digits, "")
        };
        assert_eq!(unnumbered(&judged), unnumbered(&plain));
        let calls = rig.closed(2 * number + 2).await.remove(2 * number + 1).tool_calls;
        assert!(calls.is_empty(), "nobody looks where no rule is about calls");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_a_response_is_replaced_by_a_message() {
    let (rig, _provider) = Rig::with_stand_in(TOOLS).await;
    for stream in [false, true] {
        let body = json!({ "model": "gpt-4.1", "stream": stream, "input": "go", "tools": [{
            "type": "function", "name": "danger",
            "parameters": { "type": "object", "properties": { "order": { "type": "string" } } },
        }] });
        let (head, answer) =
            rig.client(H2).await.whole(request("POST", "/v1/responses", body.to_string())).await;
        assert_eq!(head.status, 200);
        assert!(answer.contains("the call of the tool `danger`"), "{answer}");
        assert!(!answer.contains("function_call"), "{answer}");
        if stream {
            assert!(answer.contains("event: response.output_text.delta\n"), "{answer}");
            assert!(answer.contains("event: response.completed\n"), "{answer}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_calls_are_only_observed_the_answer_is_as_sent_and_the_record_says_what_would_be() {
    let (rig, _provider) = Rig::with_stand_in(TOOLS).await;
    let observed = TOOLS.replace("@id(\"no-danger\")", "@id(\"no-danger\") @mode(\"observe\")");
    for (number, policy) in
        [policy_with("observe", "", TOOLS), policy(&observed)].into_iter().enumerate()
    {
        rig.enforce(policy);
        for (each, stream) in [(0, false), (1, true)] {
            let (_, answer) = rig.ask(chat_request(&offering(stream, "danger", "order"))).await;
            assert!(answer.contains("danger") && answer.contains("tool_calls"), "{answer}");
            assert!(!answer.contains("Enforcer"), "{answer}");
            let closed = rig.closed(2 * number + each + 1).await.remove(2 * number + each);
            let call = &closed.tool_calls[0];
            assert_eq!(
                (call.verdict, call.rules[0].as_str()),
                (CallVerdict::WouldDeny, "no-danger")
            );
        }
    }
    assert!(rig.enforcer.denials.denied_counts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_cannot_be_read_is_refused_where_calls_are_judged() {
    let rig = Rig::start(TOOLS).await;
    for (number, (kind, body)) in [
        ("application/json", "{\"choices\":"),
        ("text/plain", "call danger"),
        ("application/json", r#"{"choices":[{"message":{"tool_calls":7}}]}"#),
    ]
    .into_iter()
    .enumerate()
    {
        let answer = move |_: &Parts, _: &Bytes| full(kind, Bytes::from_static(body.as_bytes()));
        rig.provider(H1, answer).await;
        let content = chat("gpt-4.1", false, "go");
        let (head, answer) = rig.ask(chat_request(&content)).await;
        assert_eq!(head.status, 502, "{answer}");
        assert_eq!(head.headers["x-enforcer-denied"], "response_undecodable");
        rig.closed(number + 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn arguments_are_recorded_only_where_texts_are() {
    let (rig, _provider) = Rig::with_stand_in(TOOLS).await;
    rig.enforce(policy(&TOOLS.replace("@id(\"chats\")", "@id(\"chats\") @record(\"facts\")")));
    rig.ask(chat_request(&offering(false, "danger", "order"))).await;
    let call = rig.closed(1).await.remove(0).tool_calls.remove(0);
    assert_eq!((call.name.as_str(), call.arguments), ("danger", None));
    assert!(!rig.stores("A-1001").await);
}
