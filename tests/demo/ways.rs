// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What an agent might try instead of its SDK, next to the same from an ordinary process.

use anyhow::{Context as _, Result, ensure};
use enforcer_tests::agent_script;
use enforcer_tests::command::Output;
use serde_json::Value;

use crate::screen::short;
use crate::stage::{OTHER_HOST, Stage};

const DETAIL_WIDTH: usize = 60;

/// Tries every way from both sides.
pub(crate) fn around(stage: &Stage<'_>) -> Result<()> {
    let screen = stage.screen;
    screen.heading("5  Ways around: from the agent, and the same beside it without Enforcer");
    let words = words(stage);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let (openai, other) = (stage.openai.log().received().len(), stage.other.log().received().len());
    let guarded = ways_of(&stage.host.run("support", &words)?.checked()?)?;
    ensure!(stage.openai.log().received().len() == openai, "the dialed address was reached");
    ensure!(stage.other.log().received().len() == other, "the child's curl was answered");
    ensure!(!is_datagram_waiting(stage), "the datagram arrived");
    let unguarded = ways_of(&stage.host.unguarded(&words)?.checked()?)?;
    for (inside, outside) in guarded.iter().zip(&unguarded) {
        let (way, detail) = (text(inside, "way"), short(text(inside, "detail"), DETAIL_WIDTH));
        screen
            .pair(way, &format!("{detail:<DETAIL_WIDTH$}  | beside: {}", text(outside, "detail")));
        ensure!(!went_through(inside), "`{way}` went through from the agent: {detail}");
        ensure!(went_through(outside), "`{way}` failed without Enforcer: {outside}");
    }
    ensure!(is_datagram_waiting(stage), "the datagram of the ordinary process did not arrive");
    screen.held("all refused for the agent and its children; nothing changes for other processes");
    Ok(())
}

fn words(stage: &Stage<'_>) -> Vec<String> {
    let (openai, other) = (stage.openai.address().to_string(), stage.other.address().to_string());
    vec![
        stage.python.display().to_string(),
        agent_script("ways_around.py").display().to_string(),
        "--host".to_owned(),
        OTHER_HOST.to_owned(),
        "--host-address".to_owned(),
        other,
        "--address".to_owned(),
        openai,
        "--datagram".to_owned(),
        stage.datagram_address().to_owned(),
    ]
}

fn ways_of(output: &Output) -> Result<Vec<Value>> {
    let ways = output.json_lines();
    ensure!(ways.len() == 4, "expected four ways, the script said:\n{}", output.stdout);
    Ok(ways)
}

fn is_datagram_waiting(stage: &Stage<'_>) -> bool {
    // Loopback delivers within the sender's own system call, so there is nothing to wait for.
    let mut bytes = [0; 1500];
    stage.datagrams.recv(&mut bytes).is_ok()
}

fn went_through(way: &Value) -> bool {
    way.get("went_through").and_then(Value::as_bool).context("no field").unwrap_or(true)
}

fn text<'a>(way: &'a Value, name: &str) -> &'a str {
    way.get(name).and_then(Value::as_str).unwrap_or_default()
}
