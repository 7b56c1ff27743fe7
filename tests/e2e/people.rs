// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What people do about requests while they wait: approvals and budgets on the command line.

use std::fs;
use std::path::PathBuf;

use enforcer_tests::FakeUpstream;
use enforcer_tests::provider::Options;
use serde_json::{Value, json};

use crate::scene::{MODEL, Scene, expect_words, own_bundle, wait_until};

const MORE: &str = r#"
[approvals.leads]
by = ["user:root"]
hold = "300s"
[approvals.nobody]
by = ["user:no-such-user"]
hold = "300s"
[budgets.calls]
per = "agent"
requests = 2
window = "366d"
"#;

/// A daemon that is set and does not run yet, with a bundle of its own, and the folder of that.
fn set() -> (Scene, PathBuf) {
    let scene = Scene::set(std::path::Path::new("/nowhere"));
    let folder = scene.host.folder().join("bundle");
    own_bundle("openai-agents", &folder);
    let text = fs::read_to_string(scene.host.config()).unwrap();
    fs::write(scene.host.config(), text.replace("/nowhere", folder.to_str().unwrap())).unwrap();
    (scene, folder)
}

fn scene() -> Scene {
    let (mut scene, folder) = set();
    let inventory = folder.join("policy.toml");
    let text = fs::read_to_string(&inventory).unwrap();
    fs::write(inventory, text + MORE).unwrap();
    let rules = folder.join("chat.cedar");
    let text = fs::read_to_string(&rules).unwrap();
    let asks = "@mask(\"pii\")\n@approve(\"leads\")\n@budget(\"calls\")";
    let others = "@id(\"other\") @approve(\"nobody\") permit (principal, action == Action::\"chat\", resource) \
                  when { context.message_count > 100 };\n";
    fs::write(rules, text.replacen("@mask(\"pii\")", asks, 1) + others).unwrap();
    scene.start_daemon();
    scene
}

/// Waits for a question, and gives its number and digest.
fn question(scene: &Scene) -> (String, String) {
    let list = || scene.json(&["approval", "list"]);
    wait_until("a question", || list().as_array().is_some_and(|all| !all.is_empty()));
    let found = list()[0].clone();
    (found["id"].to_string(), found["digest"].as_str().unwrap().to_owned())
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_person_sees_and_grants_what_waits_and_a_spent_budget_is_reset() {
    let scene = scene();
    expect_words(&scene.cli(&["approval", "list"]).stdout, &["nothing waits"]);
    let mut guest = scene.guest();
    let ask = json!({"do": "chat", "model": MODEL, "text": "mail ann@example.com"});

    guest.send(&ask);
    let (id, digest) = question(&scene);
    let digest = digest.get(..16).unwrap();
    assert_eq!(scene.json(&["approval", "list"])[0]["body"], Value::Null, "a summary");
    let blind = scene.cli(&["approval", "grant", &id, "--digest", digest]);
    assert_ne!(blind.code, Some(0));
    expect_words(&blind.stderr, &["was not shown", "approval show"]);
    let shown = scene.cli(&["approval", "show", &id]).stdout;
    expect_words(&shown, &["support wants chat", "POST /v1/chat/completions", "[email]", digest]);
    expect_words(&shown, &["as user root (0) in session", "header authorization", "fingerprint"]);
    assert!(!shown.contains("ann@example.com") && !shown.contains("Bearer"), "{shown}");
    let wrong = scene.cli(&["approval", "grant", &id, "--digest", "0000"]);
    assert_ne!(wrong.code, Some(0));
    expect_words(&wrong.stderr, &["something else", "hint"]);
    let granted = scene.cli(&["approval", "grant", &id, "--digest", digest]);
    expect_words(&granted.stdout, &["granted"]);
    assert_eq!(guest.next()["exception"], Value::Null);
    assert_ne!(scene.cli(&["approval", "show", &id]).code, Some(0), "it is used");

    guest.send(&ask);
    let (id, _) = question(&scene);
    scene.cli(&["approval", "refuse", &id]).expect_code(0).unwrap();
    assert_eq!(guest.next()["exception"], "openai.PermissionDeniedError");

    expect_words(&scene.cli(&["approval", "list"]).stdout, &["nothing waits"]);
    assert_eq!(
        guest.ask(&ask)["exception"],
        "openai.PermissionDeniedError",
        "refused once, refused again"
    );

    let another = json!({"do": "chat", "model": MODEL, "text": "something else"});
    guest.send(&another);
    let (id, _) = question(&scene);
    scene.cli(&["approval", "grant", &id]).expect_code(0).unwrap();
    assert_eq!(guest.next()["exception"], Value::Null);
    assert_eq!(guest.ask(&another)["exception"], "openai.RateLimitError", "two were answered");
    let account = "calls/agent:support";
    expect_words(&scene.cli(&["budget", "list"]).stdout, &[account]);
    assert_eq!(scene.json(&["budget", "list"])[0]["used"]["requests"], 2);
    assert_ne!(scene.cli(&["budget", "reset", "calls/agent:nobody"]).code, Some(0));
    scene.cli(&["budget", "reset", account]).expect_code(0).unwrap();
    assert_eq!(scene.json(&["budget", "list"])[0]["used"]["requests"], 0);

    let answers = scene.events_of_kind("approval_answered");
    let grants: Vec<&Value> = answers.iter().map(|event| &event["grants"]).collect();
    assert_eq!(grants, [&json!(true), &json!(false), &json!(true)]);
    assert!(answers.iter().all(|event| event["by"] == "root"), "{answers:?}");
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn while_a_bundle_observes_everything_that_goes_through_the_proxy_works_and_is_told() {
    let (mut scene, folder) = set();
    let inventory = folder.join("policy.toml");
    let text = fs::read_to_string(&inventory).unwrap();
    fs::write(inventory, text.replace("mode = \"enforce\"", "mode = \"observe\"")).unwrap();
    scene.start_daemon();
    expect_words(&scene.cli(&["status"]).stdout, &["OBSERVES ONLY"]);
    let mut guest = scene.guest();
    let ask = json!({"do": "chat", "model": "o3", "text": "mail ann@example.com"});
    assert_eq!(guest.ask(&ask)["exception"], Value::Null);
    let sent = scene.chats().remove(0);
    assert_eq!(sent["messages"][0]["content"], "mail ann@example.com", "not masked");
    assert_eq!(scene.events_of_kind("exchange_opened")[0]["decision"]["effect"], "deny");
    guest.end();
    // No endpoint: the agent sees the far end's own certificate.
    let names = vec!["other.example".to_owned()];
    let options = Options { names, ..Options::default() };
    let other = FakeUpstream::start(&scene.authority, &options).unwrap();
    let connect_to = format!("other.example:443:{}", other.address());
    let ca = scene.host.folder().join("upstream-ca.pem");
    let words = ["curl", "--silent", "--output", "/dev/null", "--cacert", ca.to_str().unwrap()];
    let words =
        [&words[..], &["--connect-to", &connect_to, "https://other.example/v1/models"]].concat();
    let output = scene.run(&words);
    assert_eq!(output.code, Some(0), "{}", output.stderr);
    assert_eq!(other.log().connections(), 1);
    let refused = scene.events_of_kind("connection_refused");
    assert_eq!(
        (&refused[0]["mode"], &refused[0]["denied"]["reason"]),
        (&json!("observe"), &json!("not_an_endpoint"))
    );
    scene.finish();
}
