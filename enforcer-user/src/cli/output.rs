// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The only place that writes to stdout and stderr. Colors only on a terminal.

use std::io::{self, BufRead as _, IsTerminal, Read as _, Write};

use enforcer_core::model::limits::CONFIRMATION_BYTES_MAX;
use enforcer_core::policy::{Diagnostic, SourceFile, Sources};
use serde::Serialize;

use super::policy::{Streams, draw};
use super::{Exit, Failure};

/// How data is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    /// For programs: one JSON document.
    Json,
    /// For people.
    #[default]
    Text,
}

/// Prints data for programs.
pub(super) fn json<T: Serialize>(data: &T) -> Result<(), Failure> {
    let mut text = serde_json::to_string_pretty(data).map_err(|error| Failure::host(&error))?;
    text.push('\n');
    self::text(&text)
}

/// Prints data for people. A reader that went away, as `head` does, is no failure.
pub(super) fn text(text: &str) -> Result<(), Failure> {
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::host(&error)),
        _ => Ok(()),
    }
}

/// Tells something beside the data.
pub(super) fn note(text: &str) {
    say(&format!("{text}\n"));
}

/// Asks something on the terminal; true only for `y` or `yes`.
pub(super) fn is_yes(question: &str) -> bool {
    say(&format!("{question} [y/N] "));
    let mut line = String::new();
    let read = io::stdin().lock().take(CONFIRMATION_BYTES_MAX).read_line(&mut line);
    read.is_ok() && matches!(line.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

/// Whether somebody can be asked: what is asked is seen, and what is typed is read.
pub(super) fn has_person() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Tells what went wrong and what to do.
pub(super) fn error(text: &str, hint: Option<&str>) {
    let (red, plain) =
        if io::stderr().is_terminal() { ("\x1b[1;31m", "\x1b[0m") } else { ("", "") };
    say(&format!("{red}error:{plain} {text}\n"));
    if let Some(hint) = hint {
        say(&format!("hint: {hint}\n"));
    }
}

/// Shows problems in their files, with carets.
pub(super) fn diagnostics(files: &[SourceFile], problems: &[Diagnostic]) {
    let sources = Sources { files: files.to_vec() };
    with_streams(|streams| drop(draw(problems, &sources, streams)));
}

/// Runs something that writes to streams it is given.
pub(super) fn with_streams<T>(work: impl FnOnce(&mut Streams<'_>) -> T) -> T {
    let colors = io::stderr().is_terminal();
    let paints_data = io::stdout().is_terminal();
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    work(&mut Streams { out: &mut out, err: &mut err, colors, paints_data })
}

/// The exit code that a stream-writing command gave.
pub(super) fn exit(code: io::Result<u8>) -> Result<Exit, Failure> {
    let code = match code {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Fine),
        code => code.map_err(|error| Failure::host(&error))?,
    };
    [
        Exit::Fine,
        Exit::Difference,
        Exit::Usage,
        Exit::HostCannot,
        Exit::PolicyInvalid,
        Exit::Privilege,
    ]
    .into_iter()
    .find(|exit| *exit as u8 == code)
    .ok_or_else(|| Failure::new(Exit::HostCannot, format!("unknown exit code {code}")))
}

fn say(text: &str) {
    // Nobody is left to tell that nobody can be told.
    drop(io::stderr().lock().write_all(text.as_bytes()));
}
