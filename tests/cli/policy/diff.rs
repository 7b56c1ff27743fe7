// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy diff` between folders and git revisions, with and without a replay.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use enforcer_core::policy::compile;
use enforcer_user::config::bundle::read_sources;

use crate::recording::{chat, record};
use crate::{Done, enforcer_policy, root, shipped};

/// A copy of a shipped bundle that a test may change.
struct Copy {
    folder: tempfile::TempDir,
}

impl Copy {
    fn of(name: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        copy(&root().join("policies").join(name), &folder.path().join("bundle"));
        Self { folder }
    }

    fn dir(&self) -> PathBuf {
        self.folder.path().join("bundle")
    }

    fn change(&self, file: &str, from: &str, to: &str) {
        let path = self.dir().join(file);
        let text = fs::read_to_string(&path).expect("the file");
        assert!(text.contains(from), "{from} is not in {file}");
        fs::write(path, text.replace(from, to)).expect("written");
    }

    fn diff(&self, words: &[&str]) -> Done {
        let (old, new) = (shipped("openai-agents"), self.dir().display().to_string());
        enforcer_policy(&[&["diff", old.as_str(), new.as_str()], words].concat())
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let path = entry.expect("an entry").path();
        let to = to.join(path.file_name().expect("a name"));
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).expect("copied");
        }
    }
}

fn git(dir: &Path, words: &[&str]) {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    let done = Command::new("git").arg("-C").arg(dir).args(identity).args(words).output();
    assert!(done.expect("git").status.success(), "{words:?}");
}

#[test]
fn names_order_and_layout_are_no_difference() {
    let copy = Copy::of("openai-agents");
    copy.change("chat.cedar", "@id(\"support-chat\")", "// moved\n\n@id(\"support-talks\")");
    fs::rename(copy.dir().join("chat.cedar"), copy.dir().join("a.cedar")).expect("renamed");
    fs::remove_dir_all(copy.dir().join("cases")).expect("removed");
    let done = copy.diff(&[]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("no difference in meaning (22 cases judged)"), "{}", done.out);
}

#[test]
fn a_wider_rule_is_told_where_it_applies_and_by_the_case_that_it_lets_through() {
    let copy = Copy::of("openai-agents");
    copy.change("chat.cedar", "context.input_tokens <= 4000", "context.input_tokens <= 5000");
    let done = copy.diff(&[]);
    assert_eq!(done.code, 1, "{}", done.err);
    for part in [
        "support × openai × chat: may allow or deny more",
        "~ permit support-chat (chat.cedar:",
        "- when context.input_tokens <= 4000",
        "+ when context.input_tokens <= 5000",
        "1 of 22 cases (0 allow → deny, 1 deny → allow)",
        "deny → ALLOW  one token too many is denied (cases/chat.toml:",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
}

#[test]
fn the_inventory_is_compared_by_key_and_lists_are_sets() {
    let copy = Copy::of("openai-agents");
    copy.change("policy.toml", "[\"email\", \"credit-card\"]", "[\"credit-card\", \"email\"]");
    copy.change("policy.toml", "protocol = \"openai\"", "protocol = \"openai\"\nports = [443]");
    assert_eq!(copy.diff(&[]).code, 0);
    copy.change(
        "policy.toml",
        "[\"api.openai.com\"]",
        "[\"api.openai.com\", \"eu.openai.example\"]",
    );
    copy.change("policy.toml", "style = \"label\"", "style = \"partial\"");
    let done = copy.diff(&[]);
    assert_eq!(done.code, 1);
    for part in [
        "~ endpoints.openai.hosts: [\"api.openai.com\"] → [\"api.openai.com\",\"eu.openai.example\"]",
        "+ masks.pii.style = \"partial\"",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
}

#[test]
fn a_new_agent_and_a_lost_mask_are_told_apart() {
    let copy = Copy::of("openai-agents");
    copy.change(
        "policy.toml",
        "[agents.support]",
        "[agents.research]\ngroups = [\"customer-facing\"]\n\n[agents.support]",
    );
    copy.change("chat.cedar", "@mask(\"pii\")", "@mask_request(\"pii\")");
    let done = copy.diff(&["--output", "json"]);
    assert_eq!(done.code, 1, "{}", done.err);
    let found: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!(found["inventory"][0]["key"], "agents.research");
    let scopes = found["scopes"].as_array().expect("scopes");
    let of = |tendency: &str| scopes.iter().find(|scope| scope["tendency"] == tendency);
    let lost = of("obligations").expect("a lost mask");
    assert_eq!(lost["agents"], serde_json::json!(["support"]));
    assert_eq!(lost["rules"][0]["changed"]["new"]["id"], "support-chat");
    assert!(of("may_deny_more").is_some(), "the forbids apply to the new agent: {scopes:#?}");
    let case = &found["cases"][0];
    assert_eq!(case["changes"][0], serde_json::json!({ "response_mask_lost": "pii" }));
}

#[test]
fn a_git_revision_is_compared_with_the_folder_and_with_another_revision() {
    let copy = Copy::of("openai-agents");
    let folder = copy.folder.path();
    git(folder, &["init", "-q"]);
    git(folder, &["add", "-A"]);
    git(folder, &["commit", "-qm", "one"]);
    let dir = copy.dir().display().to_string();
    assert_eq!(enforcer_policy(&["diff", "--git", "HEAD", &dir]).code, 0);
    copy.change("chat.cedar", "<= 4000", "<= 400");
    let done = enforcer_policy(&["diff", "--git", "HEAD", &dir]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.out.contains("+ when context.input_tokens <= 400"), "{}", done.out);
    let done = enforcer_policy(&["diff", "--git", "nowhere", &dir]);
    assert_eq!((done.code, done.out.as_str()), (2, ""));
    assert!(done.err.contains("with git: ") && done.err.contains("hint: "), "{}", done.err);
    assert_eq!(enforcer_policy(&["diff", &dir]).code, 2, "one bundle is no comparison");
    let done = enforcer_policy(&["diff", "nowhere:policies/x", &dir]);
    assert_eq!(done.code, 2, "{}", done.err);
}

#[test]
fn recorded_exchanges_tell_what_would_really_change() {
    let sources = read_sources(&root().join("policies/openai-agents")).expect("a bundle");
    let policy = compile(&sources).expect("valid").policy;
    let judged: Vec<_> = [("gpt-4.1", 10), ("gpt-4.1", 4500), ("gpt-4.1-mini", 3000), ("o3", 10)]
        .into_iter()
        .map(|(model, tokens)| {
            let facts = chat(model, tokens);
            let decision = policy.decide(&facts);
            (facts, decision)
        })
        .collect();
    let state = tempfile::tempdir().expect("a folder");
    record(state.path(), &judged);
    let state = state.path().display().to_string();
    let copy = Copy::of("openai-agents");
    copy.change("chat.cedar", "context.input_tokens <= 4000", "context.input_tokens <= 5000");
    copy.change("chat.cedar", "[\"gpt-4.1\", \"gpt-4.1-mini\"]", "[\"gpt-4.1\"]");
    let done = copy.diff(&["--replay", "--since", "1h", "--state", &state]);
    assert_eq!(done.code, 1, "{}", done.err);
    for part in [
        "recorded exchanges",
        "4 exchanges judged",
        "2 change (1 allow → deny, 1 deny → allow, 0 in their obligations)",
        "deny → ALLOW  by support-chat",
        "allow → deny  by approved-models",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    let done = copy.diff(&["--replay", "--state", "/nowhere"]);
    assert_eq!((done.code, done.out.as_str()), (3, ""), "{}", done.err);
}
