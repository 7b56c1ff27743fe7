// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer run`: become an agent, then become the command.
//!
//! The daemon moves this very process into the session's cgroup before it answers, so the command is
//! guarded from its first instruction; replacing the process keeps its exit code, signals and terminal.
//! Between the two the process is confined, as the answer says.

use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use enforcer_core::model::AgentName;
use enforcer_core::policy::{Environment, PLACEHOLDER, RunAs};
use nix::unistd::User;

use super::{Exit, Failure, output, wait};
use crate::admin::{Client, StartSession, StartedSession};
use crate::config::Config;
use crate::launch;
use crate::tls::{self, Root};

/// Names the session for the command's own logs.
const SESSION_VARIABLE: &str = "ENFORCER_SESSION";
/// Where the programs of a user that `--user` names are looked for, as login(1) sets it.
const PATH_OF_OTHERS: &str = "/usr/local/bin:/usr/bin:/bin";
const PATH_OF_ROOT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Arguments of `enforcer run`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The agent to run as.
    #[arg(long, value_name = "NAME")]
    agent: String,
    /// Run the command as this user; only root may. Default: the calling user. With it the command gets terminal,
    /// locale and time zone of the caller's environment, and what the agent's `env` in the bundle names; without it, it
    /// keeps the caller's environment except what the bundle excludes.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// The command and its arguments, after `--`.
    #[arg(required = true, last = true, value_name = "CMD")]
    command: Vec<String>,
}

pub(super) fn run(args: Args, config: &Config, settings: &Path) -> Result<Exit, Failure> {
    let user = args.user.as_deref().map(launch::find_user).transpose()?;
    // Before it is an agent: git is asked, where the bundle comes from a revision.
    let files = files(config, settings)?;
    let ask = StartSession { agent: AgentName::new(args.agent), command: args.command.clone() };
    let started: StartedSession = wait(async {
        let client = Client::new(&config.socket);
        client.post("/v1/sessions", &ask).await.map_err(Failure::from)
    })?;
    if !started.launch.lacks.is_empty() {
        output::note(&format!("warning: started {}", started.launch));
    }
    if let Some(user) = &user {
        launch::become_user(user)?;
    }
    launch::confine(&started.launch, &files)?;
    let mut words = args.command.iter();
    let program = words.next().map(String::as_str).unwrap_or_default();
    let mut command = Command::new(program);
    command.args(words).env_clear().envs(inherited(&started.inherits, user.as_ref()));
    command.envs(started.environment);
    command.env(SESSION_VARIABLE, started.session.to_string());
    let error = command.exec();
    Err(Failure::new(Exit::HostCannot, format!("failed to start `{program}`: {error}"))
        .hint("check the command after `--`"))
}

/// What the command gets besides what Enforcer sets. A user that is named gets an environment of its own, as sudo(8)
/// gives one.
fn inherited(rules: &Environment, user: Option<&User>) -> Vec<(OsString, OsString)> {
    let run_as = if user.is_some() { RunAs::Other } else { RunAs::Caller };
    let passes = |name: &OsString| match name.to_str() {
        Some(name) => rules.passes(name, run_as),
        None => run_as == RunAs::Caller,
    };
    let mut variables: Vec<_> = std::env::vars_os().filter(|(name, _)| passes(name)).collect();
    let mut set = |name: &str, value: OsString| variables.push((name.into(), value));
    if let Some(user) = user {
        let path = if user.uid.is_root() { PATH_OF_ROOT } else { PATH_OF_OTHERS };
        // A bundle may name the caller's.
        if !rules.passes("PATH", run_as) {
            set("PATH", path.into());
        }
        set("HOME", user.dir.clone().into());
        set("SHELL", user.shell.clone().into());
        set("USER", user.name.clone().into());
        set("LOGNAME", user.name.clone().into());
    }
    for name in &rules.placeholders {
        set(name, PLACEHOLDER.into());
    }
    variables
}

/// What the command must not have more of than anybody, and where it has to stay.
fn files(config: &Config, settings: &Path) -> Result<launch::Files, Failure> {
    let absolute = std::path::absolute(settings);
    let settings = absolute.map_err(|error| Failure::host(&error))?;
    let mut fixed = vec![config.policies.folder.clone(), settings];
    if config.policies.revision.is_some() && launch::is_root()? {
        let held = config.policies.open().map_err(|error| Failure::host(&error))?;
        fixed.extend(held.paths().map(Path::to_owned));
    }
    // The program that root calls the next time.
    fixed.extend(std::env::current_exe());
    fixed.extend(config.upstream.roots.iter().filter_map(|root| match root {
        Root::File(file) => Some(file.clone()),
        Root::System => None,
    }));
    // A daemon makes its socket anew, so the folder is what keeps another one from standing there.
    let folder = config.socket.parent().filter(|folder| folder.parent().is_some());
    fixed.extend(folder.map(Path::to_owned));
    let held = vec![config.socket.clone(), config.bpffs.clone(), config.cgroup.clone()];
    let trust = tls::trust_folder(&config.state);
    Ok(launch::Files { trust, state: config.state.clone(), fixed, held })
}
