// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Unchanged clients that speak the Responses API, which the OpenAI SDKs do by default: the `openai` package and an
//! agent of the Agents SDK with nothing set.

use enforcer_tests::command::Output;
use enforcer_tests::{agent_script, python};
use serde_json::{Value, json};

use crate::scene::{ADDRESS, Scene, expect_words};

fn script(scene: &Scene, name: &str, arguments: &[&str]) -> Output {
    let (python, script) = (python().unwrap(), agent_script(name));
    let words = [python.to_str().unwrap(), script.to_str().unwrap()];
    scene.run(&[&words, arguments].concat())
}

fn said(output: &Output, kind: &str) -> Value {
    let lines = output.json_lines();
    let found = lines.into_iter().find(|line| line["kind"] == kind);
    found.unwrap_or_else(|| panic!("no `{kind}` in:\n{}{}", output.stdout, output.stderr))
}

/// What the provider received.
fn received(scene: &Scene) -> Vec<Value> {
    let received = scene.openai.log().received().into_iter();
    received.filter(|it| it.path == "/v1/responses").map(|it| it.json()).collect()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_responses_of_the_python_sdk_are_masked_both_ways() {
    let scene = Scene::start();
    for arguments in [&[][..], &["--stream"]] {
        let output = script(&scene, "response.py", arguments).checked().unwrap();
        let answer = said(&output, "answer");
        let text = answer["text"].as_str().unwrap();
        assert!(text.contains("[email]") && !text.contains(ADDRESS), "{text}");
        assert_eq!(answer["tokens"], 46);
        if !arguments.is_empty() {
            assert_eq!(said(&output, "streamed")["text"], text);
        }
    }
    let received = received(&scene);
    assert_eq!(received.len(), 2);
    assert!(received.iter().all(|it| it["input"] == "Please write to [email]."), "{received:?}");
    let opened = &scene.events_of_kind("exchange_opened")[0];
    let operation = &opened["facts"]["operation"];
    assert_eq!((&operation["action"], &operation["api"]), (&json!("chat"), &json!("responses")));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_denied_response_raises_the_exception_of_the_sdk_once() {
    let scene = Scene::start();
    for (arguments, rule) in
        [(["--model", "o3"], "approved-models"), (["--tool", "shell"], "no-shell-tools")]
    {
        for stream in [&[][..], &["--stream"]] {
            let arguments = [&arguments[..], stream].concat();
            let output = script(&scene, "response.py", &arguments).expect_code(1).unwrap();
            let error = said(&output, "error");
            assert_eq!(error["exception"], "openai.PermissionDeniedError");
            expect_words(error["text"].as_str().unwrap(), &[rule, "Ask #agent-platform"]);
        }
    }
    assert!(received(&scene).is_empty());
    assert_eq!(scene.sessions().len(), 4);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_tool_call_of_a_response_reaches_the_sdk() {
    let scene = Scene::start();
    for stream in [&[][..], &["--stream"]] {
        let arguments = [&["--tool", "look_up"][..], stream].concat();
        let output = script(&scene, "response.py", &arguments).checked().unwrap();
        let call = said(&output, "call");
        assert_eq!(call["name"], "look_up");
        assert_eq!(call["arguments"], r#"{"order":"A-1001"}"#);
    }
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_agent_of_the_agents_sdk_with_its_defaults_is_masked_both_ways() {
    let scene = Scene::start();
    for arguments in [&[][..], &["--stream"]] {
        let output = script(&scene, "agent.py", arguments).checked().unwrap();
        let answer = said(&output, "answer")["text"].as_str().unwrap().to_owned();
        assert!(answer.contains("[email]") && !answer.contains(ADDRESS), "{answer}");
    }
    let received = received(&scene);
    // Each run asks, calls its tool, and asks again.
    assert_eq!(received.len(), 4);
    for request in &received {
        assert!(!request.to_string().contains(ADDRESS), "{request}");
    }
    let output = script(&scene, "agent.py", &["--model", "o3"]).expect_code(1).unwrap();
    assert_eq!(said(&output, "error")["exception"], "openai.PermissionDeniedError");
    scene.finish();
}
