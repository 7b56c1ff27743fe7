// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Refused attempts on their way into the record: counted, told by technique, repeats become one record.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use enforcer_core::mask::Masker;
use enforcer_core::model::{SessionId, UnixMillis};
use enforcer_core::record::{
    Bounds, Entry, EventBody, Hook, Kind, Ledger, NetworkRefused, Process, Recorded, Refusal,
    Repeated, Technique,
};

use super::Enforcer;
use crate::identity::{self, Witness};

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Attempt {
    Name { process: Option<Process>, name: Recorded },
    Network(NetworkRefused),
}

impl Attempt {
    /// Finds out more about who it was.
    fn complete(self, witness: Option<Witness>, masker: &Masker) -> Self {
        let complete = |process: Process| match witness {
            Some(witness) => identity::complete(process, witness, masker),
            None => process,
        };
        match self {
            Self::Name { process, name } => Self::Name { process: process.map(complete), name },
            Self::Network(refused) => {
                Self::Network(NetworkRefused { process: complete(refused.process), ..refused })
            }
        }
    }

    /// What is recorded passes the masks that are in force then: it may have been counted under others.
    fn into_event(self, repeated: Repeated, masker: &Masker) -> EventBody {
        match self {
            Self::Name { process, name } => EventBody::ResolveRefused {
                process: process.map(|process| process.again(masker)),
                name: name.again(masker),
                repeated,
            },
            Self::Network(refused) => EventBody::NetworkRefused(NetworkRefused {
                process: refused.process.again(masker),
                destination: refused.destination.map(|to| to.again(masker)),
                repeated,
                ..refused
            }),
        }
    }
}

/// The attempts that were refused, over all sessions.
#[derive(Debug)]
pub struct Attempts {
    ledger: Mutex<Ledger<Attempt>>,
    counts: Mutex<BTreeMap<Technique, u64>>,
    began: Instant,
}

impl Default for Attempts {
    fn default() -> Self {
        let ledger = Mutex::new(Ledger::new(Bounds::default()));
        Self { ledger, counts: Mutex::default(), began: Instant::now() }
    }
}

impl Attempts {
    /// How often each technique was refused since the daemon started.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Technique, u64> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// When the next record of repeats is due.
    #[must_use]
    fn next_end(&self) -> Option<Instant> {
        self.ledger().next_end().and_then(|end| self.began.checked_add(end))
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger<Attempt>> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts something that was refused below the proxy, and records it.
pub fn network_refused(
    cx: &Enforcer,
    session: SessionId,
    refused: NetworkRefused,
    witness: Option<Witness>,
) {
    {
        let mut counts = cx.attempts.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(refused.technique).or_insert(0);
        *count = count.saturating_add(1);
    }
    let destination = refused.destination.as_deref().unwrap_or(&refused.socket).to_owned();
    let technique = refused.technique;
    let hook = word_of(&refused.hook);
    let kind = Kind { session, pid: refused.process.pid, hook, technique, destination };
    count(cx, kind, Attempt::Network(refused), witness);
}

/// Counts a name that was asked for and that no endpoint uses, and records it.
pub(super) fn name_refused(
    cx: &Enforcer,
    session: SessionId,
    process: Option<Process>,
    name: Recorded,
) {
    let kind = Kind {
        session,
        pid: process.as_ref().map_or(0, |process| process.pid),
        hook: "resolver",
        technique: Technique::Unknown,
        destination: name.as_str().to_owned(),
    };
    let details = process.as_ref().and_then(|process| process.details.as_ref());
    let witness = details.map(|details| Witness::Started(details.started_ns));
    count(cx, kind, Attempt::Name { process, name }, witness);
}

/// A peer of our port about which the kernel recorded nothing.
pub fn stranger_refused(cx: &Enforcer, peer: std::net::SocketAddr) {
    tracing::warn!(%peer, reason = Refusal::OriginUnknown.word(), "refused");
    let refused = NetworkRefused {
        process: Process::new(0, 0, ""),
        hook: Hook::Door.word().into(),
        refusal: Refusal::OriginUnknown.word().into(),
        technique: Technique::UnknownPeer,
        destination: None,
        socket: "inet/stream/6".into(),
        repeated: Repeated::ONCE,
    };
    network_refused(cx, SessionId::HOST, refused, None);
}

/// When the next record or line about repeats is due.
#[must_use]
pub fn next_due(cx: &Enforcer) -> Option<Instant> {
    [cx.attempts.next_end(), cx.denials.next_end()].into_iter().flatten().min()
}

/// Records the repeats whose window is over, and logs those of denials.
pub fn record_due(cx: &Enforcer) {
    cx.denials.log_due();
    let due = cx.attempts.ledger().due(cx.attempts.began.elapsed());
    for entry in due {
        record(cx, entry);
    }
}

/// Records and logs all repeats; for the end of the daemon.
pub fn record_all(cx: &Enforcer) {
    cx.denials.log_all();
    let all = cx.attempts.ledger().close_all();
    for entry in all {
        record(cx, entry);
    }
}

fn count(cx: &Enforcer, kind: Kind, attempt: Attempt, witness: Option<Witness>) {
    let (at, now) = (cx.clock.now(), cx.attempts.began.elapsed());
    let masker = cx.policy.load().masker_of_everything();
    let complete = |attempt: Attempt| attempt.complete(witness, &masker);
    let entry = cx.attempts.ledger().count(kind, attempt, at, now, complete);
    if let Some(entry) = entry {
        record(cx, entry);
    }
}

fn record(cx: &Enforcer, entry: Entry<Attempt>) {
    let repeated = Repeated::of(&entry);
    let at: UnixMillis = entry.last;
    let masker = cx.policy.load().masker_of_everything();
    cx.journal.append_or_count(entry.owner, at, entry.attempt.into_event(repeated, &masker));
}

/// The hook's word as one of a closed list, for the key.
fn word_of(hook: &str) -> &'static str {
    Hook::ALL.into_iter().map(Hook::word).find(|word| *word == hook).unwrap_or("unknown")
}
