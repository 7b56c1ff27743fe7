// SPDX-License-Identifier: Apache-2.0 OR MIT
//! SIGTERM: what runs ends in order, nothing new begins, the journal is sealed.

use std::time::Instant;

use enforcer_core::model::limits;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use crate::scene::{MODEL, Scene, alone, expect_words, wait_until};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_daemon_that_has_nothing_to_finish_ends_without_waiting() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("hello")["exception"], Value::Null);
    guest.end();
    wait_until("the end of the session", || scene.alive().is_empty());
    let pid = scene.json(&["status"])["pid"].as_i64().unwrap();
    let alone = alone();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_until("the end of the daemon", || scene.host.daemon_exit().unwrap().is_some());
    drop(alone);
    let log = scene.host.daemon_log();
    assert!(!log.contains("still running at the end of the drain"), "{log}");
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_stream_in_flight_is_finished_while_new_connections_are_refused() {
    let mut scene = Scene::start();
    let (mut streaming, mut late) = (scene.guest(), scene.guest());
    wait_until("both sessions", || scene.alive().len() == 2);
    scene.openai.hold();
    streaming.send(&json!({"do": "stream", "model": MODEL, "text": "hello"}));
    assert_eq!(streaming.next()["event"], 1);
    let pid = scene.json(&["status"])["pid"].as_i64().unwrap();
    let alone = alone();
    kill(Pid::from_raw(pid.try_into().unwrap()), Signal::SIGTERM).unwrap();
    wait_until("the drain", || scene.host.daemon_log().contains("draining"));
    wait_until("a refused connect", || late.connect("192.0.2.7:443")["error"] == "ECONNREFUSED");
    assert_eq!(scene.host.daemon_exit().unwrap(), None);
    drop(alone);
    scene.openai.release();
    let answer = loop {
        let line = streaming.next();
        if let Some(text) = line["answer"].as_str() {
            break text.to_owned();
        }
    };
    expect_words(&answer, &["ships tomorrow", "[email]", "was charged."]);
    wait_until("the end of the daemon", || scene.host.daemon_exit().unwrap().is_some());
    assert_eq!(scene.host.daemon_exit().unwrap(), Some(Some(0)));
    streaming.end();
    late.end();
    let verified = scene.cli(&["session", "verify"]).checked().unwrap();
    expect_words(&verified.stdout, &["everything is as it was written"]);
    assert!(!verified.stdout.contains("not closed"), "{}", verified.stdout);
    let sessions = scene.sessions();
    let session = sessions.iter().find(|session| session["exchanges"] == 1).unwrap();
    let events = scene.events(session["id"].as_str().unwrap());
    let closed = events.iter().find(|event| event["event"] == "exchange_closed").unwrap();
    assert_eq!(closed["outcome"], "completed");
    assert_ne!(closed["response"], Value::Null);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_second_signal_ends_the_daemon_although_a_stream_never_ends() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    scene.openai.hold();
    guest.send(&json!({"do": "stream", "model": MODEL, "text": "hello"}));
    assert_eq!(guest.next()["event"], 1);
    let pid = scene.json(&["status"])["pid"].as_i64().unwrap();
    let pid = Pid::from_raw(pid.try_into().unwrap());
    kill(pid, Signal::SIGTERM).unwrap();
    wait_until("the drain", || scene.host.daemon_log().contains("draining"));
    assert_eq!(scene.host.daemon_exit().unwrap(), None);
    let asked = Instant::now();
    kill(pid, Signal::SIGINT).unwrap();
    wait_until("the end of the daemon", || scene.host.daemon_exit().unwrap().is_some());
    assert_eq!(scene.host.daemon_exit().unwrap(), Some(Some(0)));
    assert!(asked.elapsed() < limits::DRAIN_TIMEOUT / 2);
    assert_eq!(guest.next()["exception"], "cut off");
    guest.end();
    let id = scene.sessions()[0]["id"].as_str().unwrap().to_owned();
    let events = scene.events(&id);
    let closed = events.iter().find(|event| event["event"] == "exchange_closed");
    assert_eq!(closed.expect("the end of the exchange")["outcome"], "aborted");
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.finish();
}
