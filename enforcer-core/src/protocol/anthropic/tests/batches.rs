// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Batches of messages: many calls, one verdict.

use serde_json::{Value, json};

use super::{decode, with};
use crate::mask::Builtin;
use crate::model::limits::CALLS_MAX;
use crate::model::{AgentName, Decision, Effect, Facts, OpaqueCause, Operation};
use crate::policy::{SourceFile, Sources, compile};

const BATCHES: &str = "/v1/messages/batches";

fn request(custom_id: &str, members: Value) -> Value {
    json!({ "custom_id": custom_id, "params": with(members) })
}

fn batch(requests: &[Value]) -> String {
    json!({ "requests": requests }).to_string()
}

#[test]
fn each_request_of_a_batch_is_a_chat_of_its_own() {
    let fallback = json!({ "fallbacks": [{ "model": "claude-haiku-4-5" }] });
    let body = batch(&[
        request("a", json!({ "model": "claude-opus-4-1" })),
        request("b", json!({ "tools": [{ "name": "shell" }] })),
        request("c", fallback),
    ]);
    let understood = decode(BATCHES, &body).unwrap();
    let Operation::Batch(batch) = &understood.operation else { panic!("no batch") };
    assert_eq!((batch.target.as_str(), batch.input_file.as_str()), ("/v1/messages", ""));
    let calls: Vec<_> = understood
        .calls
        .iter()
        .map(|call| {
            let Operation::Chat(chat) = &call.operation else { panic!("no chat") };
            (call.name.as_str(), chat.model.as_str(), chat.tools.len())
        })
        .collect();
    assert_eq!(
        calls,
        [
            ("a", "claude-opus-4-1", 0),
            ("b", "claude-sonnet-4-5", 1),
            ("c", "claude-sonnet-4-5", 0),
            ("c: fallbacks[0]", "claude-haiku-4-5", 0),
        ]
    );
}

#[test]
fn a_batch_of_which_one_request_is_not_understood_is_opaque() {
    let good = || request("a", json!({}));
    let check = |body: String| assert_eq!(decode(BATCHES, &body).unwrap_err(), OpaqueCause::Fields);
    check(batch(&[]));
    check(json!({}).to_string());
    check(batch(&[good(), good()]));
    check(batch(&[good(), request("b", json!({ "model": null }))]));
    check(batch(&[good(), json!({ "custom_id": "b" })]));
    check(batch(&[good(), json!({ "params": with(json!({})) })]));
    check(json!({ "requests": [good()], "Requests": [] }).to_string());
    let many: Vec<Value> =
        (0..=CALLS_MAX).map(|number| request(&number.to_string(), json!({}))).collect();
    check(batch(&many));
    assert!(decode(BATCHES, &batch(&many[..CALLS_MAX])).is_ok());
}

const RULES: &str = r#"
@id("chats")
@mask("pii")
permit (principal, action == Action::"chat", resource) unless { context.tools.contains("shell") };
@id("models")
@message("Use Sonnet.")
forbid (principal, action == Action::"chat", resource) unless { context.model like "claude-sonnet-*" };
@id("no-mail")
forbid (principal, action == Action::"chat", resource) when { context.detected.contains("email") };
@id("batches")
@record("facts")
permit (principal, action == Action::"batch", resource);
"#;

fn decided(rules: &str, body: &str) -> (Facts, Decision) {
    let inventory = "version = 1\n[agents.a]\n[endpoints.anthropic]\nhosts = [\"a.example\"]\n\
        protocol = \"anthropic\"\n[masks.pii]\ndetectors = [\"credit-card\"]\nstyle = \"label\"\n";
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let files = vec![file("policy.toml", inventory), file("r.cedar", rules)];
    let policy = compile(&Sources { files }).unwrap().policy;
    let endpoint = policy.endpoints().next().unwrap();
    let scope = crate::facts::Scope { agent: &AgentName::new("a"), endpoint, policy: &policy };
    let headers = vec![("content-type", b"application/json".as_slice())];
    let head = crate::facts::Head { method: "POST", path: BATCHES, query: None, headers };
    let facts = crate::facts::of_request(&scope, &head, body.as_bytes());
    let decision = policy.decide(&facts);
    let explanation = policy.explain(&facts);
    assert_eq!(explanation.decision, decision);
    assert_eq!(policy.decide_again(&facts).as_ref(), Some(&decision));
    // The record knows all that was judged.
    let stored = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<Facts>(&stored).unwrap(), facts);
    (facts, decision)
}

#[test]
fn a_batch_is_allowed_if_each_of_its_requests_is_and_owes_what_they_owe() {
    let (_, decision) = decided(RULES, &batch(&[request("a", json!({})), request("b", json!({}))]));
    assert_eq!(decision.effect, Effect::Allow, "{decision:?}");
    assert_eq!(
        decision.because.iter().map(|id| id.as_str()).collect::<Vec<_>>(),
        ["batches", "chats"]
    );
    assert_eq!(decision.obligations.mask_request.len(), 1, "{decision:?}");
}

#[test]
fn one_denied_request_denies_the_batch_and_the_refusal_names_it() {
    let opus = || request("b-2", json!({ "model": "claude-opus-4-1" }));
    let check = |requests: &[Value], message: Option<&str>, because: &[&str]| {
        let (_, decision) = decided(RULES, &batch(requests));
        assert_eq!(decision.effect, Effect::Deny);
        assert_eq!(decision.message.as_deref(), message);
        assert_eq!(decision.because.iter().map(|id| id.as_str()).collect::<Vec<_>>(), because);
        assert!(decision.obligations.mask_request.is_empty(), "nothing is owed for a denial");
    };
    let good = || request("a-1", json!({}));
    check(&[good(), opus()], Some("request `b-2`: Use Sonnet."), &["models"]);
    let also = request("c-3", json!({ "model": "claude-opus-4-1" }));
    check(&[good(), opus(), also], Some("request `b-2` and 1 more: Use Sonnet."), &["models"]);
    // No rule permits it.
    let shell = request("d", json!({ "tools": [{ "name": "shell" }] }));
    check(&[good(), shell], Some("request `d`"), &[]);
    // A fallback is a model as well.
    let fallback = request("e", json!({ "fallbacks": [{ "model": "claude-opus-4-1" }] }));
    check(&[fallback], Some("request `e: fallbacks[0]`: Use Sonnet."), &["models"]);
    // The name is masked: the agent chose it, and messages are stored.
    let named = request("4111111111111111", json!({ "model": "claude-opus-4-1" }));
    check(&[named], Some("request `[credit-card]`: Use Sonnet."), &["models"]);
}

#[test]
fn a_batch_itself_has_to_be_permitted_too() {
    let only_chats = RULES.replace("Action::\"batch\"", "Action::\"count_tokens\"");
    let (_, decision) = decided(&only_chats, &batch(&[request("a", json!({}))]));
    assert_eq!((decision.effect, decision.message), (Effect::Deny, None));
}

#[test]
fn detectors_that_only_rules_on_chats_ask_for_look_at_a_batch() {
    let mail = json!({ "messages": [{ "role": "user", "content": "ann@example.com" }] });
    let (facts, decision) = decided(RULES, &batch(&[request("a", json!({})), request("b", mail)]));
    assert!(facts.detected.iter().any(|name| name.as_str() == Builtin::EMAIL.name()), "{facts:?}");
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(decision.because.iter().map(|id| id.as_str()).collect::<Vec<_>>(), ["no-mail"]);
}

#[test]
fn a_batch_costs_what_all_its_requests_cost() {
    use crate::budget::{Answer, Cost};
    let (facts, _) = decided(RULES, &batch(&[request("a", json!({})), request("b", json!({}))]));
    let cost = Cost::of(&facts);
    assert_eq!((cost.requests, cost.answer), (2, Answer::AtMost(128)));
    let each: i64 = facts.calls.iter().map(|call| call.operation.request_tokens()).sum();
    assert_eq!(cost.request, u64::try_from(each).unwrap());
}
