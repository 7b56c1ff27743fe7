// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy suggest` and `enforcer policy init`: the two ways to begin.

use std::fs;
use std::path::Path;

use enforcer_core::model::{Decision, Effect, Facts, Obligations, PolicyVersion};
use enforcer_user::config::bundle::read_sources;

use crate::recording::{chat, facts, record, record_name, record_unnamed};
use crate::{enforcer_policy, root};

fn decided(effect: Effect) -> Decision {
    let json = serde_json::json!({
        "effect": effect, "obligations": Obligations::default(), "because": [],
        "policy": PolicyVersion::new("v1"),
    });
    serde_json::from_value(json).expect("a decision")
}

fn http(method: &str, path: &str) -> Facts {
    facts(serde_json::json!({
        "agent": "support", "endpoint": "openai", "detected": [],
        "operation": {
            "action": "http", "method": method, "path": path, "query": "", "has_body": false,
        },
    }))
}

/// What is recorded of a request to a host that no endpoint names, while the bundle observes.
fn unnamed_request() -> Facts {
    let mut facts = http("POST", "/v1/x");
    facts.endpoint = enforcer_core::model::EndpointName::new("-");
    facts
}

/// A bundle that names the agent and the endpoint and permits nothing.
fn empty_bundle(dir: &Path) {
    fs::create_dir_all(dir).expect("a folder");
    let inventory = "version = 1\n[agents.support]\n[endpoints.openai]\n\
        hosts = [\"api.openai.com\"]\nprotocol = \"openai\"\n";
    fs::write(dir.join("policy.toml"), inventory).expect("written");
}

/// A journal: chats and a list that went through, and a tool that was refused.
fn recorded(state: &Path) {
    let mut poisoned = chat("gpt-4.1", 900);
    if let enforcer_core::model::Operation::Chat(chat) = &mut poisoned.operation {
        chat.tools.insert("look\"up\n// permit".to_owned());
        chat.max_tokens = Some(450);
    }
    poisoned.detected.insert(enforcer_core::model::DetectorName::new("email"));
    record(
        state,
        &[
            (chat("gpt-4.1", 120), decided(Effect::Allow)),
            (poisoned, decided(Effect::Allow)),
            (chat("gpt-4.1-mini", 4001), decided(Effect::Allow)),
            (http("GET", "/v1/models"), decided(Effect::Allow)),
            (http("DELETE", "/v1/models/x"), decided(Effect::Deny)),
        ],
    );
}

#[test]
fn what_was_seen_becomes_rules_and_what_was_refused_comments() {
    let folder = tempfile::tempdir().expect("a folder");
    recorded(folder.path());
    for name in ["files.example\npermit", "files.example", "api.mistral.ai"] {
        record_name(folder.path(), name);
    }
    let state = folder.path().display().to_string();
    let done = enforcer_policy(&["suggest", "--state", &state]);
    assert_eq!(done.code, 0, "{}", done.err);
    for part in [
        "// Seen 3 times.\n// `email` found something in 1 of them; should it be masked?\n@id(\"support-openai-chat\")\npermit (",
        "  [\"gpt-4.1\", \"gpt-4.1-mini\"].contains(context.model) &&",
        "  (if context has max_tokens then context.max_tokens <= 500 else true) &&",
        "  context.input_tokens <= 5000 &&\n  context.n <= 1 &&\n  !context.store\n};",
        "  !context.previous &&\n  context.files.isEmpty() &&\n  context.unknown.isEmpty() &&\n",
        "[\"look\\\"up\\u{a}// permit\"].containsAll(context.tools)",
        "@id(\"support-openai-http\")",
        "// @id(\"support-openai-http-2\")\n// permit (",
        "# ---- and for policy.toml ----\n\n# Suggested from recorded exchanges, for the end of policy.toml.",
        "# Asked for: api.mistral.ai 3 times.\n[endpoints.mistral]\nhosts = [\"api.mistral.ai\"]\nprotocol = \"openai\"\n",
        "# Asked for: files.example 3 times.\n[endpoints.files-example]\nhosts = [\"files.example\"]\nprotocol = \"http\"\n",
        "# cannot be an endpoint: \"files.example\\U0000000apermit\" (3 times)\n",
        "# expect = { effect = \"deny\" }",
    ] {
        assert!(done.out.contains(part), "{part}\n{}", done.out);
    }
    assert_eq!(
        done.err,
        "5 exchanges: 2 rules suggested, 1 kind of refused requests, written as comments\n"
    );
    let done = enforcer_policy(&["suggest", "--state", &state, "--agent", "nobody"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    let done = enforcer_policy(&["suggest", "--state", &state, "--output", "json"]);
    let found: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!((&found["suggested"], &found["refused"]), (&2.into(), &1.into()));
}

#[test]
fn what_is_suggested_is_a_valid_bundle_whose_cases_pass_and_no_file_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    recorded(folder.path());
    record_name(folder.path(), "api.anthropic.com");
    record_unnamed(folder.path(), "api.mistral.ai");
    record(folder.path(), &[(unnamed_request(), decided(Effect::Deny))]);
    let (dir, state) = (folder.path().join("bundle"), folder.path().display().to_string());
    empty_bundle(&dir);
    let bundle = dir.display().to_string();
    let words = ["suggest", &bundle, "--state", &state, "--write", "suggested"];
    let done = enforcer_policy(&words);
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    assert!(done.err.contains("0 permitted already: 2 rules suggested"), "{}", done.err);
    let done = enforcer_policy(&["test", &bundle, "--require-coverage"]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("4 cases, 0 failed"), "{}", done.out);

    let endpoints = fs::read_to_string(dir.join("suggested.toml")).expect("endpoints");
    let inventory = fs::read_to_string(dir.join("policy.toml")).expect("an inventory");
    fs::write(dir.join("policy.toml"), inventory + &endpoints).expect("written");
    let done = enforcer_policy(&["check", &bundle]);
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("1 agent, 3 endpoints"), "{}", done.out);

    let done = enforcer_policy(&words);
    assert_eq!(done.code, 2);
    assert!(done.err.contains("suggested.cedar` is there already"), "{}", done.err);
    let done = enforcer_policy(&["suggest", &bundle, "--state", &state]);
    assert!(done.err.starts_with("6 exchanges, 4 permitted already: 0 rules"), "{}", done.err);
    let done = enforcer_policy(&["suggest", &bundle, "--state", &state, "--write", "../x"]);
    assert_eq!(done.code, 2, "{}", done.err);
}

#[test]
fn every_shipped_bundle_can_be_started_from_and_nothing_is_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let listed = enforcer_policy(&["init"]);
    assert_eq!(listed.code, 0);
    for entry in fs::read_dir(root().join("policies")).expect("bundles") {
        let path = entry.expect("an entry").path();
        if !path.is_dir() {
            continue;
        }
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(listed.out.contains(&name), "{name} cannot be started from: {}", listed.out);
        let dir = folder.path().join(&name);
        let to = dir.display().to_string();
        let done = enforcer_policy(&["init", &name, &to]);
        assert_eq!(done.code, 0, "{}", done.err);
        let same = read_sources(&path).expect("shipped");
        assert_eq!(read_sources(&dir).expect("written"), same);
        let done = enforcer_policy(&["init", &name, &to]);
        assert_eq!(done.code, 2, "{}", done.err);
        assert!(done.err.contains("is there already"), "{}", done.err);
    }
    let done = enforcer_policy(&["init", "openai-agent"]);
    assert_eq!((done.code, done.out.as_str()), (2, ""));
    assert!(done.err.contains("hint: known: openai-agents"), "{}", done.err);
}
