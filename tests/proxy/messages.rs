// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Anthropic API: the same promises as for chats of the OpenAI API.

use enforcer_core::model::Operation;
use enforcer_tests::FakeUpstream;
use enforcer_tests::provider::Options;
use hyper::http::response::Parts;
use serde_json::{Value, json};

use crate::client::{H1, H2, request_to};
use crate::rig::{Rig, outcome, policy_with};

const HOST: &str = "api.anthropic.com";
const MODEL: &str = "claude-sonnet-4-5";
const RULES: &str = r#"
@id("messages")
@mask("pii")
permit (principal, action in [Action::"chat", Action::"count_tokens"], resource == Endpoint::"anthropic");
@id("batches")
permit (principal, action == Action::"batch", resource == Endpoint::"anthropic");
@id("models")
permit (principal, action == Action::"list_models", resource == Endpoint::"anthropic");
@id("approved-models")
@message("Use Sonnet.")
forbid (principal, action in [Action::"chat", Action::"count_tokens"], resource)
unless { context.model like "claude-sonnet-*" };
@id("no-shell")
forbid (principal, action == Action::"chat", resource)
when { context.tools.containsAny(["bash", "mcp"]) };
"#;
const MASKED: &str =
    "Order A-1001 ships tomorrow. The receipt went to [email] and card [credit-card] was charged.";

async fn scene() -> (Rig, FakeUpstream) {
    let rig = Rig::start(RULES).await;
    let provider = stand_in(&rig, enforcer_tests::provider::ANSWER);
    (rig, provider)
}

fn stand_in(rig: &Rig, answer: &str) -> FakeUpstream {
    let (names, answer) = (vec![HOST.to_owned()], answer.to_owned());
    let options = Options { names, answer, ..Options::default() };
    let provider = FakeUpstream::start(&rig.authority, &options).unwrap();
    rig.resolve(HOST, provider.address());
    provider
}

async fn post(rig: &Rig, alpn: &[u8], path: &str, content: &Value) -> (Parts, String) {
    let mut request = request_to(HOST, "POST", path, content.to_string());
    request.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    rig.client_of(HOST, alpn).await.whole(request).await
}

fn asked(members: Value) -> Value {
    let mut content = json!({
        "model": MODEL,
        "max_tokens": 64,
        "messages": [{ "role": "user", "content": "Mail maria.lopez@example.com, please." }],
    });
    content.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    content
}

fn tools() -> Value {
    let properties = json!({ "mail": { "type": "string" } });
    let schema = json!({ "type": "object", "properties": properties });
    json!([{ "name": "look_up", "input_schema": schema }])
}

/// The data of all events, and the pieces of one kind put together.
fn pieces(stream: &str, member: &str) -> String {
    let data = stream.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.map(|data| serde_json::from_str::<Value>(data).unwrap());
    events.filter_map(|event| event["delta"][member].as_str().map(str::to_owned)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_is_masked_on_its_way_to_the_provider_and_back() {
    let (rig, provider) = scene().await;
    for alpn in [H1, H2] {
        let (head, answer) = post(&rig, alpn, "/v1/messages?beta=true", &asked(json!({}))).await;
        assert_eq!(head.status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["content"][0]["text"], MASKED);
        assert_eq!(
            (&answer["type"], &answer["stop_reason"]),
            (&json!("message"), &json!("end_turn"))
        );
    }
    for received in provider.log().received() {
        assert_eq!(received.json()["messages"][0]["content"], "Mail [email], please.");
    }
    let opened = rig.opened(2).await;
    let Operation::Chat(chat) = &opened[0].facts.operation else { panic!("{opened:?}") };
    assert_eq!(
        (chat.api.as_str(), chat.model.as_str(), chat.max_tokens),
        ("messages", MODEL, Some(64))
    );
    let closed = rig.closed(2).await;
    // The tokens of the cache are tokens of the request.
    let usage = closed[0].usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (19, 27));
    assert!(!rig.stores("maria.lopez@example.com").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_streamed_message_is_masked_across_its_events() {
    let (rig, _provider) = scene().await;
    for alpn in [H1, H2] {
        let (head, answer) =
            post(&rig, alpn, "/v1/messages", &asked(json!({ "stream": true }))).await;
        assert_eq!(head.status, 200);
        assert_eq!(pieces(&answer, "text"), MASKED);
        assert!(
            answer.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"),
            "{answer}"
        );
    }
    let closed = rig.closed(2).await;
    assert!(closed.iter().all(|it| outcome(it) == "completed" && it.masked == 2), "{closed:?}");
    let usage = closed[0].usage.unwrap();
    assert_eq!((usage.input_tokens, usage.output_tokens), (19, 27));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_input_of_a_tool_is_masked_whole_and_in_pieces() {
    let rig = Rig::start(RULES).await;
    let with_mail = json!({ "messages": [
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": [
            { "type": "tool_use", "id": "toolu_1", "name": "look_up", "input": { "mail": "ann@example.com" } }] },
        { "role": "user", "content": [
            { "type": "tool_result", "tool_use_id": "toolu_1", "content": "of bob@example.com" }] },
    ]});
    let provider = stand_in(&rig, "done");
    let (head, _) = post(&rig, H1, "/v1/messages", &asked(with_mail)).await;
    assert_eq!(head.status, 200);
    let sent = provider.log().received()[0].json();
    assert_eq!(sent["messages"][1]["content"][0]["input"]["mail"], "[email]");
    assert_eq!(sent["messages"][2]["content"][0]["content"], "of [email]");
    assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1");
    // What the model calls a tool with, from a provider that was not asked before.
    let rig = Rig::start(RULES).await;
    let event =
        |data: &Value| format!("event: {}\ndata: {data}\n\n", data["type"].as_str().unwrap());
    let piece = |text: &str| {
        let delta = json!({ "type": "input_json_delta", "partial_json": text });
        event(&json!({ "type": "content_block_delta", "index": 0, "delta": delta }))
    };
    let block = json!({ "type": "tool_use", "id": "toolu_2", "name": "look_up", "input": {} });
    let stream = [
        event(&json!({ "type": "content_block_start", "index": 0, "content_block": block })),
        piece("{\"mail\": \"ann@"),
        piece("example.com\"}"),
        event(&json!({ "type": "content_block_stop", "index": 0 })),
        event(&json!({ "type": "message_stop" })),
    ];
    let stream = stream.concat();
    let answer = move |_: &_, _: &_| crate::provider::full("text/event-stream", stream.clone());
    rig.provider_of(HOST, H1, answer).await;
    let content = asked(json!({ "stream": true, "tools": tools() }));
    let (_, answer) = post(&rig, H1, "/v1/messages", &content).await;
    assert_eq!(pieces(&answer, "partial_json"), r#"{"mail": "[email]"}"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_denied_never_reaches_the_provider_and_says_so_in_its_own_shape() {
    let (rig, provider) = scene().await;
    let advisor =
        json!([{ "type": "advisor_20260301", "name": "advisor", "model": "claude-opus-4-6" }]);
    let fallback = json!([{ "model": "claude-opus-4-6" }]);
    let servers = json!([{ "type": "url", "name": "db", "url": "https://mcp.example.com" }]);
    let bash = json!([{ "type": "bash_20250124", "name": "bash" }]);
    for (content, rule) in [
        (json!({ "model": "claude-opus-4-6" }), "approved-models"),
        (json!({ "stream": true, "model": "claude-opus-4-6" }), "approved-models"),
        (json!({ "tools": advisor }), "approved-models"),
        (json!({ "fallbacks": fallback }), "approved-models"),
        (json!({ "tools": bash }), "no-shell"),
        (json!({ "mcp_servers": servers }), "no-shell"),
    ] {
        let (head, answer) = post(&rig, H1, "/v1/messages", &asked(content)).await;
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert_eq!(head.status, 403, "{answer}");
        assert_eq!(head.headers["x-should-retry"], "false");
        let kinds =
            (&answer["type"], &answer["error"]["type"], &answer["error"]["details"]["error_code"]);
        assert_eq!(kinds, (&json!("error"), &json!("permission_error"), &json!("enforcer_policy")));
        assert!(answer["error"]["message"].as_str().unwrap().contains(rule), "{answer}");
    }
    for content in
        [json!({ "fallbacks": "default" }), json!({ "models": [] }), json!({ "max_tokens": null })]
    {
        let (head, answer) = post(&rig, H1, "/v1/messages", &asked(content)).await;
        assert_eq!(head.status, 403, "{answer}");
    }
    assert!(provider.log().received().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_and_models_listed_by_the_same_rules() {
    let (rig, provider) = scene().await;
    let count =
        json!({ "model": MODEL, "messages": [{ "role": "user", "content": "ann@example.com" }] });
    let (head, answer) = post(&rig, H1, "/v1/messages/count_tokens", &count).await;
    assert_eq!((head.status.as_u16(), answer.as_str()), (200, r#"{"input_tokens":19}"#));
    assert_eq!(provider.log().received()[0].json()["messages"][0]["content"], "[email]");
    let other = json!({ "model": "claude-opus-4-6", "messages": [] });
    assert_eq!(post(&rig, H1, "/v1/messages/count_tokens", &other).await.0.status, 403);
    let mut list = request_to(HOST, "GET", "/v1/models", "");
    list.headers_mut().remove("content-type");
    list.headers_mut().insert("anthropic-version", "2023-06-01".parse().unwrap());
    let (head, answer) = rig.client_of(HOST, H1).await.whole(list).await;
    assert_eq!(head.status, 200);
    assert!(answer.contains("claude-haiku-4-5"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_batch_is_judged_and_masked_like_a_message() {
    let (rig, provider) = scene().await;
    let batch = |requests: &[(&str, Value)]| {
        let request = |(name, members): &(&str, Value)| json!({ "custom_id": name, "params": asked(members.clone()) });
        json!({ "requests": requests.iter().map(request).collect::<Vec<_>>() })
    };
    let path = "/v1/messages/batches";
    let opus = json!({ "model": "claude-opus-4-6" });
    let (head, answer) = post(&rig, H1, path, &batch(&[("a", json!({})), ("b-7", opus)])).await;
    assert_eq!(head.status, 403, "{answer}");
    for words in ["approved-models", "request `b-7`: Use Sonnet."] {
        assert!(answer.contains(words), "{answer}");
    }
    assert!(provider.log().received().is_empty());
    let (head, answer) = post(&rig, H1, path, &batch(&[("a", json!({})), ("b", json!({}))])).await;
    assert_eq!(head.status, 200, "{answer}");
    let sent = provider.log().received()[0].json();
    assert_eq!(sent["requests"][1]["params"]["messages"][0]["content"], "Mail [email], please.");
    let opened = rig.opened(2).await;
    assert_eq!(opened[1].facts.calls.len(), 2, "the record knows what was judged");
    rig.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_is_charged_with_what_the_provider_reports_and_refuses_what_has_no_room() {
    let (rig, _provider) = scene().await;
    let budget = "[budgets.small]\nper = \"agent\"\ntokens = 120\nwindow = \"1h\"\n";
    let rules = RULES.replace("@mask(\"pii\")", "@mask(\"pii\")\n@budget(\"small\")");
    rig.enforce(policy_with("enforce", budget, &rules));
    let (head, answer) = post(&rig, H1, "/v1/messages", &asked(json!({}))).await;
    assert_eq!(head.status, 200, "{answer}");
    rig.closed(1).await;
    // 46 of 120 tokens are gone: an answer of 64 does not fit beside the request.
    let (head, answer) = post(&rig, H1, "/v1/messages", &asked(json!({}))).await;
    assert_eq!(head.status, 429, "{answer}");
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["error"]["details"]["error_code"], "enforcer_budget_spent");
    assert_eq!(head.headers["x-should-retry"], "false");
    let (head, _) = post(&rig, H1, "/v1/messages", &asked(json!({ "max_tokens": 8 }))).await;
    assert_eq!(head.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_ends_with_an_error_event_of_the_family() {
    const STREAM: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"content\":[]}}\n\n\
                          event: content_block_delta\ndata: {broken\n\n\
                          event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
    let rig = Rig::start(RULES).await;
    rig.provider_of(HOST, H1, |_, _| crate::provider::full("text/event-stream", STREAM)).await;
    let (_, answer) = post(&rig, H1, "/v1/messages", &asked(json!({ "stream": true }))).await;
    assert!(!answer.contains("broken") && !answer.contains("message_stop"), "{answer}");
    let last = answer.trim_end().rsplit("\n\n").next().unwrap();
    let data = last.strip_prefix("event: error\ndata: ").unwrap();
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(
        (&data["type"], &data["error"]["type"]),
        (&json!("error"), &json!("permission_error"))
    );
    assert_eq!(outcome(&rig.closed(1).await[0]), "response_undecodable");
}
