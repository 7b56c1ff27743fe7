// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session follow`: events as they are recorded, by pages that the daemon is asked for again and again.
//!
//! It asks by the routes that lists and shows use, so whoever follows sees what they may read and no more. Each round
//! reads a bounded number of sessions and pages; what is left over comes in the next one.

use std::collections::BTreeMap;

use enforcer_core::model::{AgentName, SessionId, limits};
use enforcer_core::record::{Event, EventBody, ExchangeOutcome};

use super::line::line;
use crate::admin::{self, Client, Status};
use crate::cli::output::{self, Format};
use crate::cli::paint::{self, Paint, time};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure};
use crate::store::{EventPage, SessionSummary};

/// Arguments of `enforcer session follow`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only sessions of this agent.
    #[arg(long, value_name = "NAME")]
    agent: Option<String>,
    /// Only what was denied or refused.
    #[arg(long)]
    denied: bool,
}

/// Prints what is recorded from now on, until the daemon ends or the command is interrupted.
///
/// # Errors
/// If no daemon runs, or it does not let this user read.
pub(super) async fn run(
    args: &Args,
    source: &Source,
    format: Format,
    paint: Paint,
) -> Result<Exit, Failure> {
    let Source::Live(client) = source else {
        return Err(Failure::new(Exit::HostCannot, "no daemon runs, so nothing is being recorded")
            .hint("`enforcer session play` shows what was"));
    };
    let mut follower = Follower::new(client.clone()).await?;
    output::note("following from here on; Ctrl-C ends it");
    loop {
        let events = match follower.round().await {
            Ok(events) => events,
            Err(admin::Error::Absent { .. } | admin::Error::Broken { .. }) => {
                output::note("the daemon ended");
                return Ok(Exit::Fine);
            }
            Err(error) => return Err(error.into()),
        };
        for (agent, event) in events {
            let name = agent.as_ref().map(AgentName::as_str);
            let is_wanted = args.agent.is_none() || args.agent.as_deref() == name;
            if is_wanted && (!args.denied || is_denial(&event)) {
                output::text(&shown(&event, name, format, paint)?)?;
            }
        }
        tokio::time::sleep(limits::FOLLOW_INTERVAL).await;
    }
}

/// One line for each event: JSON for programs.
fn shown(
    event: &Event,
    agent: Option<&str>,
    format: Format,
    paint: Paint,
) -> Result<String, Failure> {
    if format == Format::Json {
        let line = serde_json::to_string(event).map_err(|error| Failure::host(&error))?;
        return Ok(line + "\n");
    }
    Ok(format!(
        "{}  {:<16}  {}  {}\n",
        paint.faint(&time(event.at)),
        paint::session(event.session),
        paint::visible(agent.unwrap_or("-")),
        line(event, paint)
    ))
}

/// Whether something was denied or refused by what the event says.
fn is_denial(event: &Event) -> bool {
    match &event.body {
        EventBody::ConnectionRefused { mode, .. } => mode.is_enforce(),
        EventBody::ExchangeClosed(closed) => matches!(closed.outcome, ExchangeOutcome::Denied(_)),
        EventBody::ExchangeOpened(opened) => opened.denied.is_some(),
        EventBody::TunnelClosed { denied, .. } => denied.is_some(),
        EventBody::NetworkRefused(_) | EventBody::ResolveRefused { .. } => true,
        EventBody::ApprovalAnswered { grants, .. } => !grants,
        EventBody::ApprovalAsked { .. }
        | EventBody::Audited { .. }
        | EventBody::BudgetReset { .. }
        | EventBody::ConnectionsCut { .. }
        | EventBody::EventsLost { .. }
        | EventBody::FaultBegan { .. }
        | EventBody::FaultEnded { .. }
        | EventBody::JournalRecovered { .. }
        | EventBody::KernelEventsLost { .. }
        | EventBody::PolicyLoaded { .. }
        | EventBody::SessionClosed {}
        | EventBody::SessionOpened(_) => false,
    }
}

/// How far the sessions that are alive were read.
struct Follower {
    client: Client,
    places: BTreeMap<SessionId, Place>,
}

/// How far one session was read.
struct Place {
    agent: Option<AgentName>,
    next: u64,
    is_alive: bool,
}

impl Follower {
    /// Begins behind everything that is recorded.
    async fn new(client: Client) -> Result<Self, admin::Error> {
        let recorded: Vec<SessionSummary> = client.get("/v1/sessions").await?;
        let alive = recorded.into_iter().filter(|it| it.is_running() || it.id == SessionId::HOST);
        let place = |it: SessionSummary| {
            (it.id, Place { agent: it.agent, next: it.events, is_alive: true })
        };
        Ok(Self { client, places: alive.map(place).collect() })
    }

    /// What was recorded since the last round, in the order in which it happened.
    async fn round(&mut self) -> Result<Vec<(Option<AgentName>, Event)>, admin::Error> {
        let status: Status = self.client.get("/v1/status").await?;
        for (id, place) in &mut self.places {
            place.is_alive =
                *id == SessionId::HOST || status.sessions.iter().any(|it| it.id == *id);
        }
        for session in status.sessions {
            let new = || Place { agent: Some(session.agent), next: 0, is_alive: true };
            self.places.entry(session.id).or_insert_with(new);
        }
        let mut events = Vec::new();
        let mut gone = Vec::new();
        let newest_first = self.places.iter_mut().rev().take(limits::FOLLOW_SESSIONS_MAX);
        for (id, place) in newest_first {
            let path = format!("/v1/sessions/{id}/events?from={}", place.next);
            let page: EventPage = match self.client.get(&path).await {
                Ok(page) => page,
                // Another user's session: `status` counts it, its events are not for everybody.
                Err(admin::Error::Refused { status: 403 | 404, .. }) => continue,
                Err(error) => return Err(error),
            };
            let has_more = page.next.is_some();
            if let Some(last) = page.events.last() {
                place.next = last.sequence.saturating_add(1);
            }
            let has_ended =
                page.events.iter().any(|event| event.body == EventBody::SessionClosed {});
            if has_ended || (!place.is_alive && page.events.is_empty() && !has_more) {
                gone.push(*id);
            }
            events.extend(page.events.into_iter().map(|event| (place.agent.clone(), event)));
        }
        for id in gone {
            self.places.remove(&id);
        }
        events.sort_by_key(|(_, event)| (event.at, event.session, event.sequence));
        Ok(events)
    }
}
