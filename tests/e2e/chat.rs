// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Unchanged clients talk to the model: allowed, masked, denied, streamed.

use enforcer_tests::command::Output;
use enforcer_tests::{agent_script, python};
use serde_json::{Value, json};

use crate::scene::{ADDRESS, MODEL, Scene, expect_words};

/// As `nobody`, without any privilege.
const AS_NOBODY: [&str; 6] =
    ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--"];
const CURL: [&str; 5] = ["curl", "--silent", "--show-error", "--noproxy", "*"];

fn chat_script(scene: &Scene, arguments: &[&str]) -> Output {
    let (python, script) = (python().unwrap(), agent_script("chat.py"));
    let words = [python.to_str().unwrap(), script.to_str().unwrap()];
    scene.run(&[&words, arguments].concat())
}

fn said(output: &Output, kind: &str) -> Value {
    let lines = output.json_lines();
    let found = lines.into_iter().find(|line| line["kind"] == kind);
    found.unwrap_or_else(|| panic!("no `{kind}` in:\n{}{}", output.stdout, output.stderr))
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_allowed_chat_returns_and_the_provider_receives_masked_text() {
    let scene = Scene::start();
    let output = chat_script(&scene, &["--text", "Please write to maria.lopez@example.com."]);
    let output = output.checked().unwrap();
    let answer = said(&output, "answer")["text"].as_str().unwrap().to_owned();
    assert!(answer.contains("ships tomorrow") && !answer.contains(ADDRESS), "{answer}");
    let chats = scene.chats();
    assert_eq!(chats.len(), 1);
    assert_eq!(chats[0]["messages"][0]["content"], "Please write to [email].");
    let closed = &scene.events_of_kind("exchange_closed")[0];
    assert_eq!((&closed["outcome"], &closed["status"]), (&json!("completed"), &json!(200)));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_model_that_is_not_allowed_raises_the_exception_of_the_sdk_naming_the_rule() {
    let scene = Scene::start();
    let output = chat_script(&scene, &["--model", "o3"]).expect_code(1).unwrap();
    let error = said(&output, "error");
    assert_eq!(error["exception"], "openai.PermissionDeniedError");
    let text = error["text"].as_str().unwrap();
    expect_words(text, &["approved-models", "Ask #agent-platform"]);
    assert!(scene.chats().is_empty());
    let opened = &scene.events_of_kind("exchange_opened")[0];
    assert_eq!(opened["denied"]["rules"], json!(["approved-models"]));
    // The message names the exchange, so that a person can find it in the record.
    expect_words(text, &[opened["exchange"].as_str().unwrap()]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_first_event_of_a_stream_is_with_the_agent_before_the_provider_sends_the_next() {
    let scene = Scene::start();
    let mut guest = scene.guest();
    scene.openai.hold();
    guest.send(&json!({"do": "stream", "model": MODEL, "text": "hello"}));
    assert_eq!(guest.next()["event"], 1);
    assert!(scene.openai.log().streams().is_empty(), "the provider had sent everything");
    scene.openai.release();
    let answer = loop {
        let line = guest.next();
        if let Some(text) = line["answer"].as_str() {
            break text.to_owned();
        }
    };
    expect_words(&answer, &["ships tomorrow", "[email]", "was charged."]);
    assert!(scene.openai.log().streams()[0].finished);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn node_and_curl_trust_the_certificate_with_nothing_set() {
    let scene = Scene::start();
    let script = agent_script("chat.mjs").display().to_string();
    let output = scene.run(&["node", &script]).checked().unwrap();
    expect_words(said(&output, "answer")["text"].as_str().unwrap(), &["ships tomorrow", "[email]"]);
    let output = scene.run(&["node", &script, "o3"]).expect_code(1).unwrap();
    expect_words(said(&output, "error")["text"].as_str().unwrap(), &["approved-models"]);
    let output = scene.run(&models_by_curl()).checked().unwrap();
    expect_words(&output.stdout, &["gpt-4.1-mini"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_agent_without_any_privilege_is_served_and_guarded_alike() {
    // It gives its privileges away by itself, which one that was confined has done already.
    let policies = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(policies.path());
    let words = models_by_curl();
    let output = scene.run(&[&AS_NOBODY, words.as_slice()].concat()).checked().unwrap();
    expect_words(&output.stdout, &["gpt-4.1-mini"]);
    let (python, script) = (python().unwrap(), agent_script("chat.py"));
    let words = [python.to_str().unwrap(), script.to_str().unwrap()];
    let output = scene.run(&[AS_NOBODY.as_slice(), &words].concat()).checked().unwrap();
    expect_words(said(&output, "answer")["text"].as_str().unwrap(), &["[email]"]);
    let refused = ["curl", "--silent", "--insecure", "https://192.0.2.7/"];
    let output = scene.run(&[AS_NOBODY.as_slice(), &refused].concat());
    assert_ne!(output.code, Some(0));
    let event = &scene.events_of_kind("connection_refused")[0];
    assert_eq!(
        (&event["process"]["uid"], &event["process"]["comm"]),
        (&json!(65534), &json!("curl"))
    );
    scene.finish();
}

fn models_by_curl() -> Vec<&'static str> {
    let url = "https://api.openai.com/v1/models";
    let key = ["--header", "Authorization: Bearer sk-not-a-real-key", "--fail"];
    [CURL.as_slice(), &key, &[url]].concat()
}
