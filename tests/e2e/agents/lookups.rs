// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Programs that look up a name with several addresses and behave well: nothing that they do is an attempt.

use std::fs;
use std::path::Path;

use enforcer_tests::agent_script;
use serde_json::json;

use crate::scene::{Scene, host};

const HOST: &str = "api.openai.com";
const PATH: &str = "/v1/models";
const KEY: &str = "Authorization: Bearer sk-not-a-real-key";

/// A bundle by which the agent may do anything at the provider.
fn permissive(folder: &Path) {
    let inventory = "version = 1\n[agents.support]\n\
                     [endpoints.openai]\nhosts = [\"api.openai.com\"]\nprotocol = \"openai\"\n";
    fs::write(folder.join("policy.toml"), inventory).unwrap();
    let rule = "@id(\"all\") permit (principal, action, resource);\n";
    fs::write(folder.join("all.cedar"), rule).unwrap();
}

/// The provider's name has three IPv4 and two IPv6 addresses; only at the first one somebody answers.
fn scene(policies: &Path) -> Scene {
    permissive(policies);
    let mut scene = Scene::set(policies);
    let port = scene.openai.address().port();
    let others = ["192.0.2.7", "192.0.2.8", "[2001:db8::7]", "[2001:db8::8]"];
    let others = others.map(|address| format!("{address}:{port}").parse().unwrap());
    let all = [&[scene.openai.address()], &others[..]].concat();
    scene.host = host(policies, scene.authority.pem(), vec![(HOST.to_owned(), all)]);
    scene.start_daemon();
    scene
}

/// Runs a program as the agent, and expects one request of it and nothing that was refused.
fn behaves_well(words: &[&str]) {
    let policies = tempfile::tempdir().unwrap();
    let scene = scene(policies.path());
    let output = scene.run(words);
    assert_eq!(output.code, Some(0), "{words:?}: {}{}", output.stdout, output.stderr);
    let received = scene.openai.log().received();
    assert_eq!(received.len(), 1, "{words:?}");
    assert_eq!(received[0].path, PATH);

    let sessions = scene.sessions();
    let [session] = sessions.as_slice() else { panic!("{sessions:?}") };
    for count in ["attempts", "network_refused", "connections_refused", "denied"] {
        assert_eq!(session[count], 0, "{words:?}: {session}");
    }
    let events = scene.events(session["id"].as_str().unwrap());
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert!(!kinds.iter().any(|kind| kind.contains("refused")), "{words:?}: {events:?}");
    assert!(kinds.contains(&"exchange_closed"), "{words:?}: {kinds:?}");
    assert_eq!(scene.json(&["status"])["attempts"], json!({}), "{words:?}");
    scene.finish();
}

fn url() -> String {
    format!("https://{HOST}{PATH}")
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_curl_does_to_look_up_a_name_is_no_attempt() {
    let words = ["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--header", KEY];
    behaves_well(&[&words[..], &[&url()]].concat());
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_wget_does_to_look_up_a_name_is_no_attempt() {
    // Where it is built with GnuTLS it reads no variable that names the CA.
    let script = "exec wget --no-proxy --quiet --output-document=- \
                  --ca-certificate=\"$SSL_CERT_FILE\" --header=\"$1\" \"$0\"";
    behaves_well(&["sh", "-c", script, &url(), KEY]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_python_does_to_look_up_a_name_is_no_attempt() {
    let python = enforcer_tests::python().unwrap();
    behaves_well(&[
        python.to_str().unwrap(),
        agent_script("lookup.py").to_str().unwrap(),
        HOST,
        PATH,
    ]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_node_does_to_look_up_a_name_is_no_attempt() {
    behaves_well(&["node", agent_script("lookup.mjs").to_str().unwrap(), HOST, PATH]);
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_java_does_to_look_up_a_name_is_no_attempt() {
    behaves_well(&["java", agent_script("Lookup.java").to_str().unwrap(), HOST, PATH]);
}
