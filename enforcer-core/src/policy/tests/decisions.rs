// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Decisions on hand-written policies.

use std::collections::BTreeSet;

use super::super::compile::compile;
use super::super::decide::explain::{Outcome, Part};
use super::super::decide::policy;
use super::super::load::inventory::{Protocol, Tls};
use super::super::load::schema::{ACTIONS, FactKind, FactValue, Otherwise, operation};
use super::super::load::{rules, schema};
use super::{INVENTORY, Policy, chat, detected, facts, http, policy, sources};
use crate::mask::HashKey;
use crate::model::{AgentName, DetectorName, Effect, Facts, MaskName, RecordDepth, RuleId, limits};

const RULES: &str = r#"
@id("chat") @mask("pii")
permit (principal in Group::"customer-facing", action == Action::"chat", resource in EndpointGroup::"models")
when { context.input_tokens <= 100 };

@id("chat-too") @mask_response("staff") @record("facts")
permit (principal == Agent::"support", action == Action::"chat", resource)
when { context.model like "gpt-*" };

@id("overflow")
permit (principal, action == Action::"chat", resource)
when { context.input_tokens + 9223372036854775807 > 0 };

@id("z-cards") @message("no cards")
forbid (principal, action, resource) when { context.detected.contains("credit-card") };

@id("y-cards") @message("really no cards")
forbid (principal, action, resource) when { context.detected.contains("credit-card") };

@id("get")
permit (principal, action == Action::"http", resource) when { context.method == "GET" };
"#;

fn ids(ids: &[RuleId]) -> Vec<&str> {
    ids.iter().map(RuleId::as_str).collect()
}

fn names(masks: &BTreeSet<MaskName>) -> Vec<&str> {
    masks.iter().map(MaskName::as_str).collect()
}

fn without_overflow() -> String {
    RULES.replace("+ 9223372036854775807 > 0", "> 1000")
}

#[test]
fn obligations_of_all_satisfied_permits_are_joined() {
    let policy = policy(&without_overflow());
    let both = policy.decide(&chat("gpt-4.1", 10));
    assert_eq!(both.effect, Effect::Allow);
    assert_eq!(ids(&both.because), ["chat", "chat-too"]);
    assert_eq!(names(&both.obligations.mask_request), ["pii"]);
    assert_eq!(names(&both.obligations.mask_response), ["pii", "staff"]);
    assert_eq!(both.obligations.record, RecordDepth::Full, "the deeper record wins");
    assert_eq!(&both.policy, policy.version());

    let one = policy.decide(&chat("gpt-4.1", 101));
    assert_eq!(ids(&one.because), ["chat-too"]);
    assert_eq!(one.obligations.record, RecordDepth::Facts);
    assert_eq!(names(&one.obligations.mask_request), [""; 0]);
}

#[test]
fn a_forbid_wins_and_every_message_is_told_in_the_order_of_places() {
    let decision =
        policy(&without_overflow()).decide(&detected(chat("gpt-4.1", 10), &["credit-card"]));
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(ids(&decision.because), ["y-cards", "z-cards"]);
    assert_eq!(decision.message.as_deref(), Some("no cards; really no cards"));
    let kept = crate::model::Obligations::keeping(RecordDepth::Facts);
    assert_eq!(decision.obligations, kept, "what a rule of its scope says of the record");
}

#[test]
fn of_a_denied_exchange_is_kept_what_the_rules_of_its_scope_ask_for_or_else_the_bundle() {
    const FACTS: &str = "@record(\"facts\")";
    const FULL: &str = "@record(\"full\")";
    let check = |top: &str, [permit, forbid, other]: [&str; 3], expect: RecordDepth| {
        let rules = format!(
            "@id(\"p\") {permit} permit (principal == Agent::\"support\", action == Action::\"chat\", resource);
             @id(\"f\") {forbid} forbid (principal, action, resource) when {{ context.detected.contains(\"email\") }};
             @id(\"o\") {other} permit (principal == Agent::\"research\", action == Action::\"chat\", resource);
             @id(\"w\") @mode(\"observe\") {other} permit (principal, action, resource);"
        );
        let inventory = INVENTORY.replace("version = 1", &format!("version = 1\n{top}"));
        let bundle = sources(&[("policy.toml", &inventory), ("rules.cedar", &rules)]);
        let policy = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}")).policy;
        let decision = policy.decide(&detected(chat("gpt-4.1", 10), &["email"]));
        assert_eq!(decision.effect, Effect::Deny);
        assert_eq!(decision.obligations.record, expect, "{top} {permit} {forbid} {other}");
    };
    let bundle = "record = \"facts\"";
    check("", ["", "", ""], RecordDepth::Full);
    check("", ["", "", FACTS], RecordDepth::Full);
    check("", [FACTS, "", ""], RecordDepth::Facts);
    check("", ["", FACTS, ""], RecordDepth::Facts);
    check("", [FACTS, FULL, ""], RecordDepth::Full);
    check(bundle, ["", "", ""], RecordDepth::Facts);
    check(bundle, ["", "", FULL], RecordDepth::Facts);
    check(bundle, [FULL, "", ""], RecordDepth::Full);
    check(bundle, [FACTS, FULL, ""], RecordDepth::Full);
}

#[test]
fn a_permit_without_a_word_about_it_is_recorded_as_the_bundle_says() {
    let rules = "@id(\"p\") permit (principal, action == Action::\"chat\", resource);";
    let check = |top: &str, expect: RecordDepth| {
        let inventory = INVENTORY.replace("version = 1", &format!("version = 1\n{top}"));
        let bundle = sources(&[("policy.toml", &inventory), ("rules.cedar", rules)]);
        let policy = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}")).policy;
        assert_eq!(policy.decide(&chat("gpt-4.1", 10)).obligations.record, expect, "{top}");
    };
    check("", RecordDepth::Full);
    check("record = \"full\"", RecordDepth::Full);
    check("record = \"facts\"", RecordDepth::Facts);
}

#[test]
fn the_record_hides_what_any_detector_of_the_bundle_finds_and_secrets() {
    const KEY: &str = "AKIAIOSFODNN7EXAMPLE";
    let hides =
        |policy: &Policy, text: &str| policy.masker_of_everything().mask(text).text.into_owned();
    let bare = "version = 1\n[detectors.badge]\npattern = 'B-[0-9]{4}'";
    let rule =
        |name: &str| format!("@id(\"f\") forbid (principal, action, resource) when {{ {name} }};");
    let policy = |inventory: &str, rules: &str| {
        let bundle = sources(&[("policy.toml", inventory), ("rules.cedar", rules)]);
        compile(&bundle).unwrap_or_else(|errors| panic!("{errors}")).policy
    };
    let text = format!("{KEY} B-1234 a@b.com 4111111111111111");
    let nothing = policy(bare, "");
    assert_eq!(hides(&nothing, &text), "[aws-access-key] [badge] a@b.com 4111111111111111");
    let asked = policy(bare, &rule("context.detected.contains(\"credit-card\")"));
    assert_eq!(hides(&asked, &text), "[aws-access-key] [badge] a@b.com [credit-card]");
    let all = policy(bare, &rule("!context.detected.isEmpty()"));
    assert_eq!(hides(&all, &text), "[aws-access-key] [badge] [email] [credit-card]");
    let masks = "\n[masks.a]\ndetectors = [\"badge\", \"aws-access-key\"]\nstyle = \"hash\"";
    let masked = hides(&policy(&format!("{bare}{masks}"), ""), &text);
    assert!(masked.starts_with("[aws-access-key:") && masked.contains("[badge:"), "{masked}");
}

#[test]
fn a_rule_that_errs_denies_and_says_so() {
    let decision = policy(RULES).decide(&chat("gpt-4.1", 10));
    assert_eq!(decision.effect, Effect::Deny);
    assert_eq!(ids(&decision.errors), ["overflow"]);
    assert_eq!(ids(&decision.because), [""; 0], "an overridden permit did not decide");
    let elsewhere = policy(RULES).decide(&http("GET", "/"));
    assert_eq!(elsewhere.effect, Effect::Allow, "a rule about something else cannot err here");
}

#[test]
fn nothing_is_allowed_that_no_rule_permits() {
    let policy = policy(&without_overflow());
    for facts in [
        http("POST", "/v1/traces/ingest"),
        chat("o3", 1000),
        Facts { agent: AgentName::new("nobody"), ..http("GET", "/") },
        Facts { endpoint: crate::model::EndpointName::new("nowhere"), ..http("GET", "/") },
    ] {
        let decision = policy.decide(&facts);
        assert_eq!((decision.effect, decision.because.len()), (Effect::Deny, 0), "{facts:?}");
    }
}

#[test]
fn explain_says_what_matched_and_what_was_lacking() {
    let policy = policy(RULES);
    let explanation = policy.explain(&chat("o3", 500));
    assert_eq!(explanation.decision, policy.decide(&chat("o3", 500)));
    let outcome = |id: &str| {
        let found = explanation.rules.iter().find(|rule| rule.id.as_str() == id);
        found.map(|rule| rule.outcome.clone()).expect("the rule")
    };
    let nearly = |unmet: &str| Outcome::Nearly { unmet: vec![unmet.to_owned()] };
    assert_eq!(outcome("chat"), nearly("context.input_tokens <= 100"));
    assert_eq!(outcome("chat-too"), nearly("context.model like \"gpt-*\""));
    assert_eq!(outcome("z-cards"), nearly("context.detected.contains(\"credit-card\")"));
    assert_eq!(outcome("get"), Outcome::OutOfScope { other: vec![Part::Action] });
    assert!(matches!(outcome("overflow"), Outcome::Erred { .. }));
    let matched = policy.explain(&http("GET", "/"));
    assert_eq!(matched.rules.last().map(|rule| &rule.outcome), Some(&Outcome::Matched));
}

#[test]
fn the_schema_the_table_and_the_conversion_agree() {
    let schema = rules::parse_schema().expect("the schema");
    let uid = |kind: &str, id: &str| policy::uid(kind, id).expect("a name");
    for action in ACTIONS {
        for with_optional in [false, true] {
            let given = action
                .facts
                .iter()
                .filter(|fact| with_optional || fact.otherwise == Otherwise::Required);
            let given = given.map(|fact| {
                let value = match fact.kind {
                    FactKind::Bool => FactValue::Bool(true),
                    FactKind::Long => FactValue::Long(1),
                    FactKind::String if fact.name == "cause" => {
                        FactValue::String("fields".to_owned())
                    }
                    FactKind::String if fact.name == "kind" => {
                        FactValue::String("shell".to_owned())
                    }
                    FactKind::String => FactValue::String("x".to_owned()),
                    FactKind::StringSet => FactValue::StringSet(vec!["x".to_owned()]),
                };
                (fact.name.to_owned(), value)
            });
            let operation = operation(action, &given.collect()).expect("an operation");
            assert_eq!(operation.action(), action.name);
            let context = schema::context(&facts("support", "openai", operation), |_| true)
                .expect("a context");
            let count = context.clone().into_iter().count();
            if with_optional {
                assert_eq!(count, action.facts.len() + 1, "{} and `detected`", action.name);
            }
            let (principal, resource) = (uid("Agent", "support"), uid("Endpoint", "openai"));
            let name = uid("Action", action.name);
            // Records of the schema are closed: a fact too many fails, too.
            cedar_policy::Request::new(principal, name, resource, context, Some(&schema))
                .unwrap_or_else(|error| panic!("{}: {error}", action.name));
        }
    }
    assert_eq!(schema.actions().count(), schema::action_names().count());
}

#[test]
fn endpoints_are_found_by_name_and_port() {
    let policy = policy("");
    let endpoint = policy.endpoint("API.openai.com", 443).expect("the endpoint");
    assert_eq!((endpoint.protocol, endpoint.tls), (Protocol::OpenAi, Tls::Inspect));
    assert_eq!(endpoint.ports, [443]);
    assert!(policy.endpoint("api.openai.com", 80).is_none());
    assert_eq!(policy.endpoint("a.files.example", 443).map(|e| e.name.as_str()), Some("files"));
    assert_eq!(policy.endpoint("pypi.example", 443).map(|e| e.tls), Some(Tls::Passthrough));
    assert!(policy.names_host("api.openai.com") && !policy.names_host("openai.com"));
}

#[test]
fn an_agent_is_told_the_names_of_the_endpoints_that_some_permit_admits() {
    let check = |rules: &str, agent: &str, expect: [bool; 3]| {
        let policy = policy(&format!("@id(\"one\")\n{rules}"));
        let agent = AgentName::new(agent);
        let hosts = ["api.openai.com", "a.files.example", "pypi.example"];
        let seen = hosts.map(|host| policy.names_host_for(&agent, host));
        assert_eq!(seen, expect, "{agent}: {rules}");
        assert!(!policy.names_host_for(&agent, "evil.example"));
    };
    let openai =
        r#"permit (principal == Agent::"support", action, resource == Endpoint::"openai");"#;
    check(openai, "support", [true, false, false]);
    check(openai, "research", [false; 3]);
    check(openai, "nobody", [false; 3]);
    check("permit (principal, action, resource);", "support", [true; 3]);
    check("forbid (principal, action, resource);", "support", [false; 3]);
    check(
        r#"permit (principal in Group::"customer-facing", action, resource in EndpointGroup::"models");"#,
        "support",
        [true, false, false],
    );
}

#[test]
fn the_version_is_of_what_decides() {
    let of = |files: &[(&str, &str)]| sources(files).version();
    let one = of(&[("policy.toml", "a"), ("x.cedar", "b")]);
    assert_eq!(one.as_str().len(), 16);
    assert_eq!(one, of(&[("x.cedar", "b"), ("policy.toml", "a"), ("cases/y.toml", "c")]));
    assert_ne!(one, of(&[("policy.toml", "a"), ("y.cedar", "b")]));
    assert_ne!(one, of(&[("policy.toml", "a"), ("x.cedar", "b ")]));
    assert_ne!(one, of(&[("policy.toml", "a")]));
}

#[test]
fn maskers_are_unions_and_an_unknown_mask_masks_everything() {
    let policy = policy("");
    let mask = |name: &str| BTreeSet::from([MaskName::new(name)]);
    let masked = |masks: &BTreeSet<MaskName>| {
        policy.masker(masks).mask("ann@example.com EMP-123456").text.into_owned()
    };
    assert_eq!(masked(&BTreeSet::new()), "ann@example.com EMP-123456");
    assert_eq!(masked(&mask("pii")), "[email] EMP-123456");
    let both: BTreeSet<MaskName> = mask("pii").union(&mask("staff")).cloned().collect();
    assert!(masked(&both).starts_with("[email] [employee-id:"), "{}", masked(&both));
    assert_eq!(masked(&mask("of another bundle")), masked(&both));
}

#[test]
fn every_masker_of_a_policy_hashes_with_its_key() {
    let staff = BTreeSet::from([MaskName::new("staff")]);
    let hashes = |policy: &Policy| {
        let maskers = [policy.masker(&staff), policy.masker(&staff), policy.masker_of_everything()];
        let hashes = maskers.map(|masker| masker.mask("EMP-123456").text.into_owned());
        assert!(hashes.iter().all(|hash| *hash == hashes[0]), "{hashes:?}");
        hashes[0].clone()
    };
    let key = |byte| HashKey::new([byte; HashKey::BYTES]);
    let (plain, one, other) =
        (policy(""), policy("").with_hash_key(key(1)), policy("").with_hash_key(key(2)));
    assert_eq!(hashes(&one), hashes(&policy("").with_hash_key(one.hash_key())));
    assert_ne!(hashes(&one), hashes(&other));
    assert_ne!(hashes(&one), hashes(&plain));
    // Also where maskers were asked for before.
    assert_eq!(hashes(&plain.with_hash_key(key(1))), hashes(&one));
}

#[test]
fn facts_lack_a_detector_only_where_a_rule_asks_for_what_it_found() {
    let mut facts = chat("gpt-4.1-mini", 10);
    facts.sought = Some(BTreeSet::new());
    let permit = "permit (principal, action == Action::\"chat\", resource)";
    let masks = policy(&format!("@id(\"a\") @mask(\"pii\") {permit};"));
    assert_eq!(masks.lacks(&facts), BTreeSet::new(), "a mask decides nothing");
    let asks = policy(&format!(
        "@id(\"a\") @mask(\"pii\") {permit} unless {{ context.detected.contains(\"employee-id\") }};"
    ));
    assert_eq!(asks.lacks(&facts), BTreeSet::from([DetectorName::new("employee-id")]));
}

/// A policy of several rule files, in the order of their names.
fn of_files(files: &[(&str, String)]) -> Policy {
    let mut all = vec![("policy.toml", INVENTORY)];
    all.extend(files.iter().map(|(path, text)| (*path, text.as_str())));
    compile(&sources(&all)).unwrap_or_else(|errors| panic!("{errors}")).policy
}

fn forbid(id: &str, message: &str) -> String {
    format!("@id(\"{id}\") @message(\"{message}\") forbid (principal, action, resource);\n")
}

#[test]
fn messages_are_told_in_the_order_of_files_then_places_and_each_once() {
    let policy = of_files(&[
        ("b.cedar", forbid("a", "Third.") + &forbid("z", "First") + &forbid("y", "Last")),
        ("a.cedar", forbid("x", "First") + &forbid("w", "Second!")),
    ]);
    let decision = policy.decide(&chat("gpt-4.1", 10));
    assert_eq!(decision.message.as_deref(), Some("First; Second! Third. Last"));
    assert_eq!(decision.denied().message, decision.message);
    assert_eq!(decision.denied().rules, decision.because);
}

#[test]
fn messages_are_whole_or_left_out_and_never_longer_than_the_limit() {
    let long = |c: char| c.to_string().repeat(limits::RULE_MESSAGE_CHARS_MAX);
    let rules: String = ('a'..='j').map(|c| forbid(&c.to_string(), &long(c))).collect();
    let policy = of_files(&[("a.cedar", rules + &forbid("z", "short"))]);
    let message = policy.decide(&chat("gpt-4.1", 10)).message.expect("a message");
    assert!(message.chars().count() <= limits::DENIAL_MESSAGE_CHARS_MAX, "{message}");
    assert!(message.starts_with(&long('a')) && message.ends_with("short"), "{message}");
    for sentence in message.split("; ") {
        let count = sentence.chars().count();
        assert!(count == limits::RULE_MESSAGE_CHARS_MAX || sentence == "short", "{message}");
    }
}

#[test]
fn a_rule_that_errs_is_named_to_the_agent_and_not_called_a_lack_of_permits() {
    let decision = policy(RULES).decide(&chat("gpt-4.1", 10));
    let said = crate::protocol::http::sentence(&decision.denied(), None);
    assert!(said.contains("(rule `overflow`)") && !said.contains("no rule permits"), "{said}");
    let none = policy(RULES).decide(&http("POST", "/"));
    let said = crate::protocol::http::sentence(&none.denied(), None);
    assert!(said.contains("(no rule permits it)"), "{said}");
}

#[test]
fn where_no_rule_permits_the_nearest_permit_is_named_and_nowhere_else() {
    let policy = policy(&without_overflow());
    let nearest = |facts: &Facts| policy.explain(facts).nearest_permit();
    assert_eq!(
        nearest(&chat("o3", 500)).as_deref(),
        Some(
            "nearest is permit `chat` (rules.cedar:2): `context.input_tokens <= 100` does not hold"
        )
    );
    assert_eq!(
        nearest(&http("POST", "/")).as_deref(),
        Some("nearest is permit `get` (rules.cedar:20): `context.method == \"GET\"` does not hold")
    );
    let other = Facts { agent: AgentName::new("research"), ..chat("o3", 5) };
    assert_eq!(
        nearest(&other).as_deref(),
        Some(
            "nearest is permit `overflow` (rules.cedar:10): `context.input_tokens > 1000` does not hold"
        )
    );
    let one = super::policy(
        "@id(\"get\") permit (principal == Agent::\"support\", action == Action::\"http\", resource);",
    );
    assert_eq!(
        one.explain(&other).nearest_permit().as_deref(),
        Some("nearest is permit `get` (rules.cedar:1): it is for another agent and another action")
    );
    assert_eq!(nearest(&chat("gpt-4.1", 5)), None, "it is allowed");
    assert_eq!(nearest(&detected(chat("gpt-4.1", 5), &["credit-card"])), None, "a rule forbids");
}
