// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session`: list, follow, show, play, verify and explain what was recorded.
//!
//! Everything recorded is shown with control characters made visible: an agent chose some of that text,
//! and a terminal must not obey it.

mod follow;
mod line;
mod list;
mod play;
mod said;
mod target;
mod why;

use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;

use enforcer_core::model::{ExchangeId, SessionId, UnixMillis};
use enforcer_core::record::Event;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output::{self, Format};
use super::paint::{Paint, count, moment, visible};
use super::source::Source;
use super::{Exit, Failure};
use crate::config::Config;
use crate::runtime::Clock;
use crate::store::{Progress, VerifyReport};
use target::Target;
pub use why::{By, why};

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
    /// List the sessions, the newest last.
    List(list::Args),
    /// Show what is recorded as it happens, until Ctrl-C or the end of the daemon. `--output json` prints one JSON
    /// document on each line.
    Follow(follow::Args),
    /// Show the events of a session or an exchange, one on each line.
    Show {
        /// The session or the exchange; `host` is the daemon's own session.
        id: Target,
    },
    /// Play a session or an exchange: who asked what, and what came back.
    Play {
        /// The session or the exchange; `host` is the daemon's own session.
        id: Target,
        /// Show requests and answers whole, as they are stored, and not only what is new in them.
        #[arg(long)]
        full: bool,
    },
    /// Prove that what is stored is what was written. Exit 1 if it is not.
    Verify {
        /// Only this session.
        id: Option<SessionId>,
    },
    /// Say what became of an exchange and why: the step, the facts, the rules, and what to do. Exit 1 if it was
    /// denied, at whatever step.
    Why(why::Args),
}

pub(super) async fn run(args: Args, config: Config) -> Result<Exit, Failure> {
    let source = Source::open(&config).await?;
    let paint = Paint::stdout();
    if let Command::Follow(follow) = &args.command {
        return follow::run(follow, &source, args.output, paint).await;
    }
    let folder = config.policies.folder;
    let now = Clock::system().now();
    let (exit, text) = answer(&args, &source, Some(&folder), now, paint).await?;
    output::text(&text)?;
    Ok(exit)
}

/// What the command prints, and how it ends. `policies` is the bundle of the settings. Following has no end and no
/// answer: here it is none.
///
/// # Errors
/// If the source cannot be read or does not know the session.
pub async fn answer(
    args: &Args,
    source: &Source,
    policies: Option<&Path>,
    now: UnixMillis,
    paint: Paint,
) -> Result<(Exit, String), Failure> {
    let is_json = args.output == Format::Json;
    match &args.command {
        Command::List(args) => {
            let sessions = args.chosen(source.sessions().await?, now)?;
            let text = if is_json { json(&sessions)? } else { list::text(&sessions, paint) };
            Ok((Exit::Fine, text))
        }
        Command::Follow(_) => Ok((Exit::Fine, String::new())),
        Command::Show { id } => {
            let events = id.events(source).await?;
            let text = if is_json { json(&events)? } else { show(&events, paint) };
            Ok((Exit::Fine, text))
        }
        Command::Play { id, full } => {
            let events = id.events(source).await?;
            let scenes = play::scenes(source, events, *full).await;
            let text = if is_json { json(&scenes)? } else { play::text(&scenes, paint) };
            Ok((Exit::Fine, text))
        }
        Command::Verify { id } => verify(source, *id, is_json, paint).await,
        Command::Why(args) => {
            let by = match (&args.policies, policies) {
                (Some(folder), _) => By::Given(folder),
                (None, Some(folder)) => By::Settings(folder),
                (None, None) => By::Nothing,
            };
            why(source, args.id, by, paint, is_json).await
        }
    }
}

async fn verify(
    source: &Source,
    id: Option<SessionId>,
    is_json: bool,
    paint: Paint,
) -> Result<(Exit, String), Failure> {
    let bar = bar();
    let mut tell = |progress: Progress| {
        bar.set_length(progress.of.max(progress.records));
        bar.set_position(progress.records);
    };
    let report = source.verify(id, &mut tell).await;
    bar.finish_and_clear();
    let report = report?;
    if let Some(id) = id
        && report.is_clean()
        && report.records == 0
    {
        return Err(unknown(id));
    }
    let exit = if report.is_clean() { Exit::Fine } else { Exit::Difference };
    let text = if is_json { json(&report)? } else { verified(&report, paint) };
    Ok((exit, text))
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

fn unknown(id: SessionId) -> Failure {
    Failure::new(Exit::Usage, format!("no session `{id}` is recorded"))
        .hint("`enforcer session list` shows the recorded ones")
}

fn unknown_exchange(id: ExchangeId) -> Failure {
    Failure::new(Exit::Usage, format!("no exchange `{id}` is recorded"))
        .hint(format!("`enforcer session show {}` lists those of its session", id.session))
}

fn show(events: &[Event], paint: Paint) -> String {
    let mut text = String::new();
    for event in events {
        let line = line::line(event, paint);
        // Writing into a String does not fail.
        let _infallible =
            writeln!(text, "{:>5}  {}  {line}", event.sequence, paint.faint(&moment(event.at)));
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
    let looked = [
        count(report.sessions, "session", "sessions"),
        count(report.records, "record", "records"),
        count(report.bodies, "body", "bodies"),
    ]
    .join(", ");
    text += &match report.problems.len() {
        0 => format!("{} {looked}: everything is as it was written\n", paint.good("verified:")),
        found => {
            let problems = count(found as u64, "problem", "problems");
            format!("{} {looked}: {problems}\n", paint.bad("not verified:"))
        }
    };
    text
}

/// The moment that a text means: `90s`, `15m`, `12h`, `7d`, `2w` before `now`, or a time as in RFC 3339, of which a
/// day alone begins at midnight UTC.
pub(super) fn before(now: UnixMillis, text: &str) -> Option<UnixMillis> {
    ago(now, text).or_else(|| {
        let day = || text.parse::<jiff::civil::Date>().ok();
        let midnight = || day()?.to_zoned(jiff::tz::TimeZone::UTC).ok().map(|at| at.timestamp());
        let at = text.parse::<jiff::Timestamp>().ok().or_else(midnight)?;
        u64::try_from(at.as_millisecond()).ok().map(UnixMillis)
    })
}

fn ago(now: UnixMillis, ago: &str) -> Option<UnixMillis> {
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
        assert_eq!(before(now, "1970-01-02"), Some(UnixMillis(24 * 3600 * 1000)));
        assert_eq!(before(now, "1970-01-01T01:00:00+01:00"), Some(UnixMillis(0)));
        assert_eq!(before(now, "1970-01-01T00:00:01.5Z"), Some(UnixMillis(1500)));
    }
}
