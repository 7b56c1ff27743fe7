// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session list`: one line for each session, the newest last.

use std::fmt::Write;

use enforcer_core::model::{SessionId, UnixMillis};

use crate::cli::paint::{self, Paint, moment, user_name, visible};
use crate::cli::replay::since;
use crate::cli::{Exit, Failure};
use crate::store::SessionSummary;

/// What the columns mean; the same words stand in `docs/record.md`.
const COLUMNS: &str = "\
Columns:
  EXCHANGES   requests that were judged
  DENIED      of these, those that were denied or cut, at whatever step; also those that failed at the provider
  WOULD DENY  exchanges and connections that were let through only because the bundle or a rule observes
  MASKED      places that were masked in requests and answers
  REFUSED     connections, sockets and names that were refused before any exchange
  BYPASS      of these, those that ordinary programs do not make: attempts to get around Enforcer;
              what the filters of the launcher refuse (seccomp, Landlock) is not counted
The session `host` is the daemon's own: policies, faults, budgets.";

/// Arguments of `enforcer session list`.
#[derive(Debug, Default, clap::Args)]
#[command(after_help = COLUMNS)]
pub(super) struct Args {
    /// Only sessions that ran at or after this time: `90s`, `15m`, `12h`, `7d`, `2w`, or a time as in RFC 3339.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Only sessions of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only sessions of this user, by name or number.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Only sessions in which something was denied or refused.
    #[arg(long)]
    denied: bool,
    /// Show only the newest N sessions.
    #[arg(long, value_name = "N")]
    limit: Option<usize>,
}

impl Args {
    /// The sessions that are asked for, the newest last.
    pub(super) fn chosen(
        &self,
        sessions: Vec<SessionSummary>,
        now: UnixMillis,
    ) -> Result<Vec<SessionSummary>, Failure> {
        let since = since(self.since.as_deref(), now)?;
        let uid = self.user.as_deref().map(uid).transpose()?;
        let is_chosen = |session: &SessionSummary| {
            let of = |wanted: &String| {
                session.agent.as_ref().is_some_and(|agent| agent.as_str() == wanted)
            };
            let by = |uid| session.process.as_ref().is_some_and(|process| process.uid == uid);
            session.latest >= since
                && self.agent.as_ref().is_none_or(of)
                && uid.is_none_or(by)
                && (!self.denied || session.has_denials())
        };
        let mut chosen: Vec<_> = sessions.into_iter().filter(is_chosen).collect();
        // Ids sort by start, and so do sessions.
        let surplus = self.limit.map_or(0, |limit| chosen.len().saturating_sub(limit));
        drop(chosen.drain(..surplus));
        Ok(chosen)
    }
}

/// The number of a user of this host.
fn uid(user: &str) -> Result<u32, Failure> {
    if let Ok(uid) = user.parse() {
        return Ok(uid);
    }
    let found = nix::unistd::User::from_name(user).ok().flatten();
    found.map(|found| found.uid.as_raw()).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("this host has no user `{user}`"))
            .hint("give the number, if the user is gone")
    })
}

/// The table.
pub(super) fn text(sessions: &[SessionSummary], paint: Paint) -> String {
    let mut text = paint.faint(&format!(
        "{:<16}  {:<16}  {:<12}  {:<19}  {:>9}  {:>6}  {:>10}  {:>6}  {:>7}  {:>6}  {}\n",
        "SESSION",
        "AGENT",
        "USER",
        "STARTED (UTC)",
        "EXCHANGES",
        "DENIED",
        "WOULD DENY",
        "MASKED",
        "REFUSED",
        "BYPASS",
        "COMMAND"
    ));
    for session in sessions {
        let agent = match &session.agent {
            Some(agent) => visible(agent.as_str()),
            None if session.id == SessionId::HOST => "(daemon)".to_owned(),
            None => "-".to_owned(),
        };
        let uid = session.process.as_ref().map(|process| process.uid);
        let user = uid.map(|uid| user_name(uid).unwrap_or_else(|| uid.to_string()));
        let refused = session.network_refused.saturating_add(session.connections_refused);
        let shown = |number: u64, width: usize, paint: &dyn Fn(&str) -> String| {
            let cell = format!("{number:>width$}");
            if number > 0 { paint(&cell) } else { cell }
        };
        let before = format!(
            "{:<16}  {agent:<16}  {:<12}  {:<19}  {:>9}  ",
            paint::session(session.id),
            visible(user.as_deref().unwrap_or("-")),
            moment(session.started),
            session.exchanges,
        );
        let cells = [
            shown(session.denied, 6, &|cell| paint.bad(cell)),
            shown(session.would_deny, 10, &|cell| paint.strong(cell)),
            shown(session.masked, 6, &str::to_owned),
            shown(refused, 7, &|cell| paint.bad(cell)),
            shown(session.attempts, 6, &|cell| paint.alarm(cell)),
        ];
        // What the cells are wide, with the two spaces behind each.
        let columns = before.chars().count() + 6 + 10 + 6 + 7 + 6 + 2 * cells.len();
        let state = if session.is_running() { " (running)" } else { "" };
        let command = visible(&session.command.join(" "));
        let command = paint.fitted(&command, columns + state.len());
        // Writing into a String does not fail.
        let _infallible =
            writeln!(text, "{before}{}  {command}{}", cells.join("  "), paint.good(state));
    }
    text
}
