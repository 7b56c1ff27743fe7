// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where each session stands: its chain, its exchanges, whether it is still open.

use std::collections::BTreeMap;

use enforcer_core::model::limits::JOURNAL_SESSIONS_MAX;
use enforcer_core::model::{SessionId, UnixMillis};
use enforcer_core::record::{Chain, Content, Event, EventBody, Frame, Head};
use serde::{Deserialize, Serialize};

/// Sessions that are named in one text.
const BEYOND_NAMED_MAX: usize = 16;
const LATE_MILLIS: u64 = 24 * 3600 * 1000;

/// Where one session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SessionState {
    /// The end of its chain.
    pub(super) head: Head,
    /// The highest exchange number.
    pub(super) exchanges: u64,
    /// True once its last process is gone.
    pub(super) is_closed: bool,
    /// When its last record was made.
    pub(super) last_at: UnixMillis,
}

/// Where the sessions stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Heads(pub(super) BTreeMap<SessionId, SessionState>);

impl Heads {
    /// The number that the next event of a session gets.
    pub(super) fn next_sequence(&self, session: SessionId) -> u64 {
        self.state(session).head.count
    }

    /// Links the next record of `event`'s session.
    pub(super) fn append(&mut self, event: &Event, epoch: u32, content: Content) -> Frame {
        let mut state = self.state(event.session);
        let mut chain = Chain::resume(event.session, state.head);
        let frame = chain.append(epoch, content);
        state.head = chain.head();
        note(&mut state, event);
        self.0.insert(event.session, state);
        frame
    }

    /// Takes over a record that is already stored, if it is the next of its session.
    pub(super) fn follow(&mut self, frame: &Frame, event: Option<&Event>) -> bool {
        let mut state = self.state(frame.session);
        if frame.sequence != state.head.count || frame.prev != state.head.hash || !frame.is_intact()
        {
            return false;
        }
        state.head = Head { count: frame.sequence.saturating_add(1), hash: frame.hash };
        if let Some(event) = event {
            note(&mut state, event);
        }
        self.0.insert(frame.session, state);
        true
    }

    /// Takes over from `from` how the sessions of `frames` stand.
    pub(super) fn take_over(&mut self, from: &Self, frames: &[Frame]) {
        for session in frames.iter().map(|frame| frame.session) {
            self.0.insert(session, from.state(session));
        }
    }

    /// The sessions that go on at `now`: the open ones and, because their last events may come late,
    /// those closed within a day; of too many, those that were active last.
    pub(super) fn carried(&self, now: UnixMillis) -> Self {
        let is_carried = |state: &SessionState| {
            !state.is_closed || now.0.saturating_sub(state.last_at.0) < LATE_MILLIS
        };
        let mut carried: Vec<_> = self.0.iter().filter(|(_, state)| is_carried(state)).collect();
        carried.sort_by_key(|(_, state)| std::cmp::Reverse(state.last_at));
        Self(carried.into_iter().take(JOURNAL_SESSIONS_MAX).map(|(id, s)| (*id, *s)).collect())
    }

    /// The ends of all chains.
    pub(super) fn chains(&self) -> BTreeMap<SessionId, Head> {
        self.0.iter().map(|(id, state)| (*id, state.head)).collect()
    }

    /// In words, how many records `self` has that `signed` does not have.
    pub(super) fn beyond(&self, signed: &Self) -> String {
        let count = |session: &SessionId, state: &SessionState| {
            state.head.count.saturating_sub(signed.next_sequence(*session))
        };
        let counts = self.0.iter().map(|(session, state)| (count(session, state), *session));
        let mut beyond: Vec<(u64, SessionId)> = counts.filter(|(count, _)| *count > 0).collect();
        if beyond.is_empty() {
            return "no record is newer than the last signature".to_owned();
        }
        beyond.sort_by_key(|(count, session)| (std::cmp::Reverse(*count), *session));
        let records: u64 = beyond.iter().map(|(count, _)| count).sum();
        let sessions = beyond.len();
        let named = beyond.iter().take(BEYOND_NAMED_MAX);
        let named: Vec<String> =
            named.map(|(count, id)| format!("session {id}: {count}")).collect();
        let rest = match sessions.saturating_sub(BEYOND_NAMED_MAX) {
            0 => String::new(),
            rest => format!(", and {rest} more"),
        };
        format!(
            "records newer than the last signature were adopted: {records} of {sessions} sessions \
             ({}{rest})",
            named.join(", ")
        )
    }

    fn state(&self, session: SessionId) -> SessionState {
        self.0.get(&session).copied().unwrap_or_else(|| SessionState {
            head: Chain::new(session).head(),
            exchanges: 0,
            is_closed: false,
            last_at: UnixMillis(0),
        })
    }
}

fn note(state: &mut SessionState, event: &Event) {
    state.last_at = state.last_at.max(event.at);
    match &event.body {
        EventBody::ExchangeOpened(opened) => {
            state.exchanges = state.exchanges.max(opened.exchange.number);
        }
        EventBody::SessionClosed {} => state.is_closed = true,
        EventBody::ApprovalAnswered { .. }
        | EventBody::ApprovalAsked { .. }
        | EventBody::Audited { .. }
        | EventBody::BudgetReset { .. }
        | EventBody::ConnectionRefused { .. }
        | EventBody::ConnectionsCut { .. }
        | EventBody::EventsLost { .. }
        | EventBody::ExchangeClosed(_)
        | EventBody::JournalRecovered { .. }
        | EventBody::FaultBegan { .. }
        | EventBody::FaultEnded { .. }
        | EventBody::KernelEventsLost { .. }
        | EventBody::NetworkRefused(_)
        | EventBody::PolicyLoaded { .. }
        | EventBody::ResolveRefused { .. }
        | EventBody::SessionOpened(_)
        | EventBody::TunnelClosed { .. } => {}
    }
}
