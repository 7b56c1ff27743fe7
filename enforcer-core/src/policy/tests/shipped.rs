// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundles that people start from.

use super::super::{Sources, cases, compile};
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
    check(&bundle, 17);
}

#[test]
fn openai_agents_strict_does_what_its_cases_say() {
    let bundle =
        shipped!("openai-agents-strict", "policy.toml", "rules.cedar", "cases/strict.toml");
    check(&bundle, 11);
}
