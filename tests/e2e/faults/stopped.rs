// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon is there and does nothing: a guarded connect is completed by the kernel as long as its queue
//! has room, waits when it has none, and reaches nobody in either case. What waited is served afterwards.

use enforcer_core::model::limits;
use serde_json::{Value, json};

use crate::faults::alarms::wait_for_health;
use crate::guest::Guest;
use crate::scene::{MODEL, Scene, expect_words};

/// Connects that find no place in the queue.
const MORE_THAN_THE_QUEUE: u64 = 200;

/// Places in the queue of the proxy's listener: as many as it asks for, if the host gives them.
fn queue() -> u64 {
    let most = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap();
    most.trim().parse::<u64>().unwrap().min(limits::ACCEPT_QUEUE_MAX.into())
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_stopped_daemon_lets_nothing_pass_and_serves_what_waited_when_it_goes_on() {
    let scene = Scene::start();
    let (mut guest, mut waiting, mut other) = (scene.guest(), scene.guest(), Guest::unguarded());
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let openai = scene.openai.address();
    let daemon = scene.pause_daemon();
    let connections = scene.openai.log().connections();

    // The kernel completes the handshake in the daemon's name; no byte comes of it.
    let text = "write to maria.lopez@example.com";
    waiting.send(&json!({"do": "chat", "model": MODEL, "text": text, "seconds": 120}));
    let one = guest.connect("192.0.2.7:443");
    assert_eq!((&one["error"], &one["peer"]), (&Value::Null, &json!("192.0.2.7:443")));
    let count = queue() + MORE_THAN_THE_QUEUE;
    let to = openai.to_string();
    let many = guest.ask(&json!({"do": "connects", "count": count, "to": to}));
    let (through, still) = (many["through"].as_u64().unwrap(), many["waiting"].as_u64().unwrap());
    assert!(through > 0 && still > 0, "{many}");
    assert_eq!(through + still, count);
    assert_eq!(scene.openai.log().connections(), connections, "something passed");
    assert_eq!(other.connect(openai)["error"], Value::Null);

    let status = scene.cli(&["status"]).expect_code(1).unwrap();
    expect_words(&status.stdout, &["NOT healthy", "the process is stopped", "SIGCONT"]);
    let status = scene.json(&["status"]);
    assert_eq!(status["is_healthy"], false);
    assert_eq!(status["health"][0]["name"], "daemon");
    assert_eq!(status["pid"].as_i64(), Some(daemon.as_raw().into()));
    let connections = scene.openai.log().connections();

    scene.resume_daemon();
    assert_eq!(waiting.next()["exception"], Value::Null);
    assert_eq!(scene.chats().last().unwrap()["messages"][0]["content"], "write to [email]");
    let ended = guest.ask(&json!({"do": "ends"}));
    let ends: u64 = ended.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(ends, count, "{ended}");
    assert_eq!(ended["bytes"], Value::Null, "{ended}");
    let reached = scene.openai.log().connections() - connections;
    assert!(reached <= 1, "only the chat reached the provider: {reached}");
    wait_for_health(&scene);
    for process in [guest, waiting, other] {
        process.end();
    }
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.finish();
}
