// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer uninstall`: takes everything back that the daemon put on this host. Says what it does.

use std::collections::{BTreeMap, BTreeSet};

use nix::unistd::geteuid;

use super::output::{self, Format};
use super::{Exit, Failure};
use crate::admin::{self, Client};
use crate::config::Config;
use crate::identity::{self, Claim};
use crate::kernel;

/// Arguments of `enforcer uninstall`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Remove the state folder too: journal, CA, everything recorded.
    #[arg(long)]
    purge_state: bool,
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    if !geteuid().is_root() {
        let text = "uninstalling changes the kernel's programs and needs root";
        return Err(Failure::new(Exit::Privilege, text).hint("run it as root"));
    }
    if Client::new(&config.socket).is_there().await {
        let text = format!("a daemon is running on `{}`", config.socket.display());
        return Err(Failure::new(Exit::HostCannot, text).hint("stop it first"));
    }
    let (sessions, note) = (config.sessions(), config.socket_note());
    let kernel_config = kernel::Config { cgroup: config.cgroup, bpffs: config.bpffs };
    // Against a daemon that is only just starting. Without the folder none ever got that far.
    let claim = if sessions.exists() { Some(Claim::take(&sessions)?) } else { None };
    let mut alive: BTreeMap<String, BTreeSet<u32>> = identity::populated(&sessions)
        .into_iter()
        .map(|(session, pids)| (session, pids.into_iter().collect()))
        .collect();
    // A process that ended while it was adopted can leave its label.
    let labels = kernel::recorded_labels(&kernel_config).into_iter();
    for (pid, session) in labels.filter(|(pid, _)| identity::is_running(*pid)) {
        alive.entry(session.to_string()).or_default().insert(pid);
    }
    if !alive.is_empty() {
        let named = alive.into_iter().map(|(session, pids)| {
            let pids: Vec<_> = pids.iter().map(u32::to_string).collect();
            format!("session {session} (pid {})", pids.join(", "))
        });
        let named: Vec<_> = named.collect();
        let text = format!("processes are still guarded: {}", named.join("; "));
        return Err(Failure::new(Exit::HostCannot, text)
            .hint("end them first: without the programs they would not be guarded any more"));
    }
    let mut done = Vec::new();
    done.extend(kernel::detach(&kernel_config)?);
    if claim.is_some() {
        identity::remove_all(&sessions)?;
        done.push(format!("removed cgroup {}", sessions.display()));
    }
    if std::fs::remove_file(&config.socket).is_ok() {
        done.push(format!("removed {}", config.socket.display()));
    }
    // A daemon that was killed between making the socket and giving it its name leaves this.
    drop(std::fs::remove_file(admin::fresh_name(&config.socket)));
    // Those that the daemon made, where nobody put anything else into them.
    let folders = admin::folder::remove(&note).into_iter();
    done.extend(folders.map(|folder| format!("removed {}", folder.display())));
    if args.purge_state && config.state.exists() {
        std::fs::remove_dir_all(&config.state).map_err(|error| Failure::host(&error))?;
        done.push(format!("removed {}", config.state.display()));
    } else if config.state.exists() {
        output::note(&format!(
            "{} is kept; --purge-state removes what was recorded too",
            config.state.display()
        ));
    }
    match args.output {
        Format::Json => output::json(&done)?,
        Format::Text if done.is_empty() => output::text("nothing to remove\n")?,
        Format::Text => output::text(&format!("{}\n", done.join("\n")))?,
    }
    Ok(Exit::Fine)
}
