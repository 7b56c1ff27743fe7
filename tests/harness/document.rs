// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Markdown documents whose blocks are run: parts in their order, and what a block says about itself.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};

/// One fenced block: what stands behind the backticks, and what is between them.
#[derive(Clone, Debug)]
pub struct Block {
    /// The first word behind the backticks.
    pub language: String,
    /// The rest of that line: a file that the block is, or where it is run.
    pub note: Option<String>,
    /// What is between the backticks.
    pub text: String,
}

/// A document as prose and blocks, one after the other.
#[derive(Clone, Debug)]
pub enum Part {
    /// What is between two blocks.
    Prose(String),
    /// A fenced block.
    Block(Block),
}

/// Takes a document apart.
///
/// # Errors
/// If a block is not closed.
pub fn parts(text: &str) -> Result<Vec<Part>> {
    let mut parts = Vec::new();
    let mut prose = String::new();
    let mut open: Option<Block> = None;
    for line in text.split_inclusive('\n') {
        match (line.strip_prefix("```"), open.take()) {
            (Some(info), None) => {
                parts.push(Part::Prose(std::mem::take(&mut prose)));
                let (language, note) = info.trim().split_once(' ').unwrap_or((info.trim(), ""));
                let note = Some(note.to_owned()).filter(|note| !note.is_empty());
                open = Some(Block { language: language.to_owned(), note, text: String::new() });
            }
            (Some(_), Some(block)) => parts.push(Part::Block(block)),
            (None, Some(mut block)) => {
                block.text.push_str(line);
                open = Some(block);
            }
            (None, None) => prose.push_str(line),
        }
    }
    if let Some(block) = open {
        bail!("a block is not closed: {}", block.text);
    }
    parts.push(Part::Prose(prose));
    Ok(parts)
}

/// Puts a document together again.
#[must_use]
pub fn joined(parts: &[Part]) -> String {
    let part = |part: &Part| match part {
        Part::Prose(prose) => prose.clone(),
        Part::Block(Block { language, note, text }) => {
            let note = note.as_ref().map(|note| format!(" {note}")).unwrap_or_default();
            format!("```{language}{note}\n{text}```\n")
        }
    };
    parts.iter().map(part).collect()
}

/// Makes the change that a block shows: a line that stands once in a file becomes another one.
///
/// # Errors
/// If the block is no such change, or the line does not stand once in the file.
pub fn change(file: &Path, block: &str) -> Result<()> {
    let line = |sign| block.lines().find_map(|line| line.strip_prefix(sign));
    let (old, new) =
        line('-').zip(line('+')).context("a change is a line with `-` and one with `+`")?;
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    let count = text.lines().filter(|line| *line == old).count();
    if count != 1 {
        bail!("`{old}` stands {count} times in `{}`", file.display());
    }
    fs::write(file, text.replace(old, new))?;
    Ok(())
}

/// The words of a command; what stands in quotes is one.
#[must_use]
pub fn words(command: &str) -> Vec<String> {
    let parts = command.split('"').enumerate();
    let parts = parts.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    parts.collect()
}

/// What stands behind a command that shows its exit code.
pub const SHOWS_CODE: &str = "; echo \"exit $?\"";

/// A block of commands written anew: below each command what it prints, by `run`, and its exit code where the
/// command shows it.
///
/// # Errors
/// If `run` fails, or a command that does not show its exit code ends with another one than 0.
pub fn console(text: &str, mut run: impl FnMut(&str) -> Result<(i32, String)>) -> Result<String> {
    let mut anew = String::new();
    for line in text.lines().filter(|line| line.starts_with("$ ")) {
        let command = line.trim_start_matches("$ ");
        let (code, printed) = run(command.trim_end_matches(SHOWS_CODE))?;
        anew += &format!("{line}\n");
        anew.extend(printed.lines().map(|line| format!("{}\n", line.trim_end())));
        if command.ends_with(SHOWS_CODE) {
            anew += &format!("exit {code}\n");
        } else if code != 0 {
            bail!("{line} ended with {code}\n{printed}");
        }
    }
    Ok(anew)
}
