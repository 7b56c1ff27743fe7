// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the kernel keeps for us is full, or taken away behind the daemon's back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use enforcer_common::{ABI_VERSION, capacity, map, program};
use enforcer_tests::command::{self, Interrupt};
use nix::mount::{MntFlags, umount2};
use serde_json::{Value, json};

use crate::faults::alarms::{
    HOST_SESSION, alarms, recorded, wait_for, wait_for_health, wait_for_shown,
};
use crate::scene::{LIMIT, Scene, expect_words, wait_until};

fn pins(scene: &Scene, kind: &str) -> PathBuf {
    scene.host.bpffs().join(format!("v{ABI_VERSION}")).join(kind)
}

/// Does something to a pinned object; how many entries it was done to.
fn do_to(deed: &str, pin: &Path, count: u32) -> u32 {
    let script = enforcer_tests::repository().join("tests/fixtures/kernel_objects.py");
    let mut command = Command::new(enforcer_tests::python().unwrap());
    command.arg(script).arg(deed).arg(pin).arg(count.to_string());
    let output = command::run(command, LIMIT, &Interrupt::default()).unwrap().checked().unwrap();
    output.stdout.trim().parse().unwrap_or(0)
}

fn raw() -> Value {
    json!({"do": "socket", "family": "AF_INET", "kind": "SOCK_RAW", "protocol": 253})
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_full_event_ring_changes_no_verdict_and_what_is_lost_is_counted() {
    // A confined agent is refused such sockets before the programs see them.
    let policies = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(policies.path());
    let mut guest = scene.guest();
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let tried = 4 * u64::from(capacity::EVENTS_BYTES) / 88 / 3;
    scene.pause_daemon();
    let mut ask = raw();
    ask["do"] = json!("repeat");
    ask["count"] = json!(tried);
    let refused = guest.ask(&ask);
    scene.resume_daemon();
    let errors = refused.as_object().unwrap();
    assert_eq!(errors.len(), 1, "every attempt has the same verdict: {refused}");
    assert!(!errors.contains_key("None"), "{refused}");
    wait_for(&scene, "events_lost");
    let lost = |scene: &Scene| {
        let events = scene.events(HOST_SESSION).into_iter();
        let lost = events.filter(|event| event["event"] == "kernel_events_lost");
        lost.map(|event| event["count"].as_u64().unwrap()).collect::<Vec<_>>()
    };
    wait_until("all attempts in the record", || {
        let seen = scene.events_of_kind("network_refused");
        let seen: u64 = seen.iter().map(|event| event["count"].as_u64().unwrap()).sum();
        seen + lost(&scene).iter().sum::<u64>() == tried
    });
    assert_eq!(lost(&scene).len(), 1, "one record");
    assert!(scene.events_of_kind("network_refused").len() < 10, "repeats are one record");
    wait_for_health(&scene);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_reader_of_events_that_fails_is_told_and_reads_on() {
    // A confined agent is refused such sockets before the programs see them.
    let policies = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(policies.path());
    let mut guest = scene.guest();
    assert_eq!(do_to("garble", &pins(&scene, "maps").join(map::EVENTS), 0), 1);
    wait_for_shown(&scene, "kernel_events", &["8 bytes instead of"]);
    assert_eq!(guest.chat("while it is told")["exception"], Value::Null);
    let seen = || {
        let events = scene.events_of_kind("network_refused").into_iter();
        events.map(|event| event["count"].as_u64().unwrap()).sum::<u64>()
    };
    for tried in 1..=3 {
        assert_ne!(guest.ask(&raw())["error"], Value::Null);
        wait_until("the refusal in the record", || seen() == tried);
    }
    wait_for_health(&scene);
    assert_eq!(recorded(&scene, "kernel_events"), ["fault_began", "fault_ended"]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_evicted_origin_is_refused_and_never_guessed() {
    let scene = Scene::start();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let origins = pins(&scene, "maps").join(map::ORIGINS);
    scene.pause_daemon();
    let connections = scene.openai.log().connections();
    let to = scene.openai.address().to_string();
    let one = guest.ask(&json!({"do": "connects", "count": 1, "to": to}));
    assert_eq!(one["through"], 1, "{one}");
    do_to("fill", &origins, 2 * capacity::ORIGINS);
    do_to("evict", &origins, 0);
    scene.resume_daemon();
    let ended = guest.ask(&json!({"do": "ends"}));
    assert_eq!(ended["bytes"], Value::Null, "{ended}");
    assert_eq!(ended.as_object().unwrap().len(), 1, "{ended}");
    let strangers = |event: &Value| event["technique"] == "unknown_peer";
    wait_until("the refusal", || scene.events(HOST_SESSION).iter().any(strangers));
    wait_for_shown(&scene, "origins", &["evicted"]);
    assert_eq!(scene.openai.log().connections(), connections, "something passed");
    do_to("empty", &origins, 2 * capacity::ORIGINS);
    wait_for_health(&scene);
    assert_eq!(guest.chat("after")["exception"], Value::Null);
    assert_eq!(recorded(&scene, "origins"), ["fault_began", "fault_ended"]);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_room_for_another_session_run_says_so_and_starts_nothing() {
    let scene = Scene::start();
    let mut guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let guarded = pins(&scene, "maps").join(map::GUARDED);
    let filled = do_to("fill", &guarded, 2 * capacity::GUARDED);
    assert_eq!(filled, capacity::GUARDED - 1);
    let run = scene.run(&["true"]);
    assert_eq!(run.code, Some(3), "{}", run.stderr);
    expect_words(&run.stderr, &["no room for another session", "hint:"]);
    wait_for_shown(&scene, "sessions", &["no room for another session"]);
    assert_eq!(scene.alive().len(), 1);
    assert_eq!(guest.chat("those that run go on")["exception"], Value::Null);
    do_to("empty", &guarded, 2 * capacity::GUARDED);
    wait_for_health(&scene);
    scene.run(&["true"]).checked().unwrap();
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_room_for_its_label_a_guarded_child_is_refused_everything() {
    let scene = Scene::start();
    let mut guest = scene.guest();
    let to = scene.openai.address().to_string();
    let child = json!({"do": "child", "how": "fork", "to": to});
    assert_eq!(guest.ask(&child)["error"], Value::Null);
    let processes = pins(&scene, "maps").join(map::PROCESSES);
    do_to("fill", &processes, 2 * capacity::PROCESSES);
    let connections = scene.openai.log().connections();
    // In its session's cgroup it is still known; only one that left it needs the label.
    guest.ask(&child);
    assert_eq!(scene.openai.log().connections(), connections, "something passed");
    wait_for_shown(&scene, "labels", &["65536"]);
    do_to("empty", &processes, 2 * capacity::PROCESSES);
    wait_for_health(&scene);
    assert_eq!(guest.ask(&child)["error"], Value::Null);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_is_unpinned_or_detached_is_put_back_and_told() {
    let scene = Scene::start();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let connect4 = pins(&scene, "links").join(program::CONNECT4);
    let origins = pins(&scene, "maps").join(map::ORIGINS);
    fs::remove_file(&connect4).unwrap();
    fs::remove_file(&origins).unwrap();
    // Without its pin the program is still in force: the daemon holds it.
    assert_eq!(guest.connect("192.0.2.7:443")["peer"], "192.0.2.7:443");
    wait_until("the pins", || connect4.exists() && origins.exists());
    let alarm = wait_for(&scene, "programs");
    expect_words(alarm["detail"].as_str().unwrap(), &["connect4"]);

    do_to("detach", &connect4, 0);
    wait_until("the program again", || {
        let status = scene.json(&["status"]);
        let mut programs = status["programs"].as_array().unwrap().iter();
        programs.all(|program| program["is_attached"] == true)
    });
    let alarm = wait_for(&scene, "programs");
    expect_words(alarm["detail"].as_str().unwrap(), &["put back", "connect4", "detached"]);
    let connections = scene.openai.log().connections();
    let datagram = guest.datagram("192.0.2.7:443", true);
    assert_eq!(datagram["error"], "EPERM");
    assert_eq!(guest.chat("write to maria.lopez@example.com")["exception"], Value::Null);
    assert_eq!(scene.chats().last().unwrap()["messages"][0]["content"], "write to [email]");
    assert!(scene.openai.log().connections() >= connections);

    umount2(&scene.host.bpffs(), MntFlags::MNT_DETACH).unwrap();
    assert_eq!(guest.connect("192.0.2.7:443")["peer"], "192.0.2.7:443");
    wait_until("all pins", || connect4.exists() && origins.exists());
    wait_for_health(&scene);
    assert_eq!(guest.chat("after")["exception"], Value::Null);
    let faults = recorded(&scene, "programs");
    assert!(faults.len() >= 2 && faults.last().unwrap() == "fault_ended", "{faults:?}");
    expect_words(&scene.host.daemon_log(), &["put back"]);
    guest.end();
    // What was pinned anew serves the next daemon, and uninstalling finds it.
    assert_eq!(alarms(&scene), [] as [Value; 0]);
    scene.finish();
}
