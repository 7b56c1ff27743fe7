// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer replay` on journals of several pages: what it counts, and how long it takes.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use clap::Parser;
use enforcer_core::model::{DetectorName, Effect, Facts};
use enforcer_core::policy::{Policy, compile};
use enforcer_core::replay::Report;
use enforcer_user::cli::source::Source;
use enforcer_user::cli::{Exit, replay};
use enforcer_user::config::bundle::read_sources;

use crate::recording::{chat, facts, now, record};
use crate::{root, shipped};

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: replay::Args,
}

fn policy(name: &str) -> Policy {
    let sources = read_sources(&root().join("policies").join(name)).expect("a bundle");
    compile(&sources).expect("valid").policy
}

/// Six kinds of exchanges, and what the shipped bundles make of them: `openai-agents`, then the strict one.
fn kinds() -> [(&'static str, Facts, Effect, Effect); 6] {
    let mut card = chat("gpt-4.1-mini", 100);
    card.detected.insert(DetectorName::new("credit-card"));
    let list = facts(serde_json::json!({
        "agent": "support", "endpoint": "openai", "detected": [],
        "operation": {
            "action": "list_models", "method": "GET", "path": "/v1/models", "door": "/v1/models",
        },
    }));
    let (allow, deny) = (Effect::Allow, Effect::Deny);
    [
        ("short, small model", chat("gpt-4.1-mini", 100), allow, allow),
        ("large model", chat("gpt-4.1", 100), allow, deny),
        ("longer", chat("gpt-4.1-mini", 300), allow, deny),
        ("model of nobody", chat("o3", 10), deny, deny),
        ("list of models", list, allow, allow),
        ("card number", card, allow, deny),
    ]
}

/// Records `count` of each kind, as `by` decides them, and asks for a replay against `against`.
fn replayed(state: &Path, count: usize, by: &str, against: &str) -> (Exit, Report, Duration) {
    let recorded_by = policy(by);
    let judged: Vec<_> = (0..count)
        .flat_map(|_| kinds())
        .map(|(_, facts, _, _)| {
            let decision = recorded_by.decide(&facts);
            (facts, decision)
        })
        .collect();
    record(state, &judged);
    let words = ["replay", "--policies", &shipped(against), "--since", "1h", "--output", "json"];
    let line = Line::try_parse_from(words).expect("a command");
    let source = Source::offline(&state.join("journal")).expect("a stopped journal");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let started = Instant::now();
    let answer = runtime.expect("a runtime").block_on(replay::answer(
        &line.args,
        &policy(against),
        &source,
        now(),
        false,
    ));
    let took = started.elapsed();
    let (exit, text) = answer.expect("a report");
    (exit, serde_json::from_str(&text).expect("json"), took)
}

#[test]
fn the_report_is_right_on_a_set_that_was_checked_by_hand() {
    for (_, facts, loose, strict) in kinds() {
        assert_eq!(policy("openai-agents").decide(&facts).effect, loose, "{facts:?}");
        assert_eq!(policy("openai-agents-strict").decide(&facts).effect, strict, "{facts:?}");
    }
    let state = tempfile::tempdir().expect("a folder");
    // 600 exchanges are more than two pages of a session.
    let (exit, report, _) = replayed(state.path(), 100, "openai-agents", "openai-agents-strict");
    assert_eq!(exit, Exit::Difference);
    assert_eq!((report.exchanges, report.undetermined), (600, 0));
    assert_eq!(
        (report.allow_to_deny, report.deny_to_allow, report.obligations_changed),
        (300, 0, 0)
    );
    let mut by_rule: BTreeMap<String, usize> = BTreeMap::new();
    for difference in &report.differences {
        let rules: Vec<&str> = difference.replayed.because.iter().map(|id| id.as_str()).collect();
        *by_rule.entry(rules.join(",")).or_default() += 1;
    }
    let expect = [("", 100), ("approved-models", 100), ("no-card-numbers", 100)];
    assert_eq!(by_rule, expect.map(|(rule, count)| (rule.to_owned(), count)).into());

    let state = tempfile::tempdir().expect("a folder");
    let (_, report, _) = replayed(state.path(), 100, "openai-agents-strict", "openai-agents");
    assert_eq!((report.allow_to_deny, report.deny_to_allow), (0, 300));
    let state = tempfile::tempdir().expect("a folder");
    let (exit, report, _) = replayed(state.path(), 50, "openai-agents", "openai-agents");
    assert_eq!((exit, report.exchanges, report.changed()), (Exit::Fine, 300, 0));
}

#[test]
#[ignore = "writes 100,000 records: cargo test --release --test cli_policy -- --ignored replay"]
fn a_replay_of_a_hundred_thousand_exchanges_takes_less_than_thirty_seconds() {
    let state = tempfile::tempdir().expect("a folder");
    let (_, report, took) = replayed(state.path(), 16_667, "openai-agents", "openai-agents-strict");
    assert_eq!((report.exchanges, report.allow_to_deny), (100_002, 50_001));
    assert!(took < Duration::from_secs(30), "{took:?}");
    // Read by whoever runs it.
    println!("100,002 exchanges in {took:?}");
}
