// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What does not go through from an agent, and goes through beside it.

use std::net::UdpSocket;

use enforcer_tests::provider::Options;
use enforcer_tests::{FakeUpstream, TestHost};
use serde_json::{Value, json};

use crate::guest::Guest;
use crate::scene::{Scene, alone, bundle, expect_words, wait_until};

const OTHER_HOST: &str = "other.example";

fn raw() -> Value {
    json!({"do": "socket", "family": "AF_INET", "kind": "SOCK_RAW", "protocol": 253})
}

fn curl(host: &TestHost, agent: Option<&str>, words: &[&str]) -> Option<i32> {
    let all = ["curl", "--noproxy", "*", "--silent", "--insecure", "--fail", "--max-time", "30"];
    let key = ["--header", "Authorization: Bearer sk-x"];
    let all = [all.as_slice(), &key, words].concat();
    let output = match agent {
        Some(agent) => host.run(agent, &all),
        None => host.unguarded(&all),
    };
    output.unwrap().code
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn another_host_by_name_and_by_address_is_refused_to_an_agent_only() {
    let scene = Scene::start();
    let names = vec![OTHER_HOST.to_owned()];
    let options = Options { names, ..Options::default() };
    let other = FakeUpstream::start(&scene.authority, &options).unwrap();
    let connect_to = format!("{OTHER_HOST}:443:{}", other.address());
    let by_name = format!("https://{OTHER_HOST}/v1/models");
    let by_name = ["--connect-to", &connect_to, &by_name];
    let by_address = format!("https://{}/v1/models", scene.openai.address());
    for words in [by_name.as_slice(), &[by_address.as_str()]] {
        assert_eq!(curl(&scene.host, None, words), Some(0), "{words:?}");
        let received = (scene.openai.log().connections(), other.log().connections());
        let code = curl(&scene.host, Some("support"), words);
        // 35: the TLS handshake was refused.
        assert_eq!(code, Some(35), "{words:?}");
        let now = (scene.openai.log().connections(), other.log().connections());
        assert_eq!(now, received, "{words:?}");
    }
    let sessions = scene.sessions();
    for (session, reason) in sessions.iter().zip(["not_an_endpoint", "sni_missing"]) {
        let events = scene.events(session["id"].as_str().unwrap());
        let refused = events.iter().find(|event| event["event"] == "connection_refused").unwrap();
        assert_eq!(refused["denied"]["reason"], reason);
        assert_eq!(refused["process"]["comm"], "curl");
    }
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn names_datagrams_and_raw_sockets_are_refused_and_written_down() {
    let scene = Scene::start();
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let to = listener.local_addr().unwrap();
    let mut guest = scene.guest();
    for is_connected in [false, true] {
        assert_eq!(guest.datagram(to, is_connected)["error"], "EPERM", "connected: {is_connected}");
        assert_eq!(guest.datagram("192.0.2.7:443", is_connected)["error"], "EPERM");
    }
    assert!(listener.recv(&mut [0; 16]).is_err(), "a datagram arrived");
    // Refused for want of a capability, before a program of ours is asked.
    assert_eq!(guest.ask(&raw())["error"], "EPERM");
    let udp_lite =
        json!({"do": "socket", "family": "AF_INET", "kind": "SOCK_DGRAM", "protocol": 136});
    assert_eq!(guest.ask(&udp_lite)["error"], "EPROTONOSUPPORT");
    assert_ne!(guest.resolve(OTHER_HOST)["error"], Value::Null);
    assert_eq!(guest.resolve("api.openai.com")["addresses"], json!(["127.0.0.1"]));
    guest.end();
    wait_until("the kernel's events in the record", || {
        let network = scene.events_of_kind("network_refused");
        let hooks: Vec<&str> = network.iter().filter_map(|event| event["hook"].as_str()).collect();
        hooks.contains(&"sock_create")
            && hooks.iter().filter(|hook| **hook != "sock_create").count() >= 4
    });
    let refused = scene.events_of_kind("network_refused");
    let places: Vec<&str> =
        refused.iter().filter_map(|event| event["destination"].as_str()).collect();
    assert!(
        places.contains(&to.to_string().as_str()) && places.contains(&"192.0.2.7:443"),
        "{places:?}"
    );
    assert!(refused.iter().all(|event| event["process"]["comm"] == "python"), "{refused:?}");
    let names = scene.events_of_kind("resolve_refused");
    assert_eq!(names[0]["name"], OTHER_HOST);
    assert_eq!(names[0]["process"]["comm"], "python");
    let shown = scene.cli(&["session", "show", scene.sessions()[0]["id"].as_str().unwrap()]);
    expect_words(&shown.stdout, &["192.0.2.7:443", OTHER_HOST, "UDP-Lite socket"]);
    scene.finish();
}

/// What an ordinary process sees of the network.
fn view(listener: &UdpSocket, openai: &FakeUpstream) -> Vec<Value> {
    let mut process = Guest::unguarded();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut seen = vec![
        process.connect(openai.address()),
        process.connect("127.0.0.44:9"),
        process.connect("255.255.255.255:443"),
        process.connect("[::1]:9"),
        process.connect(format!("0.0.0.0:{}", closed.port())),
        process.datagram(listener.local_addr().unwrap(), false),
        process.datagram(listener.local_addr().unwrap(), true),
        process.datagram("255.255.255.255:443", false),
        process.ask(&raw()),
        process.resolve("localhost"),
        process.resolve("name.invalid"),
    ];
    process.end();
    for one in &mut seen {
        one.as_object_mut().unwrap().remove("took_ms");
    }
    seen
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ordinary_process_sees_the_same_network_with_and_without_the_daemon() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    let without = view(&listener, &scene.openai);
    assert_eq!(without[0]["peer"], scene.openai.address().to_string());
    assert_eq!(without[1]["error"], "ECONNREFUSED");
    scene.start_daemon();
    let guest = scene.guest();
    assert_eq!(view(&listener, &scene.openai), without);
    guest.end();
    let alone = alone();
    scene.host.kill_daemon().unwrap();
    assert_eq!(view(&listener, &scene.openai), without);
    drop(alone);
    scene.finish();
}
