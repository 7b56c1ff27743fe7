// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundle changes while the daemon runs: the last good one stays in force.

use std::fs;

use enforcer_core::mask::{Builtin, DetectorKind, DetectorSpec, Masker, Style};
use enforcer_core::model::DetectorName;
use serde_json::{Value, json};

use crate::scene::{MODEL, Scene, expect_words, own_bundle, wait_until};

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

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_id_is_hashed_with_the_key_of_this_host_also_after_a_reload_and_a_restart() {
    let mut scene = Scene::set(std::path::Path::new("/nowhere"));
    let folder = scene.host.folder().join("bundle");
    own_bundle("openai-agents", &folder);
    let text = fs::read_to_string(scene.host.config()).unwrap();
    fs::write(scene.host.config(), text.replace("/nowhere", folder.to_str().unwrap())).unwrap();
    scene.start_daemon();
    // What the provider receives for a card in an id.
    let hash = |scene: &Scene| {
        let tool =
            json!({ "role": "tool", "tool_call_id": "call_4111111111111111", "content": "x" });
        let body = json!({ "model": MODEL, "messages": [tool] }).to_string();
        let url = "https://api.openai.com/v1/chat/completions";
        let curl = ["curl", "--silent", "--fail", "--noproxy", "*", "--header"];
        let more = ["Authorization: Bearer sk-not-a-real-key", "--json", &body, url];
        scene.run(&[curl.as_slice(), &more].concat()).checked().unwrap();
        scene.chats().last().unwrap()["messages"][0]["tool_call_id"].as_str().unwrap().to_owned()
    };
    let first = hash(&scene);
    expect_words(&first, &["call_[credit-card:"]);
    // With the key that everybody knows it is another one.
    let card = DetectorSpec {
        name: DetectorName::new("credit-card"),
        kind: DetectorKind::Builtin(Builtin::CreditCard),
    };
    let known = Masker::new(vec![(card, Style::Hash)]).unwrap();
    assert_ne!(known.mask("call_4111111111111111").text, first);

    let version = scene.json(&["status"])["policy"]["version"].clone();
    let rules = folder.join("chat.cedar");
    let good = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, format!("{good}\n// Another bundle.\n")).unwrap();
    wait_until("the other bundle", || scene.json(&["status"])["policy"]["version"] != version);
    assert_eq!(hash(&scene), first);

    scene.host.stop_daemon().unwrap();
    scene.start_daemon();
    assert_eq!(hash(&scene), first);
    scene.finish();
}
