// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs a program at a terminal, with a person at it who types.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use nix::pty::openpty;

use crate::command::{self, Interrupt, Output};

/// Runs a command of which stdin and stderr are a terminal, at which this text is typed. What the terminal shows is
/// the `stderr` of the output.
///
/// # Errors
/// If it cannot be started or does not end in time.
pub fn run(
    mut command: Command,
    typed: &str,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Output> {
    let shown = command::show(&command);
    let pty = openpty(None, None).context("no terminal")?;
    let (mut person, terminal) = (File::from(pty.master), pty.slave);
    command::in_own_group(&mut command);
    command.stdin(Stdio::from(terminal.try_clone()?)).stdout(Stdio::piped());
    command.stderr(Stdio::from(terminal));
    let mut child = command.spawn().with_context(|| format!("failed to start `{shown}`"))?;
    // It holds the terminal too, which ends when nobody holds it.
    drop(command);
    let mut screen = person.try_clone()?;
    let stderr = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // A terminal that is gone ends with an error.
        screen.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    });
    person.write_all(typed.as_bytes()).context("nobody reads the terminal")?;
    let ended = command::wait(&mut child, limit, interrupt);
    if ended.is_err() {
        command::kill_group(&mut child);
    }
    let mut stdout = String::new();
    if let Some(mut pipe) = child.stdout.take() {
        pipe.read_to_string(&mut stdout)?;
    }
    let stderr = stderr.join().unwrap_or_default();
    let code = ended.with_context(|| format!("`{shown}`\n{stdout}\n{stderr}"))?;
    Ok(Output { command: shown, code, stdout, stderr })
}
