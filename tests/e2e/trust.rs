// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Certificates and names that are not as they should be: refused, told, written down.

use std::fs;

use enforcer_tests::provider::Options;
use enforcer_tests::{Authority, FakeUpstream};
use serde_json::{Value, json};

use crate::scene::{Scene, bundle, expect_words, host, wait_until};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_client_that_does_not_trust_the_authority_is_one_clear_event() {
    let scene = Scene::start();
    let other = Authority::new("Somebody else").unwrap();
    let file = scene.host.folder().join("other.pem");
    fs::write(&file, other.pem()).unwrap();
    let url = "https://api.openai.com/v1/models";
    let output =
        scene.run(&["curl", "--silent", "--show-error", "--cacert", file.to_str().unwrap(), url]);
    assert_eq!(output.code, Some(60), "{}", output.stderr);
    let events = scene.events_of_kind("connection_refused");
    assert_eq!(events.len(), 1, "{events:?}");
    let event = &events[0];
    assert_eq!(event["denied"]["reason"], "ca_untrusted");
    assert_eq!(event["server_name"], "api.openai.com");
    assert_eq!(event["process"]["comm"], "curl");
    let id = scene.sessions()[0]["id"].as_str().unwrap().to_owned();
    expect_words(
        &scene.cli(&["session", "show", &id]).stdout,
        &["curl", "api.openai.com", "does not trust the certificate authority", "ca_untrusted"],
    );
    scene.finish();
}

/// One chat towards a provider that cannot be reached rightly; returns what the SDK raised.
fn chat(scene: &Scene, reason: &str) {
    let mut guest = scene.guest();
    let answer = guest.chat("hello");
    guest.end();
    assert_eq!(
        (&answer["status"], &answer["exception"]),
        (&json!(502), &json!("openai.InternalServerError")),
        "{answer}"
    );
    assert_eq!(answer["code"], format!("enforcer_{reason}"));
    let closed = &scene.events_of_kind("exchange_closed")[0];
    assert_eq!(
        (&closed["outcome"]["denied"]["reason"], &closed["status"]),
        (&json!(reason), &json!(502))
    );
    assert_ne!(closed["detail"], Value::Null, "the operator needs to know why");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_wrong_certificate_of_the_provider_is_502_in_its_shape_and_recorded() {
    // Signed by somebody whom nobody trusts.
    let mut scene = Scene::set(&bundle("openai-agents"));
    let other = Authority::new("Somebody else").unwrap();
    scene.openai = FakeUpstream::start(&other, &Options::default()).unwrap();
    scene.host = host(
        &bundle("openai-agents"),
        scene.authority.pem(),
        vec![("api.openai.com".to_owned(), vec![scene.openai.address()])],
    );
    scene.start_daemon();
    chat(&scene, "upstream_certificate");
    assert!(scene.openai.log().received().is_empty());
    scene.finish();
    // Signed rightly for another name.
    let mut scene = Scene::set(&bundle("openai-agents"));
    let names = vec!["api.example.com".to_owned()];
    let options = Options { names, ..Options::default() };
    scene.openai = FakeUpstream::start(&scene.authority, &options).unwrap();
    scene.host = host(
        &bundle("openai-agents"),
        scene.authority.pem(),
        vec![("api.openai.com".to_owned(), vec![scene.openai.address()])],
    );
    scene.start_daemon();
    chat(&scene, "upstream_certificate");
    assert!(scene.openai.log().received().is_empty());
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_provider_that_is_not_there_is_502_in_its_shape_and_recorded() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    scene.host = host(
        &bundle("openai-agents"),
        scene.authority.pem(),
        vec![("api.openai.com".to_owned(), vec![closed])],
    );
    scene.start_daemon();
    chat(&scene, "upstream_unreachable");
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_name_of_the_provider_that_does_not_resolve_is_502_in_its_shape_and_recorded() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    scene.host = host(&bundle("openai-agents"), scene.authority.pem(), Vec::new());
    scene.start_daemon();
    // The agent cannot resolve it either, so it dials an address and names the host.
    let words = [
        "curl",
        "--silent",
        "--show-error",
        "--connect-to",
        "api.openai.com:443:192.0.2.7:443",
        "--header",
        "Authorization: Bearer sk-x",
        "--write-out",
        "%{http_code}",
        "https://api.openai.com/v1/models",
    ];
    let output = scene.run(&words).checked().unwrap();
    expect_words(&output.stdout, &["upstream_name", "\"error\"", "502"]);
    let closed = &scene.events_of_kind("exchange_closed")[0];
    assert_eq!(closed["outcome"]["denied"]["reason"], "upstream_name");
    wait_until("the end of the session", || scene.alive().is_empty());
    scene.finish();
}
