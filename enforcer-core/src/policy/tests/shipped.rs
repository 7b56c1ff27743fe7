// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundles that people start from.

use std::collections::BTreeMap;

use crate::model::Mode;

use super::super::compile::compile;
use super::super::desk::cases;
use super::super::desk::providers::PROVIDERS;
use super::super::load::hosts::HostPattern;
use super::super::load::inventory::Protocol;
use super::super::load::sources::Sources;
use super::sources;

macro_rules! shipped {
    ($bundle:literal, $($file:literal),+) => {
        sources(&[$(($file, include_str!(concat!("../../../../policies/", $bundle, "/", $file)))),+])
    };
}

fn check(bundle: &Sources, case_count: usize) {
    let compiled = compile(bundle).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(compiled.warnings, [], "a shipped bundle has no warnings");
    let report = cases::run(&compiled.policy, bundle).unwrap_or_else(|errors| panic!("{errors}"));
    for case in &report.cases {
        assert!(case.has_passed(), "{}: {:?}", case.name, case.mismatches);
    }
    assert_eq!(report.cases.len(), case_count);
    assert_eq!(report.coverage.unreached, [], "every rule has a case");
}

#[test]
fn openai_agents_does_what_its_cases_say() {
    let bundle = shipped!(
        "openai-agents",
        "policy.toml",
        "chat.cedar",
        "http.cedar",
        "cases/chat.toml",
        "cases/http.toml"
    );
    check(&bundle, 22);
}

#[test]
fn openai_agents_strict_does_what_its_cases_say() {
    let bundle =
        shipped!("openai-agents-strict", "policy.toml", "rules.cedar", "cases/strict.toml");
    check(&bundle, 11);
}

#[test]
fn claude_code_does_what_its_cases_say() {
    let bundle = shipped!(
        "claude-code",
        "policy.toml",
        "anthropic.cedar",
        "code.cedar",
        "cases/anthropic.toml",
        "cases/code.toml"
    );
    check(&bundle, 25);
}

#[test]
fn codex_does_what_its_cases_say() {
    let bundle = shipped!(
        "codex",
        "policy.toml",
        "api.cedar",
        "chatgpt.cedar",
        "cases/api.toml",
        "cases/chatgpt.toml"
    );
    check(&bundle, 16);
}

#[test]
fn strict_does_what_its_cases_say() {
    let bundle = shipped!(
        "strict",
        "policy.toml",
        "use.cedar",
        "never.cedar",
        "cases/use.toml",
        "cases/never.toml"
    );
    check(&bundle, 20);
}

#[test]
fn observe_does_what_its_cases_say_and_carries_none_of_it_out() {
    let bundle = shipped!("observe", "policy.toml", "rules.cedar", "cases/rules.toml");
    check(&bundle, 8);
    let compiled = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}"));
    assert_eq!(compiled.policy.mode(), Mode::Observe);
}

#[test]
fn observe_has_an_endpoint_for_each_known_provider_as_the_table_describes_it() {
    let bundle = shipped!("observe", "policy.toml", "rules.cedar", "cases/rules.toml");
    let policy = compile(&bundle).unwrap_or_else(|errors| panic!("{errors}")).policy;
    let shown = |host: &HostPattern| host.to_string();
    let endpoints: Vec<(String, Vec<String>, Protocol)> = policy
        .endpoints()
        .map(|of| (of.name.to_string(), of.hosts.iter().map(shown).collect(), of.protocol))
        .collect();
    let table = PROVIDERS.iter().map(|of| {
        (of.name.to_owned(), of.hosts.iter().map(|host| (*host).to_owned()).collect(), of.protocol)
    });
    let by_name: BTreeMap<String, (Vec<String>, Protocol)> =
        endpoints.into_iter().map(|(name, hosts, protocol)| (name, (hosts, protocol))).collect();
    let table: BTreeMap<String, (Vec<String>, Protocol)> =
        table.map(|(name, hosts, protocol)| (name, (hosts, protocol))).collect();
    assert_eq!(by_name, table);
}
