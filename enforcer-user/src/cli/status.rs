// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer status`: the state at a glance. Exit 1 if something is not as it should be.

use enforcer_core::model::Launch;

use super::output::{self, Format};
use super::{Exit, Failure};
use crate::admin::{Client, Status};
use crate::config::Config;

/// Arguments of `enforcer status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let status: Status = Client::new(&config.socket).get("/v1/status").await?;
    let exit = if status.is_healthy { Exit::Fine } else { Exit::Difference };
    match args.output {
        Format::Json => output::json(&status)?,
        Format::Text => output::text(&render(&status))?,
    }
    Ok(exit)
}

fn render(status: &Status) -> String {
    let attached = status.programs.iter().filter(|program| program.is_attached).count();
    let mut lines = vec![
        format!("daemon    {} (pid {})", word(status.is_healthy), status.pid),
        format!("policy    {} from {}", status.policy.version, status.policy.folder.display()),
        format!("journal   {}", status.journal),
        format!(
            "kernel    {attached} of {} programs attached at {}",
            status.programs.len(),
            status.cgroup.display()
        ),
    ];
    if let Some(refused) = &status.policy.refused {
        lines.push(format!("          the folder holds a bundle that is refused: {refused}"));
    }
    for missing in status.programs.iter().filter(|program| !program.is_attached) {
        lines.push(format!("          `{}` is not attached", missing.name));
    }
    if status.kernel_events_lost > 0 {
        lines.push(format!(
            "          {} kernel events were lost (their verdicts held)",
            status.kernel_events_lost
        ));
    }
    if status.namespaces > 0 {
        lines.push(format!(
            "          {} network namespaces of agents are served",
            status.namespaces
        ));
    }
    lines.push(match &status.tier_reason {
        Some(reason) => format!("tier      {}, because {reason}", status.tier),
        None => format!("tier      {}", status.tier),
    });
    lines.push(format!("sessions  {} alive", status.sessions.len()));
    for session in &status.sessions {
        let launch =
            session.launch.as_ref().map_or_else(|| "unknown".to_owned(), Launch::to_string);
        lines.push(format!("          {}  {}  {launch}", session.id, session.agent));
    }
    lines.push(String::new());
    lines.join("\n")
}

const fn word(is_healthy: bool) -> &'static str {
    if is_healthy { "healthy" } else { "NOT healthy" }
}
