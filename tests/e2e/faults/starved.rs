// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon has no descriptors or no memory left: it refuses at once, says so, and goes on when there are
//! some again. What it reads from the disk goes away: the last good one stays in force.

use std::fs;
use std::path::Path;

use enforcer_core::model::limits;
use serde_json::{Value, json};

use crate::faults::alarms::{recorded, wait_for_health, wait_for_shown};
use crate::scene::{Scene, bundle, own_bundle, wait_until};

/// A refusal that somebody has to wait for is a hang.
const AT_ONCE_MS: u64 = 5000;
/// What a daemon with few agents needs, and some more.
const DESCRIPTORS: &str = "--nofile=256:256";

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_descriptors_a_connect_is_refused_at_once_and_status_still_answers() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    scene.host.start_daemon_by(&["prlimit", DESCRIPTORS]);
    scene.start_daemon();
    let (mut hoarder, mut guest) = (scene.guest(), scene.guest());
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let idle = hoarder.ask(&json!({
        "do": "idle", "count": 256, "to": "192.0.2.7:443", "host": "api.openai.com",
    }));
    assert!(idle["open"].as_u64().unwrap() > 0 && idle["error"].is_string(), "{idle}");
    assert!(idle["took_ms"].as_u64().unwrap() < AT_ONCE_MS, "{idle}");
    let connections = scene.openai.log().connections();
    wait_for_shown(&scene, "descriptors", &["LimitNOFILE"]);
    for _ in 0..3 {
        let refused = guest.chat("while there are none");
        assert_eq!(refused["exception"], "openai.APIConnectionError", "{refused}");
        assert!(refused["took_ms"].as_u64().unwrap() < AT_ONCE_MS, "{refused}");
    }
    assert_eq!(scene.openai.log().connections(), connections, "something passed");
    hoarder.ask(&json!({"do": "let_go"}));
    wait_for_health(&scene);
    assert_eq!(guest.chat("after")["exception"], Value::Null);
    hoarder.end();
    guest.end();
    let is_told = |event: &Value| {
        event["denied"]["reason"] == "limit" && event["detail"] == "no file descriptors are left"
    };
    wait_until("the refusals in the record", || {
        let sessions = scene.sessions();
        let all = sessions.iter().flat_map(|found| scene.events(found["id"].as_str().unwrap()));
        all.filter(|event| is_told(event)).count() >= 3
    });
    assert_eq!(recorded(&scene, "descriptors"), ["fault_began", "fault_ended"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn when_the_memory_for_bodies_is_spent_requests_are_refused_until_others_end() {
    let scene = Scene::start();
    let (mut hoarder, mut guest) = (scene.guest(), scene.guest());
    let size = limits::REQUEST_BODY_BYTES_MAX;
    let held = hoarder.ask(&json!({
        "do": "hoard", "count": limits::BUFFERED_BYTES_MAX / size + 1, "size": size,
        "to": "192.0.2.7:443", "host": "api.openai.com",
    }));
    assert_eq!(held["statuses"].as_array().unwrap().len(), 1, "{held}");
    let refused = guest.chat("while it is spent");
    assert_eq!((&refused["status"], &refused["code"]), (&json!(503), &json!("enforcer_limit")));
    assert_eq!(scene.chats().len(), 0, "something passed");
    wait_for_shown(&scene, "memory", &["512 MiB"]);
    hoarder.ask(&json!({"do": "let_go"}));
    wait_for_health(&scene);
    assert_eq!(guest.chat("after")["exception"], Value::Null);
    assert_eq!(recorded(&scene, "memory"), ["fault_began", "fault_ended"]);
    hoarder.end();
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bundle_that_cannot_be_read_leaves_the_last_good_one_in_force() {
    let mut scene = Scene::set(Path::new("/nowhere"));
    let folder = scene.host.folder().join("bundle");
    own_bundle("openai-agents", &folder);
    let text = fs::read_to_string(scene.host.config()).unwrap();
    fs::write(scene.host.config(), text.replace("/nowhere", folder.to_str().unwrap())).unwrap();
    scene.start_daemon();
    let mut guest = scene.guest();
    let version = scene.json(&["status"])["policy"]["version"].clone();
    let aside = folder.with_extension("aside");
    fs::rename(&folder, &aside).unwrap();
    wait_for_shown(&scene, "policy", &["no such folder"]);
    // Root reads whatever the mode says, so what cannot be read is something else than a folder.
    fs::write(&folder, "not a folder").unwrap();
    wait_until("another cause", || scene.cli(&["status"]).stdout.contains("not a folder"));
    assert_eq!(scene.json(&["status"])["policy"]["version"], version);
    assert_eq!(guest.chat("write to maria.lopez@example.com")["exception"], Value::Null);
    assert_eq!(scene.chats()[0]["messages"][0]["content"], "write to [email]");
    fs::remove_file(&folder).unwrap();
    fs::rename(&aside, &folder).unwrap();
    wait_for_health(&scene);
    assert_eq!(recorded(&scene, "policy"), ["fault_began", "fault_ended"]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn roots_that_cannot_be_read_leave_the_last_good_ones_in_force() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    let roots = scene.host.folder().join("upstream-ca.pem");
    let good = fs::read_to_string(&roots).unwrap();
    for bad in ["not a certificate", ""] {
        fs::write(&roots, bad).unwrap();
        wait_for_shown(&scene, "upstream_roots", &["upstream-ca.pem"]);
        assert_eq!(guest.chat("with the last good roots")["exception"], Value::Null);
        fs::write(&roots, &good).unwrap();
        wait_for_health(&scene);
    }
    // Another root is in force as soon as it is there, and the one that is gone proves nothing any more.
    let stranger = enforcer_tests::Authority::new("another CA").unwrap();
    fs::write(&roots, stranger.pem()).unwrap();
    wait_until("the new roots", || scene.host.daemon_log().contains("new roots"));
    let mut fresh = scene.guest();
    wait_until("a refused certificate", || {
        fresh.chat("no")["code"] == "enforcer_upstream_certificate"
    });
    fs::remove_file(&roots).unwrap();
    wait_for_shown(&scene, "upstream_roots", &["upstream-ca.pem"]);
    guest.end();
    fresh.end();
    scene.host.stop_daemon().unwrap();
    let start = scene.cli(&["daemon"]);
    assert_ne!(start.code, Some(0), "a daemon started that can verify nobody");
    scene.finish();
}
