// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Responses API, which SDKs speak when nothing else is set: judged and masked like chat completions.

use serde_json::{Value, json};

use crate::client::{H1, H2, request};
use crate::provider::full;
use crate::rig::{CHATS, Rig, outcome, policy, policy_with};

const MAIL: &str = "maria.lopez@example.com";
const CARD: &str = "4111 1111 1111 1111";
const PATH: &str = "/v1/responses";

fn asked(stream: bool, input: impl Into<Value>) -> Value {
    json!({"model": "gpt-4.1", "stream": stream, "input": input.into(),
           "instructions": format!("Answer {MAIL} kindly.")})
}

async fn ask(rig: &Rig, alpn: &'static [u8], body: &Value) -> (u16, String) {
    let (head, answer) =
        rig.client(alpn).await.whole(request("POST", PATH, body.to_string())).await;
    (head.status.as_u16(), answer)
}

fn events(answer: &str) -> Vec<Value> {
    let data = answer.lines().filter_map(|line| line.strip_prefix("data: "));
    data.map(|data| serde_json::from_str(data).unwrap()).collect()
}

fn deltas(events: &[Value], kind: &str) -> String {
    let of_kind = events.iter().filter(|event| event["type"] == kind);
    of_kind.filter_map(|event| event["delta"].as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_allowed_response_is_masked_on_its_way_to_the_provider_and_back() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for (number, alpn) in [H1, H2].into_iter().enumerate() {
        let input = json!([
            {"role": "user", "content": [{"type": "input_text", "text": format!("Mail {MAIL}")}]},
            {"type": "function_call", "call_id": "c", "name": "f", "arguments": json!({"to": MAIL}).to_string()},
            {"type": "function_call_output", "call_id": "c", "output": format!("card {CARD}")},
        ]);
        let (status, answer) = ask(&rig, alpn, &asked(false, input)).await;
        assert_eq!(status, 200, "{answer}");
        let received = provider.log().received().remove(number);
        assert!(
            !received.body.contains(MAIL) && !received.body.contains(CARD),
            "{}",
            received.body
        );
        let sent = received.json();
        assert_eq!(sent["input"][0]["content"][0]["text"], "Mail [email]");
        assert_eq!(sent["input"][1]["arguments"], json!({"to": "[email]"}).to_string());
        assert_eq!(sent["instructions"], "Answer [email] kindly.");
        assert!(answer.contains("[email]") && answer.contains("[credit-card]"), "{answer}");
        assert!(!answer.contains(MAIL) && !answer.contains(CARD), "{answer}");
    }
    let closed = rig.closed(2).await;
    assert!(closed.iter().all(|it| outcome(it) == "completed" && it.usage.is_some()), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_response_is_masked_across_event_borders() {
    let (rig, _provider) = Rig::with_stand_in(CHATS).await;
    for alpn in [H1, H2] {
        let (status, answer) = ask(&rig, alpn, &asked(true, "hi")).await;
        assert_eq!(status, 200);
        assert!(!answer.contains(MAIL) && !answer.contains(CARD), "{answer}");
        let events = events(&answer);
        let expected = "Order A-1001 ships tomorrow. The receipt went to [email] and card \
                        [credit-card] was charged.";
        assert_eq!(deltas(&events, "response.output_text.delta"), expected);
        let last = events.last().unwrap();
        assert_eq!(last["type"], "response.completed");
        assert_eq!(last["response"]["output"][0]["content"][0]["text"], expected);
        assert!(answer.contains("event: response.completed\n"), "{answer}");
    }
    let closed = rig.closed(2).await;
    let is_right = |usage: Option<enforcer_core::model::Usage>| {
        usage.is_some_and(|usage| (usage.input_tokens, usage.output_tokens) == (19, 27))
    };
    assert!(closed.iter().all(|it| outcome(it) == "completed" && is_right(it.usage)), "{closed:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_function_call_of_a_response_arrives_whole_and_a_refusal_is_masked() {
    let (rig, _provider) = Rig::with_stand_in(CHATS).await;
    let mut body = asked(true, "where?");
    body["tools"] = json!([{"type": "function", "name": "look_up", "parameters":
        {"type": "object", "properties": {"order": {"type": "string"}}}}]);
    let called = events(&ask(&rig, H1, &body).await.1);
    assert_eq!(deltas(&called, "response.function_call_arguments.delta"), r#"{"order":"A-1001"}"#);
    assert_eq!(called.last().unwrap()["response"]["output"][0]["name"], "look_up");
    let mut body = asked(true, "hi");
    body["instructions"] = json!("REFUSE");
    let refused = events(&ask(&rig, H1, &body).await.1);
    assert!(deltas(&refused, "response.refusal.delta").contains("went to [email] and"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_model_or_tool_of_a_response_never_reaches_the_provider() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let shell = r#"@id("no-shell") forbid (principal, action == Action::"chat", resource)
                   when { context.tools.contains("shell") };"#;
    rig.enforce(policy(&format!("{CHATS}{shell}")));
    let mut model = asked(true, "hi");
    model["model"] = json!("o3");
    let with = |member: &str, value: Value| {
        let mut body = asked(true, "hi");
        body[member] = value;
        body
    };
    let shell = json!({"type": "shell"});
    let named = json!({"type": "function", "name": "shell", "parameters": {}});
    let space = json!({"type": "namespace", "name": "n", "description": "", "tools": [named]});
    let later = json!([{"type": "additional_tools", "role": "developer", "tools": [shell]}]);
    for (body, rule) in [
        (model, "approved-models"),
        (with("tools", json!([shell])), "no-shell"),
        (with("tools", json!([named])), "no-shell"),
        (with("tools", json!([space])), "no-shell"),
        (with("input", later), "no-shell"),
    ] {
        for alpn in [H1, H2] {
            let (status, answer) = ask(&rig, alpn, &body).await;
            let json: Value = serde_json::from_str(&answer).unwrap();
            assert_eq!((status, &json["error"]["rules"]), (403, &json!([rule])), "{body}");
            assert_eq!(json["error"]["type"], "enforcer_denied");
        }
    }
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_responses_that_breaks_ends_with_an_event_that_sdks_raise() {
    const STREAM: &str = "event: response.output_text.delta\n\
        data: {\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"good\"}\n\n\
        data: {\"type\":broken\n\n";
    let rig = Rig::start(CHATS).await;
    rig.provider(H1, |_, _| full("text/event-stream", STREAM)).await;
    let (status, answer) = ask(&rig, H1, &asked(true, "hi")).await;
    assert_eq!(status, 200);
    assert!(!answer.contains("broken"), "{answer}");
    let last = events(&answer).pop().unwrap();
    assert_eq!(last["type"], "response.failed");
    assert_eq!(last["error"]["code"], "enforcer_response_undecodable");
    assert_eq!(last["response"]["error"]["code"], "invalid_prompt");
    assert_eq!(outcome(&rig.closed(1).await[0]), "response_undecodable");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_cuts_a_streamed_response() {
    let rig = Rig::start(CHATS).await;
    let budget =
        "[budgets.b]\nper = \"agent\"\nwindow = \"1d\"\ntokens = 300\nanswer_tokens = 200\n";
    let rule = "@id(\"charged\") @budget(\"b\") \
                permit (principal, action == Action::\"chat\", resource);";
    rig.enforce(policy_with("enforce", budget, rule));
    let piece = json!({"type": "response.output_text.delta", "item_id": "a", "output_index": 0,
                       "content_index": 0, "delta": "word ".repeat(40)});
    let stream = format!("event: response.output_text.delta\ndata: {piece}\n\n").repeat(40);
    rig.provider(H1, move |_, _| full("text/event-stream", stream.clone())).await;
    let (status, answer) = ask(&rig, H1, &asked(true, "hi")).await;
    assert_eq!(status, 200);
    let events = events(&answer);
    assert!(events.len() < 20, "{} events", events.len());
    let last = events.last().unwrap();
    assert_eq!(
        (last["type"].as_str(), &last["error"]["code"]),
        (Some("response.failed"), &json!("enforcer_budget_spent"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_response_is_masked_too_also_as_a_stream() {
    let rule = r#"@id("read") @mask_response("pii") permit (principal, action == Action::"stored_read", resource);"#;
    let (rig, _provider) = Rig::with_stand_in(rule).await;
    let (head, answer) = rig.ask(request("GET", "/v1/responses/resp_1", "")).await;
    assert_eq!(head.status, 200, "{answer}");
    assert!(answer.contains("[email]") && !answer.contains(MAIL), "{answer}");
    let rig = Rig::start(rule).await;
    let stream = ["maria.lopez@exa", "mple.com"].map(|delta| {
        let event =
            json!({"type": "response.output_text.delta", "output_index": 0, "delta": delta});
        format!("data: {event}\n\n")
    });
    let stream = stream.concat();
    rig.provider(H1, move |_, _| full("text/event-stream", stream.clone())).await;
    let (_, answer) = rig.ask(request("GET", "/v1/responses/resp_1?stream=true", "")).await;
    assert_eq!(deltas(&events(&answer), "response.output_text.delta"), "[email]");
}
