// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon is killed: agents have no egress until it is back, and go on then.

use std::collections::BTreeSet;
use std::net::{TcpListener, UdpSocket};

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::scene::{MODEL, Scene, alone, wait_until};

/// A refusal that somebody has to wait for is a hang.
const AT_ONCE_MS: u64 = 1000;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_killed_daemon_leaves_agents_without_egress_and_others_untouched() {
    let mut scene = Scene::start();
    let (mut guest, mut other) = (scene.guest(), Guest::unguarded());
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let datagrams = listener.local_addr().unwrap();
    let openai = scene.openai.address();
    assert_eq!(guest.chat("hello")["exception"], Value::Null);
    let session = scene.alive();
    assert_eq!(session.len(), 1);

    let alone = alone();
    scene.host.kill_daemon().unwrap();
    let connections = scene.openai.log().connections();
    for to in [openai.to_string(), "192.0.2.7:443".to_owned(), "[2001:db8::7]:443".to_owned()] {
        let refused = guest.connect(&to);
        assert_eq!(refused["error"], "ECONNREFUSED", "{to}");
        assert!(refused["took_ms"].as_u64().unwrap() < AT_ONCE_MS, "{to}: {refused}");
    }
    for is_connected in [false, true] {
        assert_eq!(guest.datagram(datagrams, is_connected)["error"], "EPERM");
    }
    assert!(listener.recv(&mut [0; 16]).is_err(), "a datagram of the agent arrived");
    assert_ne!(guest.resolve("api.openai.com")["error"], Value::Null);
    assert_eq!(guest.chat("hello")["exception"], "openai.APIConnectionError");
    assert_eq!(scene.openai.log().connections(), connections);
    let status = scene.cli(&["status", "--output", "json"]).expect_code(3).unwrap();
    let told: Value = serde_json::from_str(&status.stdout).unwrap();
    assert_eq!(
        (&told["is_healthy"], &told["health"][0]["name"]),
        (&json!(false), &json!("daemon"))
    );
    assert_eq!(other.connect(openai)["error"], Value::Null);
    assert_eq!(other.datagram(datagrams, true)["error"], Value::Null);
    assert_eq!(listener.recv(&mut [0; 16]).unwrap(), 5);

    scene.host.start_daemon().unwrap();
    drop(alone);
    assert_eq!(scene.alive(), session);
    assert_eq!(guest.chat("write to maria.lopez@example.com")["exception"], Value::Null);
    assert_eq!(scene.chats().last().unwrap()["messages"][0]["content"], "write to [email]");
    guest.end();
    wait_until("the end of the session", || scene.alive().is_empty());
    let sessions = scene.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!((&sessions[0]["id"], &sessions[0]["exchanges"]), (&json!(session[0]), &json!(2)));
    assert_ne!(sessions[0]["ended"], Value::Null);
    other.end();
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_session_that_ends_while_no_daemon_runs_is_closed_at_the_next_start() {
    let mut scene = Scene::start();
    let guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    guest.end();
    scene.host.start_daemon().unwrap();
    drop(alone);
    assert!(scene.alive().is_empty());
    assert_ne!(scene.sessions()[0]["ended"], Value::Null);
    let closed = scene.events_of_kind("session_closed");
    assert_eq!(closed.len(), 1);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_session_whose_pins_are_gone_is_closed_at_the_next_start() {
    let mut scene = Scene::start();
    let guest = scene.guest();
    wait_until("the session", || scene.alive().len() == 1);
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    guest.end();
    // As after the host was restarted: no pin, no cgroup, only the journal.
    scene.cli(&["uninstall"]).checked().unwrap();
    scene.host.start_daemon().unwrap();
    drop(alone);
    wait_until("the end of the session", || scene.sessions()[0]["ended"] != Value::Null);
    assert_eq!(scene.events_of_kind("session_closed").len(), 1);
    scene.finish();
}

/// Ports of the range that the daemon uses on which somebody listens.
fn taken_ports() -> BTreeSet<u16> {
    enforcer_user::intake::PORTS
        .filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_err())
        .collect()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_port_that_somebody_took_meanwhile_does_not_keep_the_daemon_down() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("hello")["exception"], Value::Null);
    let alone = alone();
    let before = taken_ports();
    scene.host.kill_daemon().unwrap();
    let own: Vec<u16> = before.difference(&taken_ports()).copied().collect();
    let stranger = TcpListener::bind(("127.0.0.1", own[0])).unwrap();
    stranger.set_nonblocking(true).unwrap();
    scene.host.start_daemon().unwrap();
    drop(alone);
    assert_eq!(guest.chat("write to maria.lopez@example.com")["exception"], Value::Null);
    assert_eq!(scene.chats().last().unwrap()["messages"][0]["content"], "write to [email]");
    assert!(stranger.accept().is_err(), "an agent was sent to a stranger");
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_stream_that_a_killed_daemon_cuts_is_an_error_and_the_record_verifies() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    scene.openai.hold();
    guest.send(&json!({"do": "stream", "model": MODEL, "text": "hello"}));
    assert_eq!(guest.next()["event"], 1);
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    let answer = guest.next();
    assert_eq!(answer["exception"], "cut off", "{answer}");
    scene.openai.release();
    scene.host.start_daemon().unwrap();
    drop(alone);
    assert_eq!(guest.chat("hello")["exception"], Value::Null);
    guest.end();
    scene.cli(&["session", "verify"]).checked().unwrap();
    // What the provider had is in the record, and its number is not given again.
    let opened = scene.events_of_kind("exchange_opened");
    let ids: Vec<_> = opened.iter().map(|event| event["exchange"].as_str().unwrap()).collect();
    assert!(matches!(ids[..], [a, b] if a.ends_with("-1") && b.ends_with("-2")), "{ids:?}");
    let host = scene.json(&["session", "show", "0000000000000000"]);
    assert!(host.as_array().unwrap().iter().any(|event| event["event"] == "journal_recovered"));
    scene.finish();
}
