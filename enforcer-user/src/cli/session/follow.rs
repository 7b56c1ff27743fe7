// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer session follow`: events as they are recorded, by pages that the daemon is asked for again and again.
//!
//! It asks by the routes that lists and shows use, so whoever follows sees what they may read and no more. Each round
//! reads a bounded number of sessions and pages; what is left over comes in the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use enforcer_core::model::{AgentName, SessionId, UnixMillis, limits};
use enforcer_core::record::{Event, EventBody, ExchangeOutcome};

use super::line::line;
use crate::admin::{self, Client};
use crate::cli::output::{self, Format};
use crate::cli::paint::{self, Paint, time};
use crate::cli::source::Source;
use crate::cli::{Exit, Failure};
use crate::runtime::Clock;
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

/// How far the sessions were read.
struct Follower {
    client: Client,
    places: BTreeMap<SessionId, Place>,
    /// Sessions up to this one are known, or began before the command.
    after: SessionId,
    /// Those after it that are over.
    done: BTreeSet<SessionId>,
}

/// How far one session was read.
struct Place {
    agent: Option<AgentName>,
    next: u64,
    /// When its end was read.
    ended: Option<Instant>,
}

impl Follower {
    /// Begins behind everything that is recorded.
    async fn new(client: Client) -> Result<Self, admin::Error> {
        let recorded: Vec<SessionSummary> = client.get("/v1/sessions").await?;
        // Somebody who may read few sessions is not to look through all of them.
        let newest = SessionId::new(Clock::system().now(), 0);
        let (alive, over): (Vec<_>, Vec<_>) =
            recorded.into_iter().partition(|it| it.is_running() || it.id == SessionId::HOST);
        let place =
            |it: SessionSummary| (it.id, Place { agent: it.agent, next: it.events, ended: None });
        let done = over.into_iter().map(|it| it.id).collect();
        let places = alive.into_iter().map(place).collect();
        let mut follower = Self { client, places, after: SessionId::HOST, done };
        follower.look_back(newest);
        Ok(follower)
    }

    /// What was recorded since the last round, in the order in which it happened.
    async fn round(&mut self) -> Result<Vec<(Option<AgentName>, Event)>, admin::Error> {
        let path = format!("/v1/sessions/begun?after={}", self.after);
        let begun: Vec<SessionId> = self.client.get(&path).await?;
        for id in begun.iter().filter(|id| !self.done.contains(id)) {
            self.places.entry(*id).or_insert(Place { agent: None, next: 0, ended: None });
        }
        if let Some(newest) = begun.last() {
            self.look_back(*newest);
        }
        self.keep_within_bound();
        let mut events = Vec::new();
        for (id, place) in &mut self.places {
            let path = format!("/v1/sessions/{id}/events?from={}", place.next);
            let page: EventPage = match self.client.get(&path).await {
                Ok(page) => page,
                // What is another user's is not for everybody.
                Err(admin::Error::Refused { status: 403 | 404, .. }) => continue,
                Err(error) => return Err(error),
            };
            for event in page.events {
                place.next = event.sequence.saturating_add(1);
                match &event.body {
                    EventBody::SessionOpened(opened) => place.agent = Some(opened.agent.clone()),
                    EventBody::SessionClosed {} => place.ended = Some(Instant::now()),
                    _ => {}
                }
                events.push((place.agent.clone(), event));
            }
        }
        let is_over = |place: &Place| {
            place.ended.is_some_and(|ended| ended.elapsed() >= limits::FOLLOW_LINGER)
        };
        let over = self.places.iter().filter(|(_, place)| is_over(place));
        let over: Vec<SessionId> = over.map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.finish(id));
        events.sort_by_key(|(_, event)| (event.at, event.session, event.sequence));
        Ok(events)
    }

    /// Asks no more for sessions that began long before this one.
    fn look_back(&mut self, newest: SessionId) {
        let back = SessionId::new(UnixMillis(limits::FOLLOW_LOOK_BACK_MILLIS), 0).as_u64();
        let after = SessionId::from_u64(newest.as_u64().saturating_sub(back));
        self.after = self.after.max(after);
        self.done = self.done.split_off(&self.after);
    }

    fn finish(&mut self, id: SessionId) {
        self.places.remove(&id);
        self.done.insert(id);
    }

    /// Leaves out sessions beyond the bound: first those that ended, then the oldest.
    fn keep_within_bound(&mut self) {
        while self.places.len() > limits::FOLLOW_SESSIONS_MAX {
            let mut agents = self.places.iter().filter(|(id, _)| **id != SessionId::HOST);
            let oldest = agents.clone().next().map(|(id, _)| *id);
            let ended = agents.find(|(_, place)| place.ended.is_some()).map(|(id, _)| *id);
            let Some(left_out) = ended.or(oldest) else { return };
            self.finish(left_out);
        }
    }
}
