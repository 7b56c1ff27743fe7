// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundle changes while the daemon runs: the last good one stays in force.

use std::fs;

use serde_json::Value;

use crate::scene::{Scene, expect_words, own_bundle, wait_until};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_broken_bundle_keeps_the_last_good_one_and_a_repair_heals() {
    let mut scene = Scene::set(std::path::Path::new("/nowhere"));
    let folder = scene.host.folder().join("bundle");
    own_bundle("openai-agents", &folder);
    let text = fs::read_to_string(scene.host.config()).unwrap();
    fs::write(scene.host.config(), text.replace("/nowhere", folder.to_str().unwrap())).unwrap();
    scene.start_daemon();
    let version = scene.json(&["status"])["policy"]["version"].clone();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("hello")["exception"], Value::Null);
    let rules = folder.join("chat.cedar");
    let good = fs::read_to_string(&rules).unwrap();

    fs::write(&rules, good.replace("@id(\"approved-models\")", "@idd(\"approved-models\")"))
        .unwrap();
    wait_until("the refusal", || scene.cli(&["status"]).code == Some(1));
    let status = scene.cli(&["status"]).stdout;
    expect_words(&status, &["NOT healthy", "refused", "chat.cedar", "@idd"]);
    let status = scene.json(&["status"]);
    assert_eq!(status["policy"]["version"], version);
    assert_eq!(guest.chat("hello")["exception"], Value::Null);
    scene.cli(&["policy", "check", folder.to_str().unwrap()]).expect_code(4).unwrap();

    fs::write(&rules, good.replace("\"gpt-4.1\", \"gpt-4.1-mini\"", "\"gpt-4.1\"")).unwrap();
    wait_until("the repair", || scene.cli(&["status"]).code == Some(0));
    let now = scene.json(&["status"])["policy"]["version"].clone();
    assert_ne!(now, version);
    assert_eq!(guest.chat("hello")["exception"], "openai.PermissionDeniedError");

    fs::rename(&folder, folder.with_extension("gone")).unwrap();
    wait_until("the missing folder", || scene.cli(&["status"]).code == Some(1));
    expect_words(&scene.cli(&["status"]).stdout, &["no such folder"]);
    assert_eq!(guest.chat("hello")["exception"], "openai.PermissionDeniedError");
    fs::rename(folder.with_extension("gone"), &folder).unwrap();
    wait_until("the folder again", || scene.cli(&["status"]).code == Some(0));
    guest.end();
    let shown = scene.json(&["session", "show", "0000000000000000"]);
    let loaded: Vec<&Value> = shown
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "policy_loaded")
        .collect();
    assert_eq!(loaded.iter().map(|event| &event["policy"]).collect::<Vec<_>>(), [&version, &now]);
    scene.finish();
}
