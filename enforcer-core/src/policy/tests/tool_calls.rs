// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tool calls: asked for by a model, or sent to a tool server.

use std::collections::{BTreeMap, BTreeSet};

use super::super::decide::explain::Outcome;
use super::super::decide::policy::AskedCalls;
use super::{facts, policy, problems};
use crate::model::{
    AgentName, Decision, Effect, EndpointName, Facts, MaskName, Operation, ToolCall, ToolKind,
};

const INVENTORY: &str = super::INVENTORY;

fn call(name: &str, kind: ToolKind, scalars: &[&str]) -> ToolCall {
    ToolCall {
        name: name.to_owned(),
        kind,
        server: String::new(),
        arguments: String::new(),
        scalars: scalars.iter().map(|scalar| (*scalar).to_owned()).collect(),
        asked: true,
        is_whole: true,
    }
}

fn asked(call: ToolCall) -> Facts {
    facts("support", "openai", Operation::ToolCall(call))
}

fn because(decision: &Decision) -> Vec<&str> {
    decision.because.iter().map(|rule| rule.as_str()).collect()
}

fn calls(rules: &str) -> AskedCalls {
    policy(rules).asked_calls(&AgentName::new("support"), &EndpointName::new("openai"))
}

const NEVER_SHELL: &str = r#"
@id("never-shell") @message("No shell.")
forbid (principal, action == Action::"tool_call", resource) when { context.kind == "shell" };
"#;

#[test]
fn no_rule_has_to_permit_a_call_that_is_asked_for_and_one_that_is_made_needs_a_permit() {
    let policy = policy(NEVER_SHELL);
    let mut look = call("look", ToolKind::Function, &[]);
    assert_eq!(policy.decide(&asked(look.clone())).effect, Effect::Allow);
    let shell = policy.decide(&asked(call("shell", ToolKind::Shell, &[])));
    assert_eq!((shell.effect, because(&shell)), (Effect::Deny, vec!["never-shell"]));
    assert_eq!(shell.message.as_deref(), Some("No shell."));
    look.asked = false;
    let made = policy.decide(&asked(look));
    assert_eq!((made.effect, because(&made)), (Effect::Deny, vec![]));
    let mut shell = call("shell", ToolKind::Shell, &[]);
    shell.asked = false;
    assert_eq!(because(&policy.decide(&asked(shell))), ["never-shell"], "for both directions");
}

#[test]
fn a_rule_about_all_that_agents_send_is_not_one_about_calls_that_are_asked_for() {
    let everything = r#"@id("all") forbid (principal, action, resource) when { context.detected.contains("email") };"#;
    let found = super::detected(asked(call("look", ToolKind::Function, &[])), &["email"]);
    let decision = policy(everything).decide(&found);
    assert_eq!(decision.effect, Effect::Allow);
    let explained = policy(everything).explain(&found);
    assert!(matches!(explained.rules[0].outcome, Outcome::OutOfScope { .. }), "{explained:?}");
    let by_fact = r#"@id("all") forbid (principal, action, resource) when { context has kind && context.kind == "shell" };"#;
    let shell = asked(call("shell", ToolKind::Shell, &[]));
    assert_eq!(policy(by_fact).decide(&shell).effect, Effect::Deny);
    assert_eq!((calls(everything), calls(by_fact)), (AskedCalls::Pass, AskedCalls::Hold));
}

#[test]
fn a_rule_that_reads_scalars_denies_a_call_of_which_not_all_are_known() {
    let policy = policy(
        r#"
        @id("no-passwd")
        forbid (principal, action == Action::"tool_call", resource)
        when { context.scalars.contains("path=/etc/passwd") };
        "#,
    );
    let denied = |call: ToolCall| policy.decide(&asked(call));
    let named = call("read", ToolKind::Function, &["path=/etc/passwd"]);
    assert_eq!(because(&denied(named)), ["no-passwd"]);
    let mut other = call("read", ToolKind::Function, &["path=/tmp"]);
    assert_eq!(denied(other.clone()).effect, Effect::Allow);
    other.is_whole = false;
    let decision = denied(other.clone());
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(decision.errors.iter().map(|rule| rule.as_str()).collect::<Vec<_>>(), ["no-passwd"]);
    let by_kind = super::policy(NEVER_SHELL).decide(&asked(other));
    assert_eq!(by_kind.effect, Effect::Allow, "a rule that does not read them is as before");
}

#[test]
fn a_permit_of_calls_adds_its_mask_to_those_that_it_matches() {
    let policy = policy(
        r#"
        @id("mail") @mask_response("pii")
        permit (principal, action == Action::"tool_call", resource) when { context.name == "mail" };
        "#,
    );
    let masks = |name: &str| {
        let decision = policy.decide(&asked(call(name, ToolKind::Function, &[])));
        assert_eq!(decision.effect, Effect::Allow);
        decision.obligations.mask_response
    };
    assert_eq!(masks("mail"), BTreeSet::from([MaskName::new("pii")]));
    assert_eq!(masks("look"), BTreeSet::new());
}

#[test]
fn calls_are_held_only_where_a_rule_can_do_something_about_them() {
    let permit = r#"@id("p") permit (principal, action == Action::"tool_call", resource);"#;
    let masked =
        r#"@id("p") @mask("pii") permit (principal, action == Action::"tool_call", resource);"#;
    let chat = r#"@id("p") @mask("pii") permit (principal, action == Action::"chat", resource);"#;
    let other = NEVER_SHELL.replace("principal,", "principal == Agent::\"research\",");
    let observed = NEVER_SHELL.replace("@message", "@mode(\"observe\") @message");
    for (rules, expect) in [
        (NEVER_SHELL, AskedCalls::Hold),
        (masked, AskedCalls::Hold),
        (permit, AskedCalls::Pass),
        (chat, AskedCalls::Pass),
        (&other, AskedCalls::Pass),
        (&observed, AskedCalls::Watch),
    ] {
        assert_eq!(calls(rules), expect, "{rules}");
    }
}

#[test]
fn what_cannot_be_done_to_a_call_is_refused_when_the_bundle_is_checked() {
    let message = |annotation: &str, condition: &str| {
        let rule = format!(
            "@id(\"r\") {annotation} permit (principal, action == Action::\"tool_call\", resource) when {{ {condition} }};"
        );
        let found = problems(&[("policy.toml", INVENTORY), ("rules.cedar", &rule)]);
        found.into_iter().map(|found| found.message).collect::<String>()
    };
    for annotation in [
        "@approve(\"leads\")",
        "@budget(\"calls\")",
        "@credential(\"key\")",
        "@mask_request(\"pii\")",
    ] {
        let message = message(annotation, "true");
        assert!(message.contains("cannot act on action `tool_call`"), "{annotation}: {message}");
    }
    assert!(message("", "context.kind == \"shel\"").contains("unknown kind of tool `shel`"));
}

#[test]
fn cases_say_what_is_expected_of_a_call() {
    let given = BTreeMap::from([
        ("name".to_owned(), super::FactValue::String("shell".to_owned())),
        ("kind".to_owned(), super::FactValue::String("shell".to_owned())),
    ]);
    let operation = super::operation(super::action("tool_call").unwrap(), &given).unwrap();
    assert_eq!(operation, Operation::ToolCall(call("shell", ToolKind::Shell, &[])));
}
