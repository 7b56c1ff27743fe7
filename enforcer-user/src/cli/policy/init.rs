// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy init`: a bundle to start from, out of the program itself.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{FINE, HOST, Output, Streams, USAGE, print_json};

/// A bundle of `policies/`.
struct Starter {
    name: &'static str,
    about: &'static str,
    files: &'static [(&'static str, &'static str)],
}

macro_rules! starter {
    ($name:literal, $about:literal, [$($file:literal),+ $(,)?]) => {
        Starter {
            name: $name,
            about: $about,
            files: &[$((
                $file,
                include_str!(concat!("../../../../policies/", $name, "/", $file)),
            )),+],
        }
    };
}

/// Every bundle of `policies/`; a test holds the two together.
const STARTERS: &[Starter] = &[
    starter!(
        "openai-agents",
        "an agent on the OpenAI SDK: two models, short prompts, personal data masked both ways",
        ["policy.toml", "chat.cedar", "http.cedar", "cases/chat.toml", "cases/http.toml"]
    ),
    starter!(
        "openai-agents-strict",
        "the same agent on a shorter leash; made for comparing with `enforcer replay`",
        ["policy.toml", "rules.cedar", "cases/strict.toml"]
    ),
    starter!(
        "claude-code",
        "Claude Code: messages masked both ways, code and packages to read, no telemetry",
        ["policy.toml", "anthropic.cedar", "code.cedar", "cases/anthropic.toml", "cases/code.toml"]
    ),
    starter!(
        "codex",
        "the Codex CLI, with an API key or an account: chats, tools and models known, no analytics",
        ["policy.toml", "api.cedar", "chatgpt.cedar", "cases/api.toml", "cases/chatgpt.toml"]
    ),
    starter!(
        "strict",
        "deny by default with budgets, approvals, a key that the agent does not hold, no secrets",
        ["policy.toml", "use.cedar", "never.cedar", "cases/use.toml", "cases/never.toml"]
    ),
    starter!(
        "observe",
        "how a team starts: requests are judged and recorded, and sent on unchanged",
        ["policy.toml", "rules.cedar", "cases/rules.toml"]
    ),
];

/// Arguments of `enforcer policy init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Which bundle; without one, they are listed.
    name: Option<String>,
    /// The new folder; by default one of that name here.
    dir: Option<PathBuf>,
    /// How to print the list.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> io::Result<u8> {
    let Some(name) = &args.name else {
        list(args.output, streams)?;
        return Ok(FINE);
    };
    let Some(starter) = STARTERS.iter().find(|starter| starter.name == name) else {
        let known: Vec<&str> = STARTERS.iter().map(|starter| starter.name).collect();
        writeln!(streams.err, "error: there is no bundle `{name}` to start from")?;
        writeln!(streams.err, "hint: known: {}", known.join(", "))?;
        return Ok(USAGE);
    };
    let dir = args.dir.clone().unwrap_or_else(|| PathBuf::from(name));
    match is_free(&dir) {
        Ok(true) => {}
        Ok(false) => {
            writeln!(streams.err, "error: `{}` is there already", dir.display())?;
            writeln!(streams.err, "hint: name a new folder; no file is overwritten")?;
            return Ok(USAGE);
        }
        Err(error) => return failed(&dir, &error, streams),
    }
    for (path, text) in starter.files {
        let path = dir.join(path);
        if let Err(error) = create(&path, text) {
            return failed(&path, &error, streams);
        }
    }
    writeln!(streams.err, "`{name}` is in `{}`", dir.display())?;
    writeln!(streams.err, "hint: try it with `enforcer policy test {}`", dir.display())?;
    Ok(FINE)
}

fn list(output: Output, streams: &mut Streams<'_>) -> io::Result<()> {
    if output == Output::Json {
        let all = STARTERS.iter();
        let all: Vec<_> =
            all.map(|starter| json!({ "name": starter.name, "about": starter.about })).collect();
        return print_json(streams, &json!(all));
    }
    let width = STARTERS.iter().map(|starter| starter.name.len()).max().unwrap_or(0);
    for starter in STARTERS {
        writeln!(streams.out, "{:width$}  {}", starter.name, starter.about)?;
    }
    Ok(())
}

/// Whether nothing is there, or an empty folder.
fn is_free(dir: &Path) -> io::Result<bool> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Ok(false),
        Err(error) => Err(error),
    }
}

fn create(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(text.as_bytes())
}

fn failed(path: &Path, error: &io::Error, streams: &mut Streams<'_>) -> io::Result<u8> {
    writeln!(streams.err, "error: failed to write `{}`: {error}", path.display())?;
    writeln!(streams.err, "hint: name a folder that you may write to")?;
    Ok(HOST)
}
