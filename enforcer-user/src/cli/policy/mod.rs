// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy`: check, test and explain a bundle without a daemon.
//!
//! Data goes to `out`, diagnostics to `err`. Works on files only; what is checked and decided here is
//! checked and decided by the same code in the daemon.

mod check;
mod diff;
mod draw;
mod init;
mod profile;
mod recorded;
mod suggest;
mod test;
mod update;
pub(super) mod why;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use enforcer_core::policy::{
    Policy, Sources, check, compile, inventory_schema_text, reference, schema_text,
};

pub use draw::draw;
pub use recorded::Journal;

use crate::config::bundle::{self, read_sources};

/// Everything is as it should be.
const FINE: u8 = 0;
/// A case failed, or the request is denied.
const DIFFERENCE: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// The host refuses to read the files.
const HOST: u8 = 3;
/// The bundle is refused.
const INVALID: u8 = 4;

/// Subcommands of `enforcer policy`.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List everything that is wrong with a bundle.
    Check(Bundle),
    /// Run the cases of a bundle; list the rules that none reaches.
    Test(test::Args),
    /// Say what differs in meaning between two bundles, folders or git revisions. Exit 1 if anything does.
    Diff(diff::Args),
    /// Print the digest of everything that decides: what a signature of the bundle is made for.
    Digest(Bundle),
    /// Write a bundle to start from into a new folder.
    Init(init::Args),
    /// Suggest rules and cases from what was recorded, for review.
    Suggest(suggest::Args),
    /// Say what a bundle decides for one request, and why.
    Why(why::Args),
    /// Print what a bundle may say: for rules, for editors, or as a document.
    Schema(SchemaArgs),
}

/// A bundle and how to print.
#[derive(Debug, Args)]
pub struct Bundle {
    /// Folder of the bundle.
    dir: PathBuf,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Arguments of `enforcer policy schema`.
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Which part of the language, and in which form.
    #[arg(value_enum, default_value_t = Part::Rules)]
    part: Part,
}

/// A part of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// Every action and its facts, as Cedar schema.
    Rules,
    /// Every key of policy.toml, as JSON Schema.
    Inventory,
    /// All of it, as Markdown.
    Reference,
}

/// How a result is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// Where a command writes.
pub struct Streams<'s> {
    /// Data.
    pub out: &'s mut dyn Write,
    /// Diagnostics.
    pub err: &'s mut dyn Write,
    /// Whether diagnostics are drawn in color; only for a terminal.
    pub colors: bool,
    /// Whether data is drawn in color; only for a terminal.
    pub paints_data: bool,
}

impl fmt::Debug for Streams<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("colors", &self.colors).finish_non_exhaustive()
    }
}

/// Runs one subcommand and gives its exit code. The journal is opened only if the subcommand asks for it.
///
/// # Errors
/// Only if writing to the streams fails.
pub fn run(command: &Command, journal: &Journal<'_>, streams: &mut Streams<'_>) -> io::Result<u8> {
    match command {
        Command::Diff(args) => diff::run(args, journal, streams),
        Command::Init(args) => init::run(args, streams),
        Command::Suggest(args) => suggest::run(args, journal, streams),
        Command::Check(bundle) => check::run(bundle, streams),
        Command::Test(args) => test::run(args, journal, streams),
        Command::Why(why) => why::run(why, streams),
        Command::Digest(bundle) => digest(bundle, streams),
        Command::Schema(args) => {
            let text = match args.part {
                Part::Rules => schema_text().to_owned(),
                Part::Inventory => inventory_schema_text().to_owned(),
                Part::Reference => reference(),
            };
            streams.out.write_all(text.as_bytes())?;
            Ok(FINE)
        }
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn print_json(streams: &mut Streams<'_>, value: &serde_json::Value) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *streams.out, value)?;
    writeln!(streams.out)
}

fn digest(bundle: &Bundle, streams: &mut Streams<'_>) -> io::Result<u8> {
    let sources = match read(&bundle.dir, streams)? {
        Ok(sources) => sources,
        Err(code) => return Ok(code),
    };
    let digest = sources.digest();
    match bundle.output {
        Output::Json => print_json(streams, &serde_json::json!({ "digest": digest }))?,
        Output::Text => writeln!(streams.out, "{digest}")?,
    }
    Ok(FINE)
}

/// A policy that is valid, or the exit code after saying why it is not.
fn load(dir: &Path, streams: &mut Streams<'_>) -> io::Result<Result<(Policy, Sources), u8>> {
    let sources = match read(dir, streams)? {
        Ok(sources) => sources,
        Err(code) => return Ok(Err(code)),
    };
    match compile(&sources) {
        Ok(compiled) => Ok(Ok((compiled.policy, sources))),
        Err(_problems) => {
            draw(&check(&sources).found, &sources, streams)?;
            Ok(Err(INVALID))
        }
    }
}

fn read(dir: &Path, streams: &mut Streams<'_>) -> io::Result<Result<Sources, u8>> {
    let error = match read_sources(dir) {
        Ok(sources) => return Ok(Ok(sources)),
        Err(error) => error,
    };
    write!(streams.err, "error: {error}")?;
    if let Some(cause) = std::error::Error::source(&error) {
        write!(streams.err, ": {cause}")?;
    }
    writeln!(streams.err)?;
    let (code, hint) = match error {
        bundle::Error::Missing(_) | bundle::Error::NotAFolder(_) => {
            (USAGE, "a bundle is a folder with `policy.toml` and `*.cedar` files")
        }
        bundle::Error::Read { .. } => (HOST, "check who may read the folder"),
        bundle::Error::NotAPlainFile(_) => (INVALID, "put a copy of the file into the bundle"),
        bundle::Error::NotText(_) => (INVALID, "save the file as UTF-8"),
        bundle::Error::Misplaced(_) => (INVALID, "move it beside `policy.toml`"),
        bundle::Error::TooLarge(_) => (INVALID, "keep only policy files in the folder"),
    };
    writeln!(streams.err, "hint: {hint}")?;
    Ok(Err(code))
}
