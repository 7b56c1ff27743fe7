// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session follow`: what is recorded is shown as it happens, and it ends with the daemon.

use std::process::Command;

use serde_json::{Value, json};

use crate::guest::Guest;
use crate::scene::{MODEL, Scene};

/// Follows with these options; the first line is that it follows.
fn follow(scene: &Scene, options: &[&str]) -> Guest {
    let words = [&["session", "follow"], options].concat();
    let enforcer = scene.host.enforcer(&words).unwrap();
    // Notes go to stderr, and the test reads one stream.
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$@\" 2>&1", "sh"]);
    shell.arg(enforcer.get_program()).args(enforcer.get_args());
    let guest = Guest::start(shell);
    assert!(guest.line().starts_with("following from here on"));
    guest
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_follower_sees_what_is_recorded_as_it_happens_and_ends_with_the_daemon() {
    let mut scene = Scene::start();
    let mut guest = scene.guest();
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let all = follow(&scene, &["--agent", "support", "--output", "json"]);
    let denied = follow(&scene, &["--denied"]);
    let others = follow(&scene, &["--agent", "nobody"]);

    scene.openai.hold();
    guest.send(&json!({"do": "stream", "model": MODEL, "text": "after"}));
    let opened: Value = serde_json::from_str(&all.line()).unwrap();
    assert_eq!(opened["event"], "exchange_opened", "nothing from before: {opened}");
    let id = opened["exchange"].as_str().unwrap();
    let why = scene.json(&["session", "why", id]);
    assert_eq!((&why["outcome"], &why["denied"]), (&json!("under_way"), &Value::Null));
    scene.openai.release();
    let closed: Value = serde_json::from_str(&all.line()).unwrap();
    assert_eq!((&closed["event"], &closed["exchange"]), (&json!("exchange_closed"), &json!(id)));
    let why = scene.json(&["session", "why", id]);
    assert_eq!((&why["outcome"], &why["status"]), (&json!("answered"), &json!(200)));

    guest.send(&json!({"do": "chat", "model": "o3", "text": "not that model"}));
    let line = denied.line();
    assert!(line.contains("  support  #") && line.contains(" DENIED "), "{line}");
    assert_eq!(serde_json::from_str::<Value>(&all.line()).unwrap()["event"], "exchange_opened");

    scene.host.stop_daemon().unwrap();
    assert_eq!(others.rest(), ["the daemon ended"], "no event of another agent");
    assert_eq!(all.rest().last().unwrap(), "the daemon ended");
    assert_eq!(denied.rest().last().unwrap(), "the daemon ended");
    let gone = scene.cli(&["session", "follow"]).expect_code(3).unwrap();
    assert!(gone.stderr.contains("no daemon runs"), "{}", gone.stderr);
    drop(guest);
    scene.finish();
}

/// Sends three datagrams over a connected socket: one record at once, and one for the others when nothing more comes.
const DATAGRAMS: &str = "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.connect(('192.0.2.7', 9999))
for _ in range(3):
    try:
        s.send(b'x')
    except OSError:
        pass
";

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_follower_misses_no_short_session_and_nothing_that_is_recorded_after_an_end() {
    let scene = Scene::start();
    let all = follow(&scene, &["--output", "json"]);
    for _ in 0..4 {
        scene.run(&["true"]).checked().unwrap();
    }
    let python = enforcer_tests::python().unwrap().display().to_string();
    scene.run(&[&python, "-c", DATAGRAMS]).checked().unwrap();
    let (mut ended, mut datagrams) = (0, 0);
    while ended < 5 || datagrams < 3 {
        let event: Value = serde_json::from_str(&all.line()).unwrap();
        match event["event"].as_str().unwrap() {
            "session_closed" => ended += 1,
            "network_refused" => datagrams += event["count"].as_u64().unwrap(),
            _ => {}
        }
    }
    assert_eq!((ended, datagrams), (5, 3));
    drop(all);
    scene.finish();
}
