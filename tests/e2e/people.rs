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

/// The reset is recorded with its amount, and each of two exchanges with what it was charged.
fn expect_recorded(scene: &Scene, account: &str) {
    let of_host = scene.events("0000000000000000");
    let reset: Vec<_> = of_host.iter().filter(|event| event["event"] == "budget_reset").collect();
    assert_eq!((&reset[0]["had"]["requests"], &reset[0]["by"]), (&json!(2), &json!("root")));
    let charged: Vec<_> = scene.events_of_kind("exchange_closed");
    let charged: Vec<_> = charged.iter().filter_map(|event| event["charged"].as_array()).collect();
    assert_eq!(charged.len(), 2, "{charged:?}");
    assert_eq!(charged[0][0]["account"], account);
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
    expect_words(&wrong.stderr, &["at least 16 characters", &format!("approval show {id}")]);
    let wrong = scene.cli(&["approval", "grant", &id, "--digest", &"0".repeat(16)]);
    assert_ne!(wrong.code, Some(0));
    expect_words(&wrong.stderr, &["something else", &format!("approval show {id}")]);
    let granted = scene.cli(&["approval", "grant", &id, "--digest", digest]);
    expect_words(&granted.stdout, &["granted"]);
    assert_eq!(guest.next()["exception"], Value::Null);
    assert_ne!(scene.cli(&["approval", "show", &id]).code, Some(0), "it is used");

    guest.send(&ask);
    let (id, _) = question(&scene);
    let refused = scene.cli(&["approval", "refuse", &id]).expect_code(0).unwrap();
    assert!(!refused.stderr.contains("[email]"), "a refusal shows no body: {}", refused.stderr);
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
    expect_words(
        &scene.cli(&["status"]).stdout,
        &["approvals 1 request waits for a person", "UTC"],
    );
    expect_words(&scene.cli(&["approval", "list"]).stdout, &[" UTC  support wants", " UTC\n"]);
    let script = scene.cli(&["approval", "grant", &id]).expect_code(2).unwrap();
    expect_words(&script.stderr, &["--digest", &format!("approval show {id}")]);
    let no = scene.host.at_terminal(&["approval", "grant", &id], "\n").unwrap();
    assert_eq!(no.code, Some(1), "{}", no.stderr);
    expect_words(&no.stderr, &["something else", "Send exactly this", "[y/N]", "not answered"]);
    assert_eq!(question(&scene).0, id, "it still waits");
    let yes = scene.host.at_terminal(&["approval", "grant", &id], "y\n").unwrap();
    assert_eq!(yes.code, Some(0), "{}", yes.stderr);
    expect_words(&yes.stderr, &["something else", "digest", "Send exactly this"]);
    expect_words(&yes.stdout, &["granted"]);
    assert_eq!(guest.next()["exception"], Value::Null);
    assert_eq!(guest.ask(&another)["exception"], "openai.RateLimitError", "two were answered");
    let account = "calls/agent:support";
    expect_words(
        &scene.cli(&["budget", "list"]).stdout,
        &[account, "agent support", "2 requests", "LEFT", "UTC"],
    );
    let listed = scene.json(&["budget", "list"])[0].clone();
    assert_eq!((&listed["used"]["requests"], &listed["left"]["requests"]), (&json!(2), &json!(0)));
    expect_words(
        &scene.cli(&["status"]).stdout,
        &["budget    calls of agent support: 0 requests left"],
    );
    assert_ne!(scene.cli(&["budget", "reset", "calls/agent:nobody"]).code, Some(0));
    let reset = scene.cli(&["budget", "reset", account]).expect_code(0).unwrap();
    expect_words(&reset.stdout, &["starts again at 0", "2 requests"]);
    assert_eq!(scene.json(&["budget", "list"])[0]["used"]["requests"], 0);
    expect_recorded(&scene, account);

    let answers = scene.events_of_kind("approval_answered");
    let grants: Vec<&Value> = answers.iter().map(|event| &event["grants"]).collect();
    assert_eq!(grants, [&json!(true), &json!(false), &json!(true)]);
    assert!(answers.iter().all(|event| event["by"] == "root"), "{answers:?}");
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_number_of_a_question_grants_no_other_after_a_restart() {
    let mut scene = scene();
    let mut guest = scene.guest();
    let ask = |text: &str| json!({"do": "chat", "model": MODEL, "text": text});
    guest.send(&ask("one"));
    let (first, digest) = question(&scene);
    scene.host.kill_daemon().unwrap();
    drop(guest.next());
    scene.start_daemon();
    guest.send(&ask("another"));
    let (second, _) = question(&scene);
    assert!(second.parse::<u64>().unwrap() > first.parse().unwrap(), "{first}, then {second}");
    let old =
        scene.cli(&["approval", "grant", &first, "--digest", &digest]).expect_code(2).unwrap();
    expect_words(&old.stderr, &[&format!("no question {first} is open")]);
    let old = scene.host.at_terminal(&["approval", "grant", &first], "y\n").unwrap();
    assert_eq!(old.code, Some(2), "{}", old.stderr);
    assert_eq!(scene.chats().len(), 0, "nothing was sent");
    scene.cli(&["approval", "refuse", &second]).expect_code(0).unwrap();
    drop(guest.next());
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
