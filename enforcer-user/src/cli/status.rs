// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer status`: the state at a glance. Exit 1 if something is not as it should be.

use enforcer_core::model::limits::STATUS_TIMEOUT;
use enforcer_core::model::{Alarm, Fault, Launch, Mode};

use super::output::{self, Format};
use super::{Exit, Failure, budget, paint};
use crate::admin::{AccountStatus, AskerStatus, Client, Error, Grade, PolicyStatus, Status};
use crate::config::Config;
use crate::identity;

/// Arguments of `enforcer status`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How to print.
    #[arg(long, value_enum, default_value_t)]
    output: Format,
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let client = Client::new(&config.socket).patient_for(STATUS_TIMEOUT);
    let status: Status = match client.get("/v1/status").await {
        Err(error @ Error::Broken { .. }) => return silent(&args, &client, &error).await,
        Err(error @ Error::Absent { .. }) => return Err(absent(&args, error)?),
        answer => answer?,
    };
    let exit = if status.is_healthy { Exit::Fine } else { Exit::Difference };
    match args.output {
        Format::Json => output::json(&status)?,
        Format::Text => output::text(&render(&status))?,
    }
    Ok(exit)
}

/// What can be said of a daemon that is there and does not answer.
#[derive(serde::Serialize)]
struct Silent {
    is_healthy: bool,
    pid: Option<u32>,
    health: [Alarm; 1],
}

/// A monitor gets the same words as of a daemon that does not answer; people are told on stderr.
fn absent(args: &Args, error: Error) -> Result<Failure, Failure> {
    if args.output == Format::Json {
        let alarm = Alarm::new(Fault::Daemon, None, error.to_string());
        output::json(&Silent { is_healthy: false, pid: None, health: [alarm] })?;
    }
    Ok(error.into())
}

async fn silent(args: &Args, client: &Client, error: &Error) -> Result<Exit, Failure> {
    let pid = client.daemon().await;
    let is_stopped = pid.is_some_and(identity::is_stopped);
    let detail = if is_stopped { "the process is stopped".to_owned() } else { error.to_string() };
    let alarm = Alarm::new(Fault::Daemon, None, detail);
    match args.output {
        Format::Json => output::json(&Silent { is_healthy: false, pid, health: [alarm] })?,
        Format::Text => {
            let pid = pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default();
            let mut lines = vec![format!("daemon    {}{pid}", word(false))];
            lines.extend(alarm_lines(&alarm));
            output::text(&(lines.join("\n") + "\n"))?;
        }
    }
    Ok(Exit::Difference)
}

fn alarm_lines(alarm: &Alarm) -> [String; 2] {
    let since = alarm.since.map(|since| format!(" since {} UTC", paint::moment(since)));
    let since = since.unwrap_or_default();
    [
        format!("fault     {}{since}: {}", alarm.name.name(), paint::visible(&alarm.detail)),
        format!("          {}", alarm.advice),
    ]
}

fn render(status: &Status) -> String {
    let attached = status.programs.iter().filter(|program| program.is_attached).count();
    let mut lines = vec![
        format!("daemon    {} (pid {})", word(status.is_healthy), status.pid),
        policy_line(&status.policy),
    ];
    if let Some(refused) = &status.policy.refused {
        lines.push(format!("          the folder holds a bundle that is refused: {refused}"));
    }
    lines.extend([
        format!("journal   {}", status.journal),
        format!("          signed with key {}", status.journal_key),
        format!(
            "kernel    {attached} of {} programs attached at {}",
            status.programs.len(),
            status.cgroup.display()
        ),
    ]);
    lines.splice(1..1, status.health.iter().flat_map(alarm_lines));
    for missing in status.programs.iter().filter(|program| !program.is_attached) {
        lines.push(format!("          `{}` is not attached", missing.name));
    }
    if status.kernel_events_lost > 0 {
        lines.push(format!(
            "          {} kernel events were lost (their verdicts held)",
            status.kernel_events_lost
        ));
    }
    if !status.attempts.is_empty() {
        let counts = status.attempts.iter();
        let counts = counts.map(|(technique, count)| format!("{} {count}", technique.word()));
        lines.push(format!("refused   {}", counts.collect::<Vec<_>>().join(", ")));
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
    for warning in &status.warnings {
        lines.push(format!("warning   {}", paint::visible(warning)));
    }
    lines.extend(questions_line(status));
    lines.extend(budget_lines(status));
    lines.push(match status.sessions_of_others {
        0 => format!("sessions  {} alive", status.sessions.len()),
        others => {
            format!("sessions  {} of yours alive, {others} of others", status.sessions.len())
        }
    });
    for session in &status.sessions {
        let launch =
            session.launch.as_ref().map_or_else(|| "unknown".to_owned(), Launch::to_string);
        lines.push(format!("          {}  {}  {launch}", session.id, session.agent));
    }
    lines.extend(status.asker.as_ref().map(asker_line));
    lines.push(String::new());
    lines.join("\n")
}

fn questions_line(status: &Status) -> Option<String> {
    let oldest = status.questions.oldest?;
    let (open, oldest) = (status.questions.open, paint::moment(oldest));
    let wait = if open == 1 { "request waits" } else { "requests wait" };
    Some(format!(
        "approvals {open} {wait} for a person, since {oldest} UTC; `enforcer approval list`"
    ))
}

fn budget_lines(status: &Status) -> Vec<String> {
    let line = |found: &AccountStatus| {
        let left = [(found.left.tokens, "tokens"), (found.left.requests, "requests")];
        let left = left.into_iter().filter_map(|(left, unit)| Some(format!("{} {unit}", left?)));
        let until = found.until.map(|until| format!(", until {} UTC", paint::moment(until)));
        format!(
            "budget    {} of {}: {} left{}",
            paint::visible(&found.budget),
            budget::whom(found),
            left.collect::<Vec<_>>().join(" and "),
            until.unwrap_or_default()
        )
    };
    status.budgets_near_end.iter().map(line).collect()
}

/// What the asking user may do.
fn asker_line(asker: &AskerStatus) -> String {
    if asker.grades.contains(&Grade::Change) {
        return "you       are root: you may do everything".to_owned();
    }
    let words = |grade: &Grade| match grade {
        Grade::Use => "start agents and read their own sessions",
        Grade::Audit => "read everything",
        Grade::Change => "change everything",
    };
    let may: Vec<&str> = asker.grades.iter().map(words).collect();
    format!("you       user {} may {}", asker.uid, may.join(", "))
}

const fn word(is_healthy: bool) -> &'static str {
    if is_healthy { "healthy" } else { "NOT healthy" }
}
fn policy_line(policy: &PolicyStatus) -> String {
    let revision = policy.revision.as_ref().map(|revision| format!(" at {revision}"));
    let observes = match policy.mode {
        Mode::Enforce => "",
        Mode::Observe => {
            ", OBSERVES ONLY: decisions are only recorded; the kernel still refuses UDP, raw sockets and \
             other bypasses"
        }
    };
    let (version, folder) = (&policy.version, policy.folder.display());
    format!("policy    {version} from {folder}{}{observes}", revision.unwrap_or_default())
}
