// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer run`: become an agent, then become the command.
//!
//! The daemon moves this very process into the session's cgroup before it answers, so the command is
//! guarded from its first instruction; replacing the process keeps its exit code, signals and terminal.

use std::os::unix::process::CommandExt;
use std::process::Command;

use enforcer_core::model::AgentName;

use super::{Exit, Failure, wait};
use crate::admin::{Client, StartSession, StartedSession};
use crate::config::Config;

/// Names the session for the command's own logs.
const SESSION_VARIABLE: &str = "ENFORCER_SESSION";

/// Arguments of `enforcer run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent to run as.
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// The command and its arguments, after `--`.
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) fn run(args: Args, config: &Config) -> Result<Exit, Failure> {
    let ask = StartSession { agent: AgentName::new(args.agent), command: args.command.clone() };
    let started: StartedSession = wait(async {
        let client = Client::new(&config.socket);
        client.post("/v1/sessions", &ask).await.map_err(Failure::from)
    })?;
    let mut words = args.command.iter();
    let program = words.next().map(String::as_str).unwrap_or_default();
    let mut command = Command::new(program);
    command.args(words).envs(started.environment);
    command.env(SESSION_VARIABLE, started.session.to_string());
    let error = command.exec();
    Err(Failure::new(Exit::HostCannot, format!("failed to start `{program}`: {error}"))
        .hint("check the command after `--`"))
}
