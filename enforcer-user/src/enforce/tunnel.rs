// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The passed-through connection as an exchange: the action `connect`, judged by the same policy.

use enforcer_core::model::{Connect, Denied, DenyReason, ExchangeId, Facts, Operation};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::record::{EventBody, ExchangeOpened, Recorded, RecordedFacts};

use super::denials::Asking;
use super::{Conn, Enforcer};
use crate::runtime::Clock;
use crate::store::Place;
use crate::upstream::Target;

/// An allowed tunnel; dropped, it is recorded as closed without a byte.
#[derive(Debug)]
pub struct Tunnel {
    id: ExchangeId,
    clock: Clock,
    place: Option<Place>,
    asking: Asking,
}

impl Tunnel {
    /// Writes down how much passed.
    pub fn close(mut self, bytes_up: u64, bytes_down: u64) {
        self.record(bytes_up, bytes_down, None);
    }

    /// Writes down that the server could not be reached, and why.
    pub fn fail(mut self, cx: &Enforcer, reason: DenyReason, detail: &str) {
        let detail = Recorded::of(detail, &cx.policy.load().masker_of_everything());
        let denied = Denied::because(reason);
        let (id, now) = (Some(self.id), self.clock.now());
        cx.denials.denied(&self.asking, &denied, id, Some(detail.clone()), now);
        self.record(0, 0, Some((denied, detail)));
    }

    fn record(&mut self, bytes_up: u64, bytes_down: u64, refused: Option<(Denied, Recorded)>) {
        let Some(place) = self.place.take() else { return };
        let (denied, detail) = refused.unzip();
        let exchange = self.id;
        let event = EventBody::TunnelClosed { exchange, bytes_up, bytes_down, denied, detail };
        place.record(self.id.session, self.clock.now(), event);
    }
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.record(0, 0, None);
    }
}

/// Judges a passed-through connection and writes the decision down.
///
/// # Errors
/// [`DenyReason::Policy`] (recorded) and [`DenyReason::JournalUnavailable`].
pub async fn tunnel(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    endpoint: &Endpoint,
) -> Result<Tunnel, DenyReason> {
    let connect = Connect { host: conn.target.host.clone(), port: conn.target.port };
    let facts = Facts {
        agent: conn.origin.agent.clone(),
        endpoint: endpoint.name.clone(),
        detected: std::collections::BTreeSet::new(),
        sought: None,
        calls: Vec::new(),
        hidden: Default::default(),
        operation: Operation::Connect(connect),
    };
    let decision = policy.decide(&facts);
    let denied = decision.is_refusal().then(|| decision.denied());
    let session = conn.origin.session;
    let masker = policy.masker_of_everything();
    let asking = Asking::of(conn, &facts, &masker);
    let unavailable = |error| {
        let denied = Denied::because(DenyReason::JournalUnavailable);
        cx.denials.denied(&asking, &denied, None, None, cx.clock.now());
        tracing::error!(%error, "tunnel refused: it cannot be recorded");
        DenyReason::JournalUnavailable
    };
    let opening = cx.journal.reserve().await.map_err(unavailable)?;
    let place = cx.journal.reserve().await.map_err(unavailable)?;
    let id = cx.journal.next_exchange(session);
    let is_denied = denied.is_some();
    cx.denials.judged(&asking, &decision, is_denied);
    if let Some(denied) = &denied {
        cx.denials.denied(&asking, denied, Some(id), None, cx.clock.now());
    }
    let Target { host, port, .. } = &conn.target;
    let opened = ExchangeOpened {
        exchange: id,
        process: asking.process.clone(),
        destination: Recorded::of(&conn.origin.destination.to_string(), &masker),
        host: asking.host.clone(),
        request_line: Recorded::of(&format!("CONNECT {host}:{port}"), &masker),
        facts: RecordedFacts::of(facts, &masker),
        facts_cut: false,
        decision,
        denied,
        cause: None,
        request: None,
        request_unstored: None,
        masked: 0,
    };
    opening.record(session, cx.clock.now(), EventBody::ExchangeOpened(Box::new(opened)));
    if is_denied {
        return Err(DenyReason::Policy);
    }
    Ok(Tunnel { id, clock: cx.clock.clone(), place: Some(place), asking })
}
