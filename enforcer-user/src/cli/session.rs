// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session`: list, show, play, verify and explain what was recorded.
//!
//! Everything recorded is shown with control characters made visible: an agent chose some of that text,
//! and a terminal must not obey it.

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::PathBuf;

use enforcer_core::model::{SessionId, UnixMillis};
use enforcer_core::record::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{self, Format};
use super::play::{self, Paint, visible};
use super::session_why;
use super::source::Source;
use super::{Exit, Failure};
use crate::config::Config;
use crate::store::{Progress, SessionSummary, VerifyReport};

/// Arguments of `enforcer session`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    command: Command,
    /// How to print.
    #[arg(long, value_enum, default_value_t, global = true)]
    output: Format,
}

/// Subcommands of `enforcer session`.
#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List all sessions.
    List,
    /// Show the events of a session, one on each line.
    Show {
        /// The session.
        id: SessionId,
    },
    /// Play a session: who asked what, and what came back.
    Play {
        /// The session.
        id: SessionId,
    },
    /// Prove that what is stored is what was written. Exit 1 if it is not.
    Verify {
        /// Only this session.
        id: Option<SessionId>,
    },
    /// Say why an exchange was decided as it was, rule by rule. Exit 1 if it is denied.
    Why(session_why::Args),
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let source = Source::open(&config).await?;
    let colors = std::io::stdout().is_terminal();
    let (exit, text) = answer(&args, &source, Some(config.policies.folder), colors).await?;
    output::text(&text)?;
    Ok(exit)
}

/// What the command prints, and how it ends. `policies` is the bundle of the settings.
///
/// # Errors
/// If the source cannot be read or does not know the session.
pub async fn answer(
    args: &Args,
    source: &Source,
    policies: Option<PathBuf>,
    colors: bool,
) -> Result<(Exit, String), Failure> {
    let paint = Paint { colors };
    let is_json = args.output == Format::Json;
    match &args.command {
        Command::List => {
            let sessions = source.sessions().await?;
            let text = if is_json { json(&sessions)? } else { list(&sessions, paint) };
            Ok((Exit::Fine, text))
        }
        Command::Show { id } => {
            let events = events_of(source, *id).await?;
            let text = if is_json { json(&events)? } else { show(&events, paint) };
            Ok((Exit::Fine, text))
        }
        Command::Play { id } => {
            let events = events_of(source, *id).await?;
            let scenes = play::scenes(source, events).await;
            let text = if is_json { json(&scenes)? } else { play::text(&scenes, paint) };
            Ok((Exit::Fine, text))
        }
        Command::Verify { id } => {
            let bar = bar();
            let mut tell = |progress: Progress| {
                bar.set_length(progress.of.max(progress.records));
                bar.set_position(progress.records);
            };
            let report = source.verify(*id, &mut tell).await;
            bar.finish_and_clear();
            let report = report?;
            if let Some(id) = id
                && report.is_clean()
                && report.records == 0
            {
                return Err(unknown(*id));
            }
            let exit = if report.is_clean() { Exit::Fine } else { Exit::Difference };
            let text = if is_json { json(&report)? } else { verified(&report, paint) };
            Ok((exit, text))
        }
        Command::Why(args) => session_why::answer(args, source, policies, is_json, paint).await,
    }
}

/// A progress bar on a terminal, nothing in a pipe.
pub(super) fn bar() -> ProgressBar {
    let is_terminal = std::io::stderr().is_terminal();
    let target =
        if is_terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(0), target);
    let style = ProgressStyle::with_template("{bar:40} {pos} of {len} {msg}");
    bar.set_style(style.unwrap_or_else(|_bad_template| ProgressStyle::default_bar()));
    bar
}

pub(super) fn json<T: serde::Serialize>(data: &T) -> Result<String, Failure> {
    let text = serde_json::to_string_pretty(data).map_err(|error| Failure::host(&error))?;
    Ok(text + "\n")
}

async fn events_of(source: &Source, id: SessionId) -> Result<Vec<Event>, Failure> {
    let events = source.events(id).await?;
    if events.is_empty() {
        return Err(unknown(id));
    }
    Ok(events)
}

fn unknown(id: SessionId) -> Failure {
    Failure::new(Exit::Usage, format!("no session `{id}` is recorded"))
        .hint("`enforcer session list` shows the recorded ones")
}

fn list(sessions: &[SessionSummary], paint: Paint) -> String {
    let mut text = paint.faint(&format!(
        "{:<16}  {:<16}  {:<19}  {:>9}  {:>6}  {:>6}  {:>7}  {:>7}  {}\n",
        "SESSION",
        "AGENT",
        "STARTED (UTC)",
        "EXCHANGES",
        "DENIED",
        "MASKED",
        "REFUSED",
        "AROUND",
        "COMMAND"
    ));
    for session in sessions {
        let agent = match &session.agent {
            Some(agent) => visible(agent.as_str()),
            None if session.id == SessionId::HOST => "(daemon)".to_owned(),
            None => "-".to_owned(),
        };
        let denied = format!("{:>6}", session.denied);
        let refused =
            format!("{:>7}", session.network_refused.saturating_add(session.connections_refused));
        let around = format!("{:>7}", session.attempts);
        // Writing into a String does not fail.
        let _infallible = writeln!(
            text,
            "{:<16}  {agent:<16}  {:<19}  {:>9}  {}  {:>6}  {}  {}  {}{}",
            session.id.to_string(),
            play::moment(session.started),
            session.exchanges,
            if session.denied > 0 { paint.bad(&denied) } else { denied.clone() },
            session.masked,
            if refused.trim() == "0" { refused.clone() } else { paint.bad(&refused) },
            if session.attempts > 0 { paint.alarm(&around) } else { around.clone() },
            visible(&session.command.join(" ")),
            if session.is_running() { paint.good(" (running)") } else { String::new() },
        );
    }
    text
}

fn show(events: &[Event], paint: Paint) -> String {
    let mut text = String::new();
    for event in events {
        let line = play::line(event, paint);
        // Writing into a String does not fail.
        let _infallible = writeln!(
            text,
            "{:>5}  {}  {line}",
            event.sequence,
            paint.faint(&play::moment(event.at))
        );
    }
    text
}

fn verified(report: &VerifyReport, paint: Paint) -> String {
    let mut text = String::new();
    for problem in &report.problems {
        let session = problem.session.map(|id| format!("session {id} "));
        let record = problem.sequence.map(|sequence| format!("record {sequence} "));
        let exchange = problem.exchange.map(|id| format!("(exchange {id}) "));
        let what: String = [session, record, exchange].into_iter().flatten().collect();
        text += &format!("{} {what}{}\n", paint.bad("altered:"), visible(&problem.what));
    }
    for note in &report.notes {
        text += &format!("{} {}\n", paint.faint("note:"), visible(note));
    }
    text += &format!(
        "{} {} (whoever can write the journal can sign it with another key: compare this one with a note that is \
         kept elsewhere; the daemon logs it when it starts, and `enforcer status` shows it)\n",
        paint.faint("key:"),
        report.key
    );
    let looked = format!(
        "{} sessions, {} records, {} bodies",
        report.sessions, report.records, report.bodies
    );
    text += &match report.problems.len() {
        0 => format!("{} {looked}: everything is as it was written\n", paint.good("verified:")),
        count => format!("{} {looked}: {count} problems\n", paint.bad("not verified:")),
    };
    text
}

/// The moment `ago` before `now`: `90s`, `15m`, `12h`, `7d`, `2w`.
pub(super) fn before(now: UnixMillis, ago: &str) -> Option<UnixMillis> {
    let unit = ago.chars().next_back()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 24 * 3600,
        'w' => 7 * 24 * 3600,
        _ => return None,
    };
    let number = ago.strip_suffix(unit)?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let millis =
        is_number.then(|| number.parse::<u64>().ok()).flatten()?.checked_mul(seconds * 1000)?;
    Some(UnixMillis(now.0.saturating_sub(millis)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_ago_is_read_strictly() {
        let now = UnixMillis(10 * 24 * 3600 * 1000);
        assert_eq!(before(now, "7d"), Some(UnixMillis(3 * 24 * 3600 * 1000)));
        assert_eq!(before(now, "90s"), Some(UnixMillis(now.0 - 90_000)));
        assert_eq!(before(now, "2w"), Some(UnixMillis(0)));
        for text in ["", "d", "7", "+7d", "7 d", "-1d", "7y", "99999999999999999999d", "7ä"] {
            assert_eq!(before(now, text), None, "{text}");
        }
    }
}
