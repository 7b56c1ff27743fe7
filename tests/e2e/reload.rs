// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The bundle changes while the daemon runs: the last good one stays in force.

use std::fs;
use std::path::Path;
use std::process::Command;

use enforcer_core::mask::{Builtin, DetectorKind, DetectorSpec, Masker, Style};
use enforcer_core::model::DetectorName;
use enforcer_tests::built;
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::scene::{MODEL, Scene, expect_words, own_bundle, wait_until};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_broken_bundle_keeps_the_last_good_one_and_a_repair_heals() {
    let mut scene = Scene::set(Path::new("/nowhere"));
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
    let mut scene = Scene::set(Path::new("/nowhere"));
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
        kind: DetectorKind::Builtin(Builtin::CREDIT_CARD),
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

/// Commits what lies in a folder, in a repository that is made there if there is none.
fn commit(top: &Path) {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
    for words in [["init", "-q"].as_slice(), &["add", "-A"], &["commit", "-qm", "more"]] {
        let mut git = Command::new("git");
        let done = git.arg("-C").arg(top).args(identity).args(words).output().unwrap();
        assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_confined_root_changes_no_revision_and_another_repository_waits_to_be_told() {
    let mut scene = Scene::set(Path::new("/nowhere"));
    let top = scene.host.folder().join("repository");
    let folder = top.join("policies");
    own_bundle("openai-agents", &folder);
    commit(&top);
    let text = fs::read_to_string(scene.host.config()).unwrap();
    let text = text.replace("/nowhere", folder.to_str().unwrap());
    fs::write(scene.host.config(), format!("policies_revision = \"HEAD\"\n{text}")).unwrap();
    scene.start_daemon();
    let version = |scene: &Scene| scene.json(&["status"])["policy"]["version"].clone();
    let first = version(&scene);

    let (program, git) = (built("attempt").unwrap(), top.join(".git"));
    let words = [
        (format!("rename={0},{0}.gone", git.display()), "EBUSY"),
        (format!("rename={0},{0}.gone", top.display()), "EBUSY"),
        (format!("write={}/HEAD", git.display()), "EROFS"),
        (format!("make={}/objects/more", git.display()), "EROFS"),
    ];
    let mut command = vec![program.to_str().unwrap()];
    command.extend(words.iter().map(|(what, _)| what.as_str()));
    let said = scene.run(&command).checked().unwrap().json_lines().remove(0);
    let expect: Value = words.iter().map(|(what, errno)| (what.clone(), json!(errno))).collect();
    assert_eq!(said, expect);

    let rules = folder.join("chat.cedar");
    let good = fs::read_to_string(&rules).unwrap();
    fs::write(&rules, good.replace("\"gpt-4.1\", \"gpt-4.1-mini\"", "\"gpt-4.1\"")).unwrap();
    fs::rename(&git, top.join("aside")).unwrap();
    commit(&top);
    wait_until("the refusal", || scene.cli(&["status"]).code == Some(1));
    expect_words(&scene.cli(&["status"]).stdout, &[".git` is another folder", "kill -HUP"]);
    assert_eq!(version(&scene), first);
    kill(scene.host.daemon_pid().unwrap(), Signal::SIGHUP).unwrap();
    wait_until("the other repository", || scene.cli(&["status"]).code == Some(0));
    wait_until("its bundle", || version(&scene) != first);
    scene.finish();
}
