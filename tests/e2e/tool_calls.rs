// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Tool calls that a model asks for, as an unchanged SDK sees them.

use std::fs;

use enforcer_tests::{agent_script, python};
use serde_json::json;
use tempfile::TempDir;

use crate::scene::{Scene, expect_words, own_bundle};

/// Offered to the model, and not to be called.
const RULE: &str = r#"
@id("no-refunds")
@message("Refunds are made by people.")
forbid (principal, action == Action::"tool_call", resource) when { context.name == "refund" };
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_denied_tool_call_is_none_for_the_sdk_and_the_text_says_why() {
    let folder = TempDir::new().unwrap();
    let policies = folder.path().join("policies");
    own_bundle("openai-agents", &policies);
    fs::write(policies.join("tools.cedar"), RULE).unwrap();
    let mut scene = Scene::set(&policies);
    scene.start_daemon();
    let (python, script) = (python().unwrap(), agent_script("chat.py"));
    let words = [python.to_str().unwrap(), script.to_str().unwrap()];
    let called = |tool: &str, more: &[&str]| {
        let output = scene.run(&[&words, &["--tool", tool][..], more].concat()).checked().unwrap();
        let lines = output.json_lines();
        lines.into_iter().find(|line| line["kind"] == "called").expect("an answer")
    };
    for stream in [&[][..], &["--stream"]] {
        let denied = called("refund", stream);
        assert_eq!((&denied["calls"], &denied["finish"]), (&json!([]), &json!("stop")));
        let words = ["Denied by Enforcer", "`refund`", "no-refunds", "Refunds are made by people."];
        expect_words(denied["text"].as_str().unwrap(), &words);
        let closed = scene.events_of_kind("exchange_closed");
        let last = closed.last().unwrap();
        assert_eq!(last["tool_calls"][0]["verdict"], "deny");
        let shown = scene.cli(&["session", "show", last["session"].as_str().unwrap()]);
        let shown = shown.checked().unwrap().stdout;
        expect_words(&shown, &["tool call `refund` DENIED by no-refunds [policy]"]);
        let allowed = called("look_up", stream);
        assert_eq!(
            (&allowed["calls"], &allowed["finish"]),
            (&json!(["look_up"]), &json!("tool_calls"))
        );
        let closed = scene.events_of_kind("exchange_closed");
        assert_eq!(closed.last().unwrap()["tool_calls"][0]["verdict"], "allow");
    }
    scene.finish();
}
