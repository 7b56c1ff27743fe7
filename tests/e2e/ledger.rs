// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every refused attempt is told: what it was, whose, where to, how often.

use serde_json::{Value, json};

use crate::scene::{Scene, expect_words, wait_until};

/// Attempts of the only session, by technique: records and what they count.
fn counted(scene: &Scene, technique: &str) -> (usize, u64) {
    let events = scene.events_of_kind("network_refused").into_iter();
    let found: Vec<Value> = events.filter(|event| event["technique"] == technique).collect();
    (found.len(), found.iter().map(|event| event["count"].as_u64().unwrap()).sum())
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn attempts_are_told_by_technique_with_who_and_how_often() {
    // A confined agent is refused such sockets before the programs see them.
    let policies = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(policies.path());
    let mut guest = scene.guest();
    let socket = |kind: &str, protocol: u32| json!({"do": "repeat", "count": 50, "family": "AF_INET", "kind": kind, "protocol": protocol});
    guest.ask(&socket("SOCK_RAW", 253));
    guest.ask(&socket("SOCK_STREAM", 262));
    guest.datagram("192.0.2.7:443", false);
    guest.datagram("192.0.2.7:9", false);
    for address in 1..40 {
        guest.datagram(format!("192.0.2.{address}:443"), true);
    }
    let tried = [
        ("raw_socket", 2, 50),
        ("mptcp", 2, 50),
        ("quic", 1, 1),
        ("datagram", 1, 1),
        ("connected_datagram", 39, 39),
    ];
    for (technique, records, count) in tried {
        // A window may end in between, which makes one more record.
        wait_until(technique, || counted(&scene, technique).1 == count);
        assert!(counted(&scene, technique).0 <= records + 1, "{technique}");
    }
    let events = scene.events_of_kind("network_refused");
    let raw = events.iter().find(|event| event["technique"] == "raw_socket").unwrap();
    let process = &raw["process"];
    assert_eq!(process["uid"], 0);
    let exe = std::fs::canonicalize(enforcer_tests::python().unwrap()).unwrap();
    assert_eq!(process["details"]["exe"].as_str(), exe.to_str(), "{raw}");
    let details = &process["details"];
    assert!(details["cgroup_path"].as_str().unwrap().contains("/enforcer/"), "{raw}");
    assert!(details["started_ns"].is_u64() && details["ancestors"][0].is_u64(), "{raw}");
    let repeats = events.iter().find(|event| event["count"].as_u64() > Some(1)).unwrap();
    assert!(repeats["first"].as_u64() <= repeats["last"].as_u64(), "{repeats}");

    let status = scene.json(&["status"]);
    assert_eq!(status["attempts"]["raw_socket"], 50);
    let listed = &scene.sessions()[0];
    assert_eq!(listed["attempts"], 141, "{listed}");
    assert_eq!(listed["network_refused"], 141, "{listed}");
    let shown = scene.cli(&["session", "show", listed["id"].as_str().unwrap()]).stdout;
    expect_words(&shown, &["BYPASS refused: raw socket", "QUIC", "times from"]);
    expect_words(&shown, &["BYPASS refused: datagram over a connected UDP socket"]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_process_that_asks_the_admin_api_is_told() {
    let scene = Scene::start();
    let config = scene.host.config();
    let program = enforcer_tests::built("enforcer").unwrap();
    let words = [program.to_str().unwrap(), "status", "--config", config.to_str().unwrap()];
    assert_ne!(scene.run(&words).code, Some(0));
    wait_until("the attempt in the record", || counted(&scene, "admin_api").1 == 1);
    let events = scene.events_of_kind("network_refused");
    let told = events.iter().find(|event| event["technique"] == "admin_api").unwrap();
    let process = &told["process"];
    assert_eq!(process["details"]["exe"].as_str(), program.to_str(), "{told}");
    scene.finish();
}
