// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Laws that hold for every bundle and all facts.

use std::collections::BTreeSet;

use cedar_policy::{Decision as CedarDecision, PolicySet};
use proptest::prelude::{Just, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::Config;

use super::super::compile::compile;
use super::super::decide::explain::Outcome;
use super::super::decide::policy::Policy;
use super::{INVENTORY, chat, detected, http, sources};
use crate::model::{AgentName, Decision, Effect, EndpointName, Facts, Mode};

/// A rule without its id.
#[derive(Clone, Debug)]
struct Text {
    annotations: &'static str,
    effect: &'static str,
    rest: String,
}

impl Text {
    fn with_id(&self, id: usize) -> String {
        format!("@id(\"r{id}\") {} {} {};\n", self.annotations, self.effect, self.rest)
    }
}

fn rest(chat_only: bool) -> impl Strategy<Value = String> {
    let principal = prop_oneof![
        Just("principal"),
        Just("principal == Agent::\"support\""),
        Just("principal == Agent::\"research\""),
        Just("principal in Group::\"customer-facing\""),
        Just("principal is Agent in Group::\"customer-facing\""),
    ];
    let chats =
        prop_oneof![Just("action == Action::\"chat\""), Just("action in [Action::\"chat\"]"),];
    let others = prop_oneof![
        Just("action"),
        Just("action in Action::\"any\""),
        Just("action in Action::\"model_use\""),
        Just("action in Action::\"admin\""),
        Just("action == Action::\"http\""),
        Just("action in [Action::\"chat\", Action::\"http\"]"),
    ];
    let action = if chat_only { chats.boxed() } else { prop_oneof![chats, others].boxed() };
    let resource = prop_oneof![
        Just("resource"),
        Just("resource == Endpoint::\"openai\""),
        Just("resource in EndpointGroup::\"models\""),
    ];
    let condition = prop_oneof![
        Just(""),
        Just("when { context.detected.contains(\"email\") }"),
        Just("unless { context.detected.contains(\"credit-card\") }"),
        Just("when { if context has model then context.model == \"gpt-4.1\" else true }"),
        Just("unless { context has input_tokens && context.input_tokens > 10 }"),
    ];
    let of_chats = prop_oneof![
        Just("when { context.model == \"gpt-4.1\" && context.input_tokens < 10 }"),
        Just("when { [\"o3\", \"gpt-4.1\"].contains(context.model) } unless { context.stream }"),
        Just("when { context.tools.contains(\"mail\") }"),
        Just("when { context.model == \"o3\" && context.input_tokens > 0 }"),
    ];
    let condition =
        if chat_only { prop_oneof![condition, of_chats].boxed() } else { condition.boxed() };
    (principal, action, resource, condition).prop_map(|(principal, action, resource, condition)| {
        format!("({principal}, {action}, {resource}) {condition}")
    })
}

fn permit() -> impl Strategy<Value = Text> {
    let plain = (prop_oneof![Just(""), Just("@record(\"facts\")")], rest(false));
    let masking = prop_oneof![
        Just("@mask(\"pii\")"),
        Just("@mask_response(\"staff\") @record(\"facts\")"),
        Just("@mask_request(\"pii, staff\")"),
        Just("@budget(\"daily\")"),
        Just("@approve(\"leads\") @budget(\"calls, daily\")"),
        Just("@credential(\"key\") @mode(\"observe\")"),
    ];
    prop_oneof![plain.boxed(), (masking, rest(true)).boxed()].prop_map(|(annotations, rest)| Text {
        annotations,
        effect: "permit",
        rest,
    })
}

fn forbid() -> impl Strategy<Value = Text> {
    (prop_oneof![Just(""), Just("@message(\"no\")"), Just("@mode(\"observe\")")], rest(false))
        .prop_map(|(annotations, rest)| Text { annotations, effect: "forbid", rest })
}

fn rules() -> impl Strategy<Value = Vec<Text>> {
    proptest::collection::vec(prop_oneof![3 => permit().boxed(), 1 => forbid().boxed()], 0..6)
}

fn some_facts() -> impl Strategy<Value = Facts> {
    let operation = prop_oneof![
        Just(chat("gpt-4.1", 5)),
        Just(chat("gpt-4.1", 50)),
        Just(chat("o3", 5)),
        Just(http("GET", "/v1/models")),
    ];
    let agent = prop_oneof![4 => Just("support"), 2 => Just("research"), 1 => Just("nobody")];
    let endpoint = prop_oneof![4 => Just("openai"), 1 => Just("files"), 1 => Just("nowhere")];
    let found = proptest::sample::subsequence(vec!["email", "credit-card"], 0..=2);
    (operation, agent, endpoint, found).prop_map(|(facts, agent, endpoint, found)| Facts {
        agent: AgentName::new(agent),
        endpoint: EndpointName::new(endpoint),
        ..detected(facts, &found)
    })
}

fn built(files: &[(String, String)]) -> Policy {
    let mut all = vec![("policy.toml", INVENTORY)];
    all.extend(files.iter().map(|(path, text)| (path.as_str(), text.as_str())));
    match compile(&sources(&all)) {
        Ok(compiled) => compiled.policy,
        Err(errors) => panic!("{errors}\n{files:?}"),
    }
}

fn policy(rules: &[Text]) -> Policy {
    let text = rules.iter().enumerate().map(|(id, rule)| rule.with_id(id)).collect();
    built(&[("rules.cedar".to_owned(), text)])
}

/// A decision without the version, which is of the text and not of the meaning.
fn meaning(mut decision: Decision) -> Decision {
    decision.policy = crate::model::PolicyVersion::new("");
    decision
}

fn config() -> Config {
    Config { cases: 48, failure_persistence: None, ..Config::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn adding_a_forbid_never_turns_a_deny_into_an_allow(
        rules in rules(), more in forbid(), facts in proptest::collection::vec(some_facts(), 8)
    ) {
        let before = policy(&rules);
        let after = policy(&[rules, vec![more]].concat());
        for facts in facts {
            if before.decide(&facts).effect == Effect::Deny {
                assert_eq!(after.decide(&facts).effect, Effect::Deny, "{facts:?}");
            }
        }
    }

    #[test]
    fn adding_a_permit_never_removes_an_obligation(
        rules in rules(), more in permit(), facts in proptest::collection::vec(some_facts(), 8)
    ) {
        let before = policy(&rules);
        let after = policy(&[rules, vec![more]].concat());
        for facts in facts {
            let (before, after) = (before.decide(&facts), after.decide(&facts));
            if before.effect == Effect::Allow {
                assert_eq!(after.effect, Effect::Allow, "{facts:?}");
                assert!(after.obligations.includes(&before.obligations), "{facts:?}");
            }
        }
    }

    #[test]
    fn a_rule_in_observe_mode_decides_nothing(
        rules in rules(), more in prop_oneof![permit(), forbid()],
        facts in proptest::collection::vec(some_facts(), 8)
    ) {
        let before = policy(&rules);
        let observing = Text { annotations: "@mode(\"observe\")", ..more };
        let after = policy(&[rules, vec![observing]].concat());
        for facts in facts {
            let (before, after) = (before.decide(&facts), after.decide(&facts));
            let without = |decision: Decision| Decision { observed: Vec::new(), would: None, ..meaning(decision) };
            assert_eq!(without(before), without(after), "{facts:?}");
        }
    }

    #[test]
    fn the_order_of_rules_and_files_never_matters(
        rules in rules(), seed in any::<u64>(), facts in proptest::collection::vec(some_facts(), 8)
    ) {
        let one = policy(&rules);
        let numbered = rules.iter().enumerate();
        let mut files: Vec<(String, String)> = numbered
            .map(|(id, rule)| (format!("{}.cedar", (id as u64 ^ seed) % 1000 * 10 + id as u64), rule.with_id(id)))
            .collect();
        let spread = built(&files);
        files.reverse();
        let reversed = built(&files);
        assert_eq!(spread.version(), reversed.version());
        for facts in facts {
            let decision = meaning(one.decide(&facts));
            assert_eq!(decision, meaning(spread.decide(&facts)));
            assert_eq!(decision, meaning(reversed.decide(&facts)));
        }
    }

    #[test]
    fn slices_decide_as_the_whole_set_does_and_explain_agrees(
        rules in rules(), facts in proptest::collection::vec(some_facts(), 8)
    ) {
        let policy = policy(&rules);
        let enforced = policy.rules.iter().filter(|rule| rule.mode == Mode::Enforce);
        let all = enforced.map(|rule| rule.cedar.clone());
        let whole = PolicySet::from_policies(all).expect("distinct ids");
        for facts in facts {
            let decision = policy.decide(&facts);
            let explanation = policy.explain(&facts);
            let matched = |is_permit: bool| {
                explanation.rules.iter().any(|rule| {
                    rule.is_permit == is_permit
                        && rule.mode == Mode::Enforce
                        && rule.outcome == Outcome::Matched
                })
            };
            let explained = matched(true) && !matched(false);
            assert_eq!(decision.effect == Effect::Allow, explained, "{facts:?}");
            let Some(request) = policy.request(&facts, None) else {
                assert_eq!(decision.effect, Effect::Deny);
                continue;
            };
            let response = policy.authorizer.is_authorized(&request, &whole, &policy.entities);
            let is_allowed = response.decision() == CedarDecision::Allow;
            assert_eq!(decision.effect == Effect::Allow, is_allowed, "{facts:?}");
            assert_eq!(decision.because.len(), response.diagnostics().reason().count());
            let observed = explanation.rules.iter().filter(|rule| {
                rule.mode == Mode::Observe && rule.outcome == Outcome::Matched
            });
            let observed: BTreeSet<_> = observed.map(|rule| rule.id.clone()).collect();
            assert_eq!(decision.observed, observed.into_iter().collect::<Vec<_>>(), "{facts:?}");
        }
    }
}
