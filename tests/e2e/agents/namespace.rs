// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An agent in a network namespace of its own is served there, and nothing of it is left afterwards.

use serde_json::Value;

use crate::guest::Guest;
use crate::scene::{ADDRESS, Scene, alone, guest_words, wait_until};

/// Makes namespaces as any user may, brings loopback up, and becomes the agent in them.
const INSIDE: &[&str] = &[
    "unshare",
    "--user",
    "--map-root-user",
    "--net",
    "sh",
    "-c",
    "ip link set lo up && exec \"$0\" \"$@\"",
];

fn guest_inside(scene: &Scene) -> Guest {
    let agent = guest_words();
    let mut words = INSIDE.to_vec();
    words.extend(agent.iter().map(String::as_str));
    Guest::start(scene.host.agent("support", &words).unwrap())
}

fn namespaces(scene: &Scene) -> Value {
    scene.json(&["status"])["namespaces"].clone()
}

/// Until the doors are open it is refused, which an SDK tries again.
fn chat_until_served(guest: &mut Guest) {
    wait_until("a chat from the namespace", || {
        let answer = guest.chat(&format!("write to {ADDRESS}"));
        let refused = answer["exception"] == "openai.APIConnectionError";
        assert!(refused || answer["exception"] == Value::Null, "{answer}");
        !refused
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_agent_in_a_namespace_of_its_own_is_served_there_and_again_after_a_restart() {
    // A confined root maps no user into a namespace of its own.
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::start_plain(&folder.path().join("bundle"));
    let mut guest = guest_inside(&scene);
    chat_until_served(&mut guest);
    assert_eq!(scene.chats().last().unwrap()["messages"][0]["content"], "write to [email]");
    assert_eq!(namespaces(&scene), 1);
    // Elsewhere it is refused as anywhere.
    assert_ne!(guest.connect("192.0.2.7:443")["error"], "ENETUNREACH", "the way out was looked at");
    assert_eq!(guest.datagram("192.0.2.7:443", false)["error"], "EPERM");
    assert_eq!(guest.datagram("127.0.0.1:443", true)["error"], "EPERM");

    let alone = alone();
    scene.host.kill_daemon().unwrap();
    assert_eq!(guest.connect("192.0.2.7:443")["error"], "ECONNREFUSED");
    scene.host.start_daemon().unwrap();
    drop(alone);
    chat_until_served(&mut guest);

    guest.end();
    wait_until("the end of the namespace", || namespaces(&scene) == 0);
    scene.cli(&["session", "verify"]).checked().unwrap();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_namespace_without_a_guarded_process_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(&folder.path().join("bundle"));
    let mut guest = guest_inside(&scene);
    chat_until_served(&mut guest);
    let mut words = INSIDE.to_vec();
    words.extend(["sh", "-c", "echo ready; read line; cat /proc/net/tcp /proc/net/udp"]);
    let mut command = std::process::Command::new(words[0]);
    command.args(&words[1..]);
    let mut bystander = Guest::start(command);
    assert_eq!(bystander.line(), "ready");
    // Two looks of the daemon are over when a namespace that came later is served.
    let mut second = guest_inside(&scene);
    chat_until_served(&mut second);
    assert_eq!(namespaces(&scene), 2);
    bystander.send(&Value::Null);
    let listening = bystander.rest();
    assert!(!listening.iter().any(|line| line.contains("0100007F")), "{listening:?}");
    guest.end();
    second.end();
    wait_until("the end of the namespaces", || namespaces(&scene) == 0);
    scene.finish();
}
