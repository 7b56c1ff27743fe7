// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The daemon is there and does nothing: a guarded connect is completed by the kernel as long as its queue
//! has room, waits when it has none, and reaches nobody in either case. What waited is served afterwards.

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::alarms::wait_for_health;
use crate::guest::Guest;
use crate::scene::{MODEL, Scene, expect_words};

/// More than the kernel queues for the proxy's listener.
const MORE_THAN_THE_QUEUE: u64 = 1500;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_stopped_daemon_lets_nothing_pass_and_serves_what_waited_when_it_goes_on() {
    let scene = Scene::start();
    let (mut guest, mut waiting, mut other) = (scene.guest(), scene.guest(), Guest::unguarded());
    assert_eq!(guest.chat("before")["exception"], Value::Null);
    let openai = scene.openai.address();
    let daemon = scene.host.daemon_pid().unwrap();
    kill(daemon, Signal::SIGSTOP).unwrap();
    let connections = scene.openai.log().connections();

    // The kernel completes the handshake in the daemon's name; no byte comes of it.
    waiting
        .send(&json!({"do": "chat", "model": MODEL, "text": "write to maria.lopez@example.com"}));
    let one = guest.connect("192.0.2.7:443");
    assert_eq!((&one["error"], &one["peer"]), (&Value::Null, &json!("192.0.2.7:443")));
    let many = guest.ask(&json!({
        "do": "connects", "count": MORE_THAN_THE_QUEUE, "to": openai.to_string(),
    }));
    let (through, still) = (many["through"].as_u64().unwrap(), many["waiting"].as_u64().unwrap());
    assert!(through > 0 && still > 0, "{many}");
    assert_eq!(through + still, MORE_THAN_THE_QUEUE);
    assert_eq!(scene.openai.log().connections(), connections, "something passed");
    assert_eq!(other.connect(openai)["error"], Value::Null);

    let status = scene.cli(&["status"]).expect_code(1).unwrap();
    expect_words(&status.stdout, &["NOT healthy", "the process is stopped", "SIGCONT"]);
    let status = scene.json(&["status"]);
    assert_eq!(status["is_healthy"], false);
    assert_eq!(status["health"][0]["name"], "daemon");
    assert_eq!(status["pid"].as_i64(), Some(daemon.as_raw().into()));

    kill(daemon, Signal::SIGCONT).unwrap();
    assert_eq!(waiting.next()["exception"], Value::Null);
    assert_eq!(scene.chats().last().unwrap()["messages"][0]["content"], "write to [email]");
    let ended = guest.ask(&json!({"do": "ends"}));
    let ends: u64 = ended.as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(ends, MORE_THAN_THE_QUEUE, "{ended}");
    assert_eq!(ended["bytes"], Value::Null, "{ended}");
    wait_for_health(&scene);
    for process in [guest, waiting, other] {
        process.end();
    }
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.finish();
}
