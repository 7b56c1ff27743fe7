// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a session is in one line of a listing.

use enforcer_core::model::{AgentName, Mode, PolicyVersion, SessionId, UnixMillis};
use enforcer_core::record::{Event, EventBody, ExchangeOutcome, Process, Recorded};
use serde::{Deserialize, Serialize};

/// A session in one line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionSummary {
    /// Its id.
    pub id: SessionId,
    /// The agent; missing for the daemon's own session and for one whose start is not stored any more.
    pub agent: Option<AgentName>,
    /// Its root process.
    pub process: Option<Process>,
    /// Its command, as typed.
    pub command: Vec<Recorded>,
    /// The policy in force at the start; for the daemon's own session the latest one.
    pub policy: Option<PolicyVersion>,
    /// When its first stored event was.
    pub started: UnixMillis,
    /// When its last stored event was.
    pub latest: UnixMillis,
    /// When its last process was gone; none while it runs.
    pub ended: Option<UnixMillis>,
    /// Events stored.
    pub events: u64,
    /// Exchanges judged.
    pub exchanges: u64,
    /// Exchanges denied or cut, at whatever step.
    pub denied: u64,
    /// Exchanges and connections that were let through only because the bundle or a rule observes.
    #[serde(default)]
    pub would_deny: u64,
    /// Places masked, in requests and answers.
    pub masked: u64,
    /// Bodies that are not stored, or not whole, where all of them should be.
    #[serde(default)]
    pub unstored: u64,
    /// Connections refused before any exchange; observed ones are not among them.
    pub connections_refused: u64,
    /// What the kernel or the resolver refused, repeats included.
    pub network_refused: u64,
    /// Of these, kernel-level attempts: UDP, raw sockets, the admin API … The others are names of no endpoint that
    /// the agent may use.
    #[serde(default)]
    pub attempts: u64,
}

impl SessionSummary {
    /// A session of which nothing is known yet but its first event's time.
    pub(super) const fn new(id: SessionId, started: UnixMillis) -> Self {
        Self {
            id,
            agent: None,
            process: None,
            command: Vec::new(),
            policy: None,
            started,
            latest: started,
            ended: None,
            events: 0,
            exchanges: 0,
            denied: 0,
            would_deny: 0,
            masked: 0,
            unstored: 0,
            connections_refused: 0,
            network_refused: 0,
            attempts: 0,
        }
    }

    /// True for a session of an agent whose end was not recorded.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.id != SessionId::HOST && self.ended.is_none()
    }

    /// True if something was denied, or refused before it became an exchange.
    #[must_use]
    pub const fn has_denials(&self) -> bool {
        self.denied > 0 || self.connections_refused > 0 || self.network_refused > 0
    }

    /// Takes the next event in.
    pub(super) fn add(&mut self, event: &Event) {
        self.events += 1;
        self.latest = self.latest.max(event.at);
        match &event.body {
            EventBody::ConnectionRefused { mode, .. } => {
                let counter = match mode {
                    Mode::Enforce => &mut self.connections_refused,
                    Mode::Observe => &mut self.would_deny,
                };
                *counter += 1;
            }
            EventBody::ExchangeClosed(closed) => {
                self.denied += u64::from(matches!(closed.outcome, ExchangeOutcome::Denied(_)));
                self.masked = self.masked.saturating_add(closed.masked);
                self.unstored += u64::from(closed.request_unstored.is_some());
                self.unstored += u64::from(closed.response_unstored.is_some());
            }
            EventBody::ExchangeOpened(opened) => {
                self.exchanges += 1;
                self.denied += u64::from(opened.denied.is_some());
                let is_denied = opened.denied.is_some();
                self.would_deny += u64::from(!is_denied && opened.decision.would_deny());
                self.masked = self.masked.saturating_add(opened.masked);
                self.unstored += u64::from(opened.request_unstored.is_some());
            }
            EventBody::NetworkRefused(refused) => {
                let count = refused.repeated.count;
                self.network_refused = self.network_refused.saturating_add(count);
                self.attempts = self.attempts.saturating_add(count);
            }
            EventBody::ResolveRefused { repeated, .. } => {
                self.network_refused = self.network_refused.saturating_add(repeated.count);
            }
            EventBody::PolicyLoaded { policy } => self.policy = Some(policy.clone()),
            EventBody::SessionClosed {} => self.ended = Some(event.at),
            EventBody::SessionOpened(opened) => {
                self.agent = Some(opened.agent.clone());
                self.process = Some(opened.process.clone());
                self.command.clone_from(&opened.command);
                self.policy = Some(opened.policy.clone());
            }
            EventBody::ConnectionsCut { .. }
            | EventBody::EventsLost { .. }
            | EventBody::FaultBegan { .. }
            | EventBody::FaultEnded { .. }
            | EventBody::ApprovalAnswered { .. }
            | EventBody::ApprovalAsked { .. }
            | EventBody::Audited { .. }
            | EventBody::BudgetReset { .. }
            | EventBody::JournalRecovered { .. }
            | EventBody::KernelEventsLost { .. } => {}
            EventBody::TunnelClosed { denied, .. } => {
                self.denied += u64::from(denied.is_some());
            }
        }
    }
}
