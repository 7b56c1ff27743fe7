// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The unchanged SDK of Anthropic on the bundle for Claude Code: allowed, masked, denied, streamed.

use enforcer_tests::command::{self, Interrupt, Output};
use enforcer_tests::provider::Options;
use enforcer_tests::{Authority, FakeUpstream, TestHost, agent_script, python};
use serde_json::{Value, json};

use crate::scene::{ADDRESS, LIMIT, bundle, expect_words, host};

const AGENT: &str = "claude-code";

struct Scene {
    host: TestHost,
    anthropic: FakeUpstream,
}

impl Scene {
    fn start() -> Self {
        let authority = Authority::new("Stand-in provider CA").unwrap();
        let name = "api.anthropic.com".to_owned();
        let options = Options { names: vec![name.clone()], ..Options::default() };
        let anthropic = FakeUpstream::start(&authority, &options).unwrap();
        let resolve = vec![(name, vec![anthropic.address()])];
        let mut host = host(&bundle(AGENT), authority.pem(), resolve);
        host.start_daemon().unwrap();
        Self { host, anthropic }
    }

    /// Runs the script as the agent, whatever comes of it.
    fn run(&self, arguments: &[&str]) -> Output {
        let (python, script) = (python().unwrap(), agent_script("message.py"));
        let words =
            ["run", "--agent", AGENT, "--", python.to_str().unwrap(), script.to_str().unwrap()];
        let mut command = self.host.enforcer(&[&words, arguments].concat()).unwrap();
        command.env("ANTHROPIC_API_KEY", "sk-ant-not-a-real-key");
        command::run(command, LIMIT, &Interrupt::default()).unwrap()
    }

    /// The messages that the provider received.
    fn messages(&self) -> Vec<Value> {
        let received = self.anthropic.log().received().into_iter();
        received.filter(|it| it.path.starts_with("/v1/messages")).map(|it| it.json()).collect()
    }

    fn finish(mut self) {
        self.host.finish().unwrap();
    }
}

fn said(output: &Output, kind: &str) -> Value {
    let lines = output.json_lines();
    let found = lines.into_iter().find(|line| line["kind"] == kind);
    found.unwrap_or_else(|| panic!("no `{kind}` in:\n{}{}", output.stdout, output.stderr))
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_anthropic_sdk_chats_with_tools_and_streams_while_the_provider_receives_masked_text() {
    let scene = Scene::start();
    for arguments in [&[] as &[&str], &["--stream"]] {
        let output = scene.run(arguments).checked().unwrap();
        let answer = said(&output, "answer")["text"].as_str().unwrap().to_owned();
        expect_words(&answer, &["ships tomorrow", "[email]", "[credit-card] was charged."]);
        assert!(!answer.contains(ADDRESS), "{answer}");
    }
    let output = scene.run(&["--tool", "--stream"]).checked().unwrap();
    assert_eq!(said(&output, "call")["input"], json!({"order": "A-1001"}));
    let received = scene.messages();
    assert_eq!(received.len(), 4);
    assert_eq!(received[0]["messages"][0]["content"], "Please write to [email].");
    let result = &received[3]["messages"][2]["content"][0];
    assert_eq!(result["content"], "Order A-1001, customer [email].");
    assert_eq!(result["tool_use_id"], received[3]["messages"][1]["content"][0]["id"]);
    assert!(!format!("{received:?}").contains(ADDRESS));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_is_denied_raises_the_exception_of_the_anthropic_sdk_once() {
    let scene = Scene::start();
    for arguments in [&["--model", "claude-3-opus-20240229"] as &[&str], &["--batch"]] {
        for more in [&[] as &[&str], &["--stream"]] {
            let output = scene.run(&[arguments, more].concat()).expect_code(1).unwrap();
            let error = said(&output, "error");
            assert_eq!(error["exception"], "anthropic.PermissionDeniedError", "{error}");
            assert_eq!(
                (&error["code"], &error["attempts"]),
                (&json!("enforcer_policy"), &json!(1))
            );
            expect_words(
                error["text"].as_str().unwrap(),
                &["permission_error", "Ask #agent-platform"],
            );
        }
    }
    assert!(scene.messages().is_empty());
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_anthropic_sdk_counts_tokens_and_lists_models() {
    let scene = Scene::start();
    let output = scene.run(&["--count"]).checked().unwrap();
    assert_eq!(said(&output, "count")["tokens"], 19);
    assert_eq!(scene.messages()[0]["messages"][0]["content"], "Please write to [email].");
    let output = scene.run(&["--list"]).checked().unwrap();
    assert_eq!(said(&output, "models")["ids"], json!(["claude-sonnet-4-5", "claude-haiku-4-5"]));
    scene.finish();
}
