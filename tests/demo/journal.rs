// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What was written down: the sessions, the proof that nothing was altered, and another policy's view.

use anyhow::{Context as _, Result, ensure};

use crate::screen::short;
use crate::stage::{Stage, bundle};

const LINE_WIDTH: usize = 140;
/// Lines of one session that the demo shows.
const LINES_MAX: usize = 8;

/// The session list, one session, and the proof.
pub(crate) fn sessions(stage: &Stage<'_>) -> Result<()> {
    let screen = stage.screen;
    screen.heading("6  What was written down: enforcer session list, show, verify");
    let list = stage.host.cli(&["session", "list"])?.checked()?;
    quote(stage, &list.stdout);
    let id = last_id(&list.stdout).context("`enforcer session list` names no session")?;
    screen.line(&format!("  enforcer session show {id}"));
    let show = stage.host.cli(&["session", "show", &id])?.checked()?;
    quote(stage, &show.stdout);
    let verify = stage.host.cli(&["session", "verify"])?.checked()?;
    quote(stage, &verify.stdout);
    screen.held("every record and every stored body is as it was written");
    Ok(())
}

/// The same sessions under the same bundle and under a stricter one.
pub(crate) fn replay(stage: &Stage<'_>) -> Result<()> {
    let screen = stage.screen;
    screen.heading("7  What another policy would have decided: enforcer replay --policies DIR");
    let same = bundle("openai-agents").display().to_string();
    stage.host.cli(&["replay", "--policies", &same])?.checked()?;
    screen.held("under the same bundle: no difference");
    let strict = bundle("openai-agents-strict").display().to_string();
    // Exit code 1 says that there are differences.
    let replay = stage.host.cli(&["replay", "--policies", &strict])?.expect_code(1)?;
    quote(stage, &replay.stdout);
    // The two chats that carried a card number, and nothing else.
    let changes = replay.stdout.matches("by no-card-numbers").count();
    ensure!(changes == 2, "{changes} exchanges change by `no-card-numbers`, expected 2");
    ensure!(replay.stdout.contains(" 2 change "), "other exchanges change as well");
    screen.held("under policies/openai-agents-strict: the differences above");
    Ok(())
}

fn quote(stage: &Stage<'_>, text: &str) {
    let lines: Vec<String> = text.lines().map(|line| short(line, LINE_WIDTH)).collect();
    stage.screen.quoted(&lines.iter().take(LINES_MAX).cloned().collect::<Vec<_>>().join("\n"));
    if let Some(more) = lines.len().checked_sub(LINES_MAX).filter(|more| *more > 0) {
        stage.screen.quoted(&format!("… and {more} more lines"));
    }
}

/// The last session id, that of the ways around: 16 hexadecimal digits.
fn last_id(text: &str) -> Option<String> {
    let is_id = |word: &&str| word.len() == 16 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split_whitespace().rfind(is_id).map(str::to_owned)
}
