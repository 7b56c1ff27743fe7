// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is said of bundles with mistakes. How it is drawn is tested with the command line.

use super::super::compile::compile;
use super::super::desk::cases;
use super::super::load::diagnostic::Severity;
use super::{INVENTORY, problems, sources};
use crate::model::limits::NAME_BYTES_MAX;
use crate::model::{AgentName, LaunchMode};

/// Checks the problems of rules under the shared inventory: line, column, part of the message.
fn check(rules: &str, expect: &[(usize, usize, &str)]) {
    let found = problems(&[("policy.toml", INVENTORY), ("rules.cedar", rules)]);
    let text = found.iter().map(|found| format!("{found}\n")).collect::<String>();
    assert_eq!(found.len(), expect.len(), "{rules}\n{text}");
    for (found, (line, column, part)) in found.iter().zip(expect) {
        let place = found.place.expect("a place");
        assert_eq!((place.line, place.column), (*line, *column), "{rules}\n{text}");
        assert!(found.message.contains(part), "{part}\n{text}");
    }
}

#[test]
fn five_different_mistakes_in_three_files_give_five_diagnostics() {
    let found = problems(&[
        ("policy.toml", &INVENTORY.replace("protocol = \"openai\"", "protocoll = \"openai\"")),
        ("a.cedar", "@id(\"a\") permit (principal, action, resource"),
        (
            "b.cedar",
            "@id(\"b\")\n@msk(\"pii\")\npermit (principal == Agent::\"suport\", action, resource);\n\
             @id(\"c\") forbid (principal, action == Action::\"http\", resource)\nwhen { context.methd == \"GET\" };",
        ),
    ]);
    let lines: Vec<String> = found.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        [
            "policy.toml:10:1: unknown key `protocoll` (did you mean `protocol`?)",
            "a.cedar:1:45: unexpected end of input",
            "b.cedar:2:2: unknown annotation `@msk` (did you mean `mask`?)",
            "b.cedar:3:22: unknown agent `suport` (did you mean `support`?)",
            "b.cedar:5:8: action `http` has no fact `methd` (did you mean `method`?)",
        ]
    );
    for found in found {
        let span = found.span.expect("bytes to point at");
        assert!(!span.is_empty() || found.message.contains("end of input"), "{}", found.message);
    }
}

#[test]
fn what_was_probably_meant_is_named() {
    let mask = "`@mask_request` masks only what is sent";
    for (rule, help) in [
        (
            "permit (principal, action, resource in Endpoint::\"models\");",
            "did you mean `EndpointGroup::\"models\"`?",
        ),
        (
            "permit (principal in Agent::\"customer-facing\", action, resource);",
            "did you mean `Group::\"customer-facing\"`?",
        ),
        (
            "permit (principal in Group::\"support\", action, resource);",
            "did you mean `Agent::\"support\"`?",
        ),
        ("@mask(\"pii\") permit (principal, action == Action::\"embed\", resource);", mask),
    ] {
        let rules = format!("@id(\"a\") {rule}");
        let found = problems(&[("policy.toml", INVENTORY), ("rules.cedar", &rules)]);
        let is_named = found.iter().any(|found| found.help.as_deref() == Some(help));
        assert!(is_named, "{rule}: {found:?}");
    }
}

#[test]
fn a_name_that_the_kernel_has_no_room_for_is_refused() {
    let with = |length: usize| {
        let agent = "a".repeat(length);
        sources(&[("policy.toml", &format!("{INVENTORY}\n[agents.{agent}]\n"))])
    };
    assert!(compile(&with(NAME_BYTES_MAX)).is_ok());
    let errors = compile(&with(NAME_BYTES_MAX + 1)).expect_err("too long");
    let error = errors.0.iter().find(|found| found.severity == Severity::Error).expect("an error");
    assert!(error.message.ends_with("is not a name"), "{error}");
    assert_eq!(
        error.help.as_deref(),
        Some("1 to 56 letters, digits, `.`, `_` or `-`, the first one a letter or digit")
    );
}

#[test]
fn an_agent_is_confined_unless_the_bundle_says_otherwise() {
    let with = |line: &str| {
        let inventory = format!("{INVENTORY}\n[agents.other]\n{line}\n");
        compile(&sources(&[("policy.toml", &inventory)]))
    };
    let launch = |line: &str| with(line).unwrap().policy.launch(&AgentName::new("other"));
    assert_eq!(launch(""), Some(LaunchMode::Confined));
    assert_eq!(launch("launch = \"confined\""), Some(LaunchMode::Confined));
    assert_eq!(launch("launch = \"plain\""), Some(LaunchMode::Plain));
    let unknown = with("").unwrap().policy.launch(&AgentName::new("nobody"));
    assert_eq!(unknown, None);
    let said = |line: &str| {
        let errors = with(line).unwrap_err().0.into_iter();
        let errors = errors.filter(|found| found.severity == Severity::Error);
        errors.map(|found| found.to_string()).collect::<Vec<_>>()
    };
    let line = INVENTORY.lines().count() + 3;
    let expect = format!("policy.toml:{line}:10: unknown launch `plan` (did you mean `plain`?)");
    assert_eq!(said("launch = \"plan\""), [expect]);
    let expect = format!("policy.toml:{line}:10: expected a string, found a boolean");
    assert_eq!(said("launch = true"), [expect]);
}

#[test]
fn a_duplicate_id_is_found_even_if_the_first_rule_is_broken() {
    check(
        "@id(\"a\") @msk(\"x\") permit (principal, action, resource);\n\
         @id(\"a\") permit (principal, action, resource);",
        &[(1, 11, "unknown annotation"), (2, 5, "rule id `a` is taken")],
    );
}

#[test]
fn a_fact_of_another_action_is_reported_once_with_its_owner() {
    check(
        "@id(\"a\") permit (principal, action, resource) when { context.model == \"x\" };",
        &[(1, 54, "have no fact `model`")],
    );
}

#[test]
fn a_rule_that_can_never_match_is_reported_once_and_only_without_other_mistakes() {
    let scope = "action == Action::\"model_use\"";
    check(&format!("@id(\"a\") permit (principal, {scope}, resource);"), &[(1, 10, "never match")]);
    check(
        "@id(\"a\") forbid (principal, action == Action::\"chat\", resource) when { context has modl };",
        &[(1, 84, "no action has a fact `modl`")],
    );
}

#[test]
fn misspelt_texts_are_found_in_every_way_of_writing_them() {
    for condition in [
        "context.detected.contains(\"emial\")",
        "context[\"detected\"].contains(\"emial\")",
        "context.detected.containsAny([\"email\", \"emial\"])",
        "[\"emial\"].containsAll(context.detected)",
        "!(context.detected == [\"emial\"])",
        "if true then context.detected.contains(\"emial\") else false",
    ] {
        let rule =
            format!("@id(\"a\") forbid (principal, action, resource) when {{ {condition} }};");
        let found = problems(&[("policy.toml", INVENTORY), ("rules.cedar", &rule)]);
        assert_eq!(found.len(), 1, "{condition}: {found:?}");
        assert_eq!(found[0].message, "unknown detector `emial`", "{condition}");
        let span = found[0].span.clone().expect("a place");
        assert_eq!(rule.get(span), Some("\"emial\""), "{condition}");
    }
}

#[test]
fn a_broken_inventory_does_not_make_good_rules_look_broken() {
    let broken = INVENTORY.replace("protocol = \"openai\"", "protocol = \"opanai\"");
    let rule = "@id(\"a\") @mask(\"pii\") permit (principal, action == Action::\"chat\", \
                resource == Endpoint::\"openai\");";
    let found = problems(&[("policy.toml", &broken), ("rules.cedar", rule)]);
    assert_eq!(found.len(), 1, "{found:?}");
    let found = problems(&[("policy.toml", "version = "), ("rules.cedar", rule)]);
    assert!(found.iter().all(|found| found.file == "policy.toml"), "{found:?}");
}

#[test]
fn rules_that_would_exhaust_the_stack_are_refused_and_large_ones_are_not() {
    let rule = |condition: &str| {
        format!(
            "@id(\"a\") permit (principal, action == Action::\"chat\", resource) when {{ {condition} }};"
        )
    };
    let deep = format!("{}true{}", "(".repeat(100_000), ")".repeat(100_000));
    let bangs = format!("{}true", "!".repeat(100_000));
    let long = vec!["context.stream"; 100_000].join(" && ");
    let ifs = format!("{}true", "if context.stream then false else ".repeat(50_000));
    let dots = format!("context{}", ".model".repeat(50_000));
    for condition in [deep, bangs, long, ifs, dots] {
        let found = problems(&[("policy.toml", INVENTORY), ("rules.cedar", &rule(&condition))]);
        assert!(found[0].message.contains("too large"), "{}", found[0]);
    }
    let models: Vec<String> = (0..1500).map(|number| format!("\"model-{number}\"")).collect();
    super::policy(&rule(&format!("[{}].contains(context.model)", models.join(", "))));
}

#[test]
fn the_longest_chains_that_pass_the_limits_do_not_exhaust_the_stack() {
    let count = 1300;
    let chains = [
        vec!["true"; 2 * count / 3].join(" && "),
        vec!["context.stream"; count / 2].join(" || "),
        format!("{} == 1", vec!["1"; count].join(" + ")),
        format!("context{}", ".model".repeat(count)),
        format!("{}true", "if context.stream then false else ".repeat(count / 2)),
    ];
    for chain in chains {
        let rule = format!(
            "@id(\"a\") permit (principal, action == Action::\"chat\", resource) when {{ {chain} }};"
        );
        // Whatever is said of it: it must come back.
        let _ = compile(&sources(&[("policy.toml", INVENTORY), ("rules.cedar", &rule)]));
    }
}

#[test]
fn what_does_nothing_is_a_warning() {
    let bundle = sources(&[("policy.toml", INVENTORY), ("rules.cedar", "")]);
    let compiled = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}"));
    let said: Vec<&str> = compiled.warnings.iter().map(|found| found.message.as_str()).collect();
    for part in ["agent `support`", "agent `research`", "endpoint `pypi`", "mask `staff`"] {
        assert!(said.iter().any(|message| message.contains(part)), "{part}: {said:?}");
    }
    assert!(compiled.warnings.iter().all(|found| found.severity == Severity::Warning));
}

#[test]
fn a_bundle_without_rules_or_inventory_says_so() {
    let found = problems(&[("rules.cedar", "")]);
    assert_eq!(
        found[0].to_string().split(" (").next(),
        Some("policy.toml: the bundle has no inventory")
    );
    let bundle = sources(&[("policy.toml", "version = 1")]);
    let compiled = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}"));
    assert!(compiled.warnings.iter().any(|found| found.message.contains("no rules")));
}

#[test]
fn a_case_file_with_a_mistake_runs_no_case() {
    let bundle = sources(&[
        ("policy.toml", INVENTORY),
        ("rules.cedar", "@id(\"a\") permit (principal, action, resource);"),
        ("cases/a.toml", "[[case]]\nname = \"x\"\nagnet = \"support\""),
    ]);
    let compiled = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}"));
    let errors = cases::run(&compiled.policy, &bundle).expect_err("a misspelt key");
    assert!(errors.to_string().contains("cases/a.toml:3:1: unknown key `agnet`"), "{errors}");
}
