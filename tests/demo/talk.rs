// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent talks to the model: what it sent next to what the provider received.

use anyhow::{Context as _, Result, bail, ensure};
use enforcer_tests::agent_script;
use enforcer_tests::command::Output;
use enforcer_tests::provider::{ANSWER, Received};
use serde_json::Value;

use crate::screen::short;
use crate::stage::Stage;

/// What must reach neither the provider nor, in an answer, the agent.
const PERSONAL: [&str; 2] = ["maria.lopez@example.com", "4111 1111 1111 1111"];
/// The SDK speaks the Responses API unless another one is set.
const CHAT_PATH: &str = "/v1/responses";
const TRACE_PATH: &str = "/v1/traces/ingest";
const TEXT_WIDTH: usize = 96;

/// An allowed chat; returns what the agent's run said, for the trace exporter's part.
pub(crate) fn allowed_and_masked(stage: &Stage<'_>) -> Result<Output> {
    let screen = stage.screen;
    screen.heading("1  An allowed chat: personal data is masked before it leaves the host");
    let seen = stage.openai.log().received().len();
    let output = agent(stage, &[])?.checked()?;
    let received = chats_since(stage, seen);
    let last = received.last().context("the provider received no chat")?;
    for (kind, member) in [("user", "content"), ("tool", "output")] {
        let sent = text_of(&output, "sent", Some(kind))?;
        let got = input_of(last, kind, member)?;
        screen.pair("agent sent", &short(&sent, TEXT_WIDTH));
        screen.pair("provider got", &short(&got, TEXT_WIDTH));
        ensure!(sent != got, "the provider received the {kind} message as it was sent");
    }
    expect_masked(&received)?;
    show_answer(stage, &output)?;
    screen.held("the address and the card number reached neither the provider nor the agent");
    Ok(output)
}

/// The same, streamed.
pub(crate) fn streamed_and_masked(stage: &Stage<'_>) -> Result<()> {
    let screen = stage.screen;
    screen.heading("2  A streamed chat: masked while it streams, event by event");
    let (seen, streams) = (stage.openai.log().received().len(), stage.openai.log().streams().len());
    let output = agent(stage, &["--stream"])?.checked()?;
    expect_masked(&chats_since(stage, seen))?;
    show_answer(stage, &output)?;
    let lines = output.json_lines();
    let deltas: Vec<&Value> = lines.iter().filter(|line| is_kind(line, "delta")).collect();
    let first = deltas.first().and_then(|line| line.get("at_ms")?.as_u64());
    let first = first.context("the agent received no event")?;
    let sent = stage.openai.log().streams();
    let sent =
        sent.get(streams..).and_then(<[_]>::last).context("the provider streamed nothing")?;
    ensure!(
        first < sent.last_ms,
        "the first event reached the agent at {first}, after the provider had sent the last one at {}",
        sent.last_ms
    );
    screen.held(&format!(
        "{} pieces; the first was with the agent {} ms before the provider sent the last",
        deltas.len(),
        sent.last_ms - first
    ));
    Ok(())
}

/// A model that a rule forbids.
pub(crate) fn model_not_allowed(stage: &Stage<'_>) -> Result<()> {
    let screen = stage.screen;
    screen.heading("3  A model that is not allowed: the SDK raises its own exception");
    let seen = stage.openai.log().received().len();
    let output = agent(stage, &["--model", "o3"])?.expect_code(1)?;
    let lines = output.json_lines();
    let error = lines.iter().find(|line| is_kind(line, "error")).context("no error was raised")?;
    let exception = field(error, "exception");
    screen.pair("exception", exception);
    screen.pair("message", &short(field(error, "text"), 3 * TEXT_WIDTH));
    ensure!(
        exception == "openai.PermissionDeniedError",
        "the SDK raised `{exception}`, expected `openai.PermissionDeniedError`"
    );
    let text = field(error, "text");
    ensure!(text.contains("approved-models"), "the message does not name the rule: {text}");
    let received = chats_since(stage, seen);
    ensure!(received.is_empty(), "the provider received {} chats", received.len());
    screen.held("the message names the rule, and the provider received nothing");
    Ok(())
}

/// The SDK's trace exporter posts to a fixed address, whatever base URL is set.
pub(crate) fn trace_export_refused(stage: &Stage<'_>, agent: &Output) -> Result<()> {
    let screen = stage.screen;
    screen.heading("4  The SDK's trace exporter, which ignores every base-URL setting");
    let line = agent.stderr.lines().find(|line| line.contains("Tracing client error 403"));
    let Some(line) = line else {
        bail!("the SDK did not report a refused export; it said:\n{}", agent.stderr);
    };
    screen.pair("SDK reports", &short(line, TEXT_WIDTH));
    let received = stage.openai.log().received();
    let traces = received.iter().filter(|request| request.path.starts_with(TRACE_PATH)).count();
    ensure!(traces == 0, "the provider received {traces} trace exports");
    screen.held(&format!("no request to {TRACE_PATH} reached the provider"));
    Ok(())
}

fn agent(stage: &Stage<'_>, arguments: &[&str]) -> Result<Output> {
    let script = agent_script("agent.py").display().to_string();
    let python = stage.python.display().to_string();
    let words: Vec<&str> =
        [python.as_str(), script.as_str()].into_iter().chain(arguments.iter().copied()).collect();
    stage.host.run("support", &words)
}

fn chats_since(stage: &Stage<'_>, seen: usize) -> Vec<Received> {
    let received = stage.openai.log().received().into_iter().skip(seen);
    received.filter(|request| request.path == CHAT_PATH).collect()
}

fn expect_masked(received: &[Received]) -> Result<()> {
    ensure!(!received.is_empty(), "the provider received no chat");
    for request in received {
        for text in PERSONAL {
            ensure!(!request.body.contains(text), "the provider received `{text}`");
        }
    }
    Ok(())
}

fn show_answer(stage: &Stage<'_>, output: &Output) -> Result<()> {
    let answer = text_of(output, "answer", None)?;
    stage.screen.pair("provider said", &short(ANSWER, TEXT_WIDTH + 24));
    stage.screen.pair("agent got", &short(&answer, TEXT_WIDTH + 24));
    for text in PERSONAL {
        ensure!(!answer.contains(text), "the agent received `{text}`");
    }
    Ok(())
}

fn text_of(output: &Output, kind: &str, role: Option<&str>) -> Result<String> {
    let lines = output.json_lines();
    let line = lines
        .iter()
        .find(|line| is_kind(line, kind) && role.is_none_or(|role| field(line, "role") == role));
    let line = line.with_context(|| {
        format!("the agent printed no `{kind}`; it said:\n{}{}", output.stdout, output.stderr)
    })?;
    Ok(field(line, "text").to_owned())
}

/// The text of the first item of the input that has this member.
fn input_of(request: &Received, kind: &str, member: &str) -> Result<String> {
    let json = request.json();
    let items = json.get("input").and_then(Value::as_array);
    let item = items.into_iter().flatten().find(|item| !field(item, member).is_empty());
    let item = item.with_context(|| format!("the provider received no {kind} item"))?;
    Ok(field(item, member).to_owned())
}

fn is_kind(line: &Value, kind: &str) -> bool {
    field(line, "kind") == kind
}

fn field<'a>(line: &'a Value, name: &str) -> &'a str {
    line.get(name).and_then(Value::as_str).unwrap_or_default()
}
