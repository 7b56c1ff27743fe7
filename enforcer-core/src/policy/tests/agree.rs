// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `explain`, which people ask, and `decide`, which the data path asks, never disagree: generated bundles,
//! and generated requests that go through the codecs of the data path.

use std::collections::BTreeSet;

use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::super::compile::compile;
use super::super::decide::explain::{Explanation, Outcome};
use super::super::decide::policy::Policy;
use super::super::load::sources::Sources;
use super::{INVENTORY, sources};
use crate::facts::{Head, Scope, of_request};
use crate::model::{AgentName, Effect, EndpointName, Facts, Mode, RuleId};

pub(super) fn rule() -> impl Strategy<Value = String> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
    let mode = prop_oneof![4 => Just(""), 1 => Just("@mode(\"observe\")")];
    let principal = prop_oneof![
        Just("principal"),
        Just("principal == Agent::\"support\""),
        Just("principal in Group::\"customer-facing\""),
    ];
    let resource = prop_oneof![Just("resource"), Just("resource in EndpointGroup::\"models\"")];
    let chat = prop_oneof![
        Just("context.model like \"gpt-*\""),
        Just("context.input_tokens <= 20 && !context.stream"),
        Just("context.input_tokens + 9223372036854775800 > 0"),
        Just("context.tools.contains(\"shell\")"),
        Just("context has max_tokens && context.max_tokens > 100"),
        Just("[\"text\"].containsAll(context.parts)"),
    ];
    let found = prop_oneof![
        Just("context.detected.contains(\"email\")"),
        Just("context.detected.containsAny([\"credit-card\", \"employee-id\"])"),
    ];
    let any = prop_oneof![
        Just("context has cause"),
        Just("if context has path then context.path like \"/v1/*\" else true"),
    ];
    let kind = prop_oneof![Just("when"), Just("unless")];
    let scoped = prop_oneof![
        (Just("action == Action::\"chat\""), prop_oneof![chat, found.clone()].boxed()),
        (Just("action"), prop_oneof![any, found].boxed()),
    ];
    (effect, mode, principal, scoped, resource, kind).prop_map(
        |(effect, mode, principal, (action, condition), resource, kind)| {
            format!("{mode} {effect} ({principal}, {action}, {resource}) {kind} {{ {condition} }};")
        },
    )
}

pub(super) fn bundle(rules: &[String]) -> Sources {
    let numbered = rules.iter().enumerate();
    let text: String = numbered.map(|(id, rule)| format!("@id(\"r{id}\") {rule}\n")).collect();
    sources(&[("policy.toml", INVENTORY), ("rules.cedar", &text)])
}

pub(super) fn built(rules: &[String]) -> Policy {
    match compile(&bundle(rules)) {
        Ok(compiled) => compiled.policy,
        Err(errors) => panic!("{errors}\n{rules:?}"),
    }
}

#[derive(Clone, Debug)]
pub(super) struct Request {
    agent: &'static str,
    method: &'static str,
    path: &'static str,
    kind: &'static str,
    body: String,
}

fn body() -> impl Strategy<Value = String> {
    let model = prop_oneof![Just("gpt-4.1"), Just("o3")];
    let content = prop_oneof![
        Just("hello"),
        Just("write to ann@example.com"),
        Just("EMP-123456 paid with 4111 1111 1111 1111"),
        Just(
            "a longer text that has more tokens than the bound of twenty which some rule may have, so it is long"
        ),
    ];
    let more = prop_oneof![
        Just(""),
        Just(",\"stream\":true"),
        Just(",\"max_tokens\":500"),
        Just(",\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"shell\"}}]"),
    ];
    let chat = (model, content, more).prop_map(|(model, content, more)| {
        format!("{{\"model\":\"{model}\",\"messages\":[{{\"role\":\"user\",\"content\":\"{content}\"}}]{more}}}")
    });
    prop_oneof![4 => chat.boxed(), 1 => Just("{".to_owned()), 1 => any::<String>().boxed()]
}

pub(super) fn request() -> impl Strategy<Value = Request> {
    let agent = prop_oneof![4 => Just("support"), 1 => Just("research"), 1 => Just("nobody")];
    let method = prop_oneof![4 => Just("POST"), 1 => Just("GET")];
    let path = prop_oneof![
        4 => Just("/v1/chat/completions"),
        1 => Just("/v1/models"),
        1 => Just("/files/ann%40example.com"),
    ];
    let kind = prop_oneof![6 => Just("application/json"), 1 => Just("text/plain")];
    (agent, method, path, kind, body()).prop_map(|(agent, method, path, kind, body)| Request {
        agent,
        method,
        path,
        kind,
        body,
    })
}

pub(super) fn judged(policy: &Policy, request: &Request) -> Facts {
    let endpoint = policy.endpoint_named(&EndpointName::new("openai")).expect("an endpoint");
    let (agent, headers) =
        (AgentName::new(request.agent), vec![("content-type", request.kind.as_bytes())]);
    let head = Head { method: request.method, path: request.path, query: None, headers };
    of_request(&Scope { agent: &agent, endpoint, policy }, &head, request.body.as_bytes())
}

/// What the outcomes of the rules say, put together by hand.
fn check(explanation: &Explanation) {
    let of = |is_in: &dyn Fn(&Outcome, bool, Mode) -> bool| -> BTreeSet<RuleId> {
        let rules = explanation.rules.iter();
        let rules = rules.filter(|rule| is_in(&rule.outcome, rule.is_permit, rule.mode));
        rules.map(|rule| rule.id.clone()).collect()
    };
    let enforced = Mode::Enforce;
    let permits =
        of(&|met, is_permit, mode| *met == Outcome::Matched && is_permit && mode == enforced);
    let forbids =
        of(&|met, is_permit, mode| *met == Outcome::Matched && !is_permit && mode == enforced);
    let erred = of(&|met, _, mode| matches!(met, Outcome::Erred { .. }) && mode == enforced);
    let observed = of(&|met, _, mode| {
        matches!(met, Outcome::Erred { .. } | Outcome::Matched) && mode == Mode::Observe
    });
    let is_allowed = !permits.is_empty() && forbids.is_empty() && erred.is_empty();
    let because = match (is_allowed, forbids.is_empty()) {
        (true, _) => permits,
        (false, false) => forbids,
        (false, true) => BTreeSet::new(),
    };
    let decision = &explanation.decision;
    assert_eq!(decision.effect == Effect::Allow, is_allowed, "{explanation:#?}");
    let ids = |found: &[RuleId]| found.iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(ids(&decision.because), because, "{explanation:#?}");
    assert_eq!(ids(&decision.errors), erred, "{explanation:#?}");
    assert_eq!(ids(&decision.observed), observed, "{explanation:#?}");
}

proptest! {
    #![proptest_config(Config { cases: 96, failure_persistence: None, ..Config::default() })]

    #[test]
    fn explain_and_decide_never_disagree_about_a_request(
        rules in proptest::collection::vec(rule(), 0..8),
        requests in proptest::collection::vec(request(), 8),
    ) {
        let policy = built(&rules);
        for request in requests {
            let facts = judged(&policy, &request);
            let explanation = policy.explain(&facts);
            assert_eq!(explanation.decision, policy.decide(&facts), "{request:?}");
            assert_eq!(explanation.rules.len(), rules.len());
            check(&explanation);
        }
    }
}
