// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What somebody meets who sets Enforcer up: a start that fails, what `doctor` and `status` say about it, and what is
//! left when it is removed again.

use std::fs;

use serde_json::{Value, json};

use crate::faults::resolver::mount_bpffs;
use crate::scene::{Scene, bundle, expect_words, own_bundle, wait_until};

fn verified(scene: &Scene) -> Value {
    let report = scene.json(&["session", "verify"]);
    assert_eq!(report["problems"], json!([]), "{report}");
    report
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_start_that_fails_is_foretold_by_doctor_and_leaves_no_trace_in_the_journal() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let roots = scene.host.folder().join("upstream-ca.pem");
    let text = fs::read_to_string(&roots).unwrap();
    fs::remove_file(&roots).unwrap();
    let told = scene.cli(&["doctor"]);
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    let line = told.stdout.lines().find(|line| line.contains("roots")).unwrap();
    expect_words(line, &["FINDING", roots.to_str().unwrap()]);
    let failed = format!("{:#}", scene.host.start_daemon().unwrap_err());
    expect_words(&failed, &[roots.to_str().unwrap()]);
    assert!(!scene.host.state().exists(), "something was made");

    fs::write(&roots, text).unwrap();
    assert_eq!(scene.cli(&["doctor"]).code, Some(0));
    scene.start_daemon();
    scene.host.stop_daemon().unwrap();
    assert_eq!(verified(&scene)["notes"], json!([]));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_start_that_fails_when_the_journal_is_open_closes_it() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    // The daemon sees a mount where its socket should be: nothing can be renamed there, and that shows late.
    let socket = scene.host.socket().display().to_string();
    fs::create_dir_all(scene.host.socket().parent().unwrap()).unwrap();
    mount_bpffs(&scene.host.bpffs());
    let script = "touch \"$0\" && mount --bind \"$0\" \"$0\" && exec \"$@\"";
    scene.host.start_daemon_by(&["unshare", "--mount", "sh", "-c", script, &socket]);
    let failed = format!("{:#}", scene.host.start_daemon().unwrap_err());
    expect_words(&failed, &["failed to open", &socket]);
    assert_eq!(verified(&scene)["notes"], json!([]));

    scene.host.start_daemon_by(&[]);
    scene.start_daemon();
    let key = scene.json(&["status"])["journal_key"].as_str().unwrap().to_owned();
    expect_words(&scene.host.daemon_log(), &["keep a note of it elsewhere", &key]);
    scene.host.stop_daemon().unwrap();
    let report = verified(&scene);
    assert_eq!((&report["notes"], &report["key"]), (&json!([]), &json!(key)));
    let shown = scene.cli(&["session", "verify"]).stdout;
    expect_words(&shown, &[&key, "`enforcer status` shows it"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_folders_that_were_made_for_the_socket_are_removed_and_no_others() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let above = scene.host.folder().join("there-before");
    fs::create_dir(&above).unwrap();
    let folder = above.join("run/deep");
    let text = fs::read_to_string(scene.host.config()).unwrap();
    let before = scene.host.socket().display().to_string();
    let socket = folder.join("admin.sock").display().to_string();
    fs::write(scene.host.config(), text.replace(&before, &socket)).unwrap();
    scene.start_daemon();
    scene.host.stop_daemon().unwrap();
    // Another start finds the folder there.
    scene.start_daemon();
    scene.host.stop_daemon().unwrap();
    assert!(folder.is_dir());
    let removed = scene.cli(&["uninstall", "--purge-state"]).checked().unwrap().stdout;
    expect_words(&removed, &[&format!("removed {}", folder.display())]);
    assert!(above.is_dir() && !above.join("run").exists(), "{removed}");
    fs::remove_dir(&above).unwrap();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_selector_that_means_nothing_here_is_shown_and_the_daemon_runs_on() {
    let policies = tempfile::tempdir().unwrap();
    own_bundle("openai-agents", policies.path());
    let file = policies.path().join("policy.toml");
    let text = fs::read_to_string(&file).unwrap();
    let agent = "[agents.support]\n";
    let selector = format!("{agent}match = [{{ user = \"nosuchuser\" }}]\n");
    fs::write(&file, text.replace(agent, &selector)).unwrap();
    let mut scene = Scene::set(policies.path());
    let expected = "agent `support`: this host has no user `nosuchuser`";
    let told = scene.cli(&["doctor"]);
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    expect_words(&told.stdout, &[expected]);
    scene.start_daemon();
    let status = scene.cli(&["status"]);
    assert_eq!(status.code, Some(0), "{}", status.stdout);
    expect_words(&status.stdout, &[&format!("warning   {expected}")]);
    expect_words(&scene.cli(&["doctor"]).stdout, &[expected]);
    // Where it comes to mean something, the warning ends.
    let repaired = selector.replace("nosuchuser", "65533");
    fs::write(&file, text.replace(agent, &repaired)).unwrap();
    wait_until("the warning to end", || scene.json(&["status"])["warnings"] == json!([]));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn status_and_doctor_say_in_words_what_is_refused_and_why_the_tier_is_not_hardened() {
    let policies = tempfile::tempdir().unwrap();
    own_bundle("openai-agents", policies.path());
    let mut scene = Scene::set(policies.path());
    scene.start_daemon();
    let file = policies.path().join("policy.toml");
    fs::write(&file, "version = 2\n").unwrap();
    wait_until("the refusal", || scene.json(&["status"])["policy"]["refused"].as_str().is_some());
    let status = scene.cli(&["status"]).stdout;
    let mut lines = status.lines().skip_while(|line| !line.starts_with("policy "));
    let refused = lines.nth(1).unwrap();
    expect_words(refused, &["          the folder holds a bundle that is refused"]);
    for text in [status, scene.cli(&["doctor"]).stdout] {
        assert!(!text.contains("Verifier") && !text.contains("os error"), "{text}");
        let tier = text.lines().find(|line| line.contains("tier ")).unwrap();
        let is_told = tier.contains("hardened") || tier.contains(", because ");
        assert!(is_told && !tier.ends_with(':'), "{tier}");
    }
    scene.finish();
}
