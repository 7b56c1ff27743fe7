// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The command line: one file for each subcommand. Data goes to stdout, everything else to stderr.
//!
//! Exit codes: 0 fine, 1 a check found a difference or a denial, 2 usage, 3 the host cannot do it, 4 the
//! policy is invalid, 5 privilege.

mod approval;
mod budget;
mod daemon;
mod doctor;
mod failure;
mod output;
pub mod paint;
pub mod policy;
pub mod replay;
mod run;
pub mod session;
pub mod source;
mod status;
mod uninstall;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

pub use failure::{Exit, Failure};

use crate::config::{Config, DEFAULT_FILE, JOURNAL_FOLDER};

/// A host daemon that puts policy between AI agents and the model and data services they use.
#[derive(Debug, Parser)]
#[command(name = "enforcer", version, propagate_version = true)]
struct Cli {
    /// The host's settings.
    #[arg(long, global = true, env = "ENFORCER_CONFIG", value_name = "FILE", default_value = DEFAULT_FILE)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// List and answer requests that wait for approval.
    Approval(approval::Args),
    /// Show budgets and reset counters.
    Budget(budget::Args),
    /// Run the host daemon.
    Daemon(daemon::Args),
    /// Look for what would keep Enforcer from working on this host.
    Doctor(doctor::Args),
    /// Begin, check, test, explain and compare bundles of policies.
    #[command(subcommand)]
    Policy(policy::Command),
    /// Judge recorded sessions by another bundle.
    Replay(replay::Args),
    /// Start a command as an agent.
    Run(run::Args),
    /// List, follow, show, play, verify and explain recorded sessions.
    Session(session::Args),
    /// Show the state at a glance.
    Status(status::Args),
    /// Remove the programs, pins and cgroups from this host.
    Uninstall(uninstall::Args),
}

/// Parses the arguments, runs the command, tells what went wrong.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    match dispatch(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report().into(),
    }
}

/// Whether words are a command, the program's name first; runs nothing. Tests hold the documents against it.
///
/// # Errors
/// What the command line would say.
pub fn understands(words: &[&str]) -> Result<(), String> {
    Cli::try_parse_from(words).map(drop).map_err(|error| error.to_string())
}

fn dispatch(cli: Cli) -> Result<Exit, Failure> {
    let settings = || Config::load(&cli.config).map_err(Failure::from);
    match cli.command {
        Command::Approval(args) => wait(approval::run(args, settings()?)),
        Command::Budget(args) => wait(budget::run(args, settings()?)),
        Command::Daemon(args) => daemon::run(args, settings()?),
        Command::Doctor(args) => wait(doctor::run(args, settings()?)),
        Command::Policy(command) => {
            let journal = |state: Option<&Path>| match state {
                Some(state) => source::Source::offline(&state.join(JOURNAL_FOLDER)),
                None => {
                    let settings = settings()?;
                    wait(source::Source::open(&settings))
                }
            };
            output::exit(output::with_streams(|streams| policy::run(&command, &journal, streams)))
        }
        Command::Replay(args) => wait(replay::run(args, settings()?)),
        Command::Run(args) => run::run(args, &settings()?, &cli.config),
        Command::Session(args) => wait(session::run(args, settings()?)),
        Command::Status(args) => wait(status::run(args, settings()?)),
        Command::Uninstall(args) => wait(uninstall::run(args, settings()?)),
    }
}

/// Runs a short command on one thread.
fn wait<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::host(&error))?.block_on(work)
}
