// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connections and names that were refused before any exchange, on their way into the record and the log.

use enforcer_core::model::{Denied, DenyReason, Mode, SessionId};
use enforcer_core::record::{EventBody, Process, Recorded};

use super::Enforcer;
use super::denials::{Asking, CONNECTION, NO_ENDPOINT};
use crate::intake::Origin;

/// A text that an agent may have chosen, as it may be recorded and logged now.
#[must_use]
pub fn recorded(cx: &Enforcer, text: &str) -> Recorded {
    Recorded::of(text, &cx.policy.load().masker_of_everything())
}

/// Writes down a connection that was refused before any exchange.
pub fn connection_refused(
    cx: &Enforcer,
    origin: &Origin,
    server_name: Option<String>,
    denied: Denied,
    detail: Option<String>,
) {
    let endpoint = server_name.as_deref().and_then(|name| {
        let policy = cx.policy.load();
        policy.endpoint(name, origin.destination.port()).map(|found| found.name.to_string())
    });
    let server_name = server_name.map(|name| recorded(cx, &name));
    // An error may quote what it met.
    let detail = detail.map(|detail| recorded(cx, &detail));
    let (process, destination) = origin_of(cx, origin);
    let asking = Asking {
        agent: origin.agent.clone(),
        session: origin.session,
        process: process.clone(),
        endpoint: endpoint.unwrap_or_else(|| NO_ENDPOINT.to_owned()),
        host: server_name.clone().unwrap_or_else(|| destination.clone()),
        action: CONNECTION,
    };
    cx.denials.denied(&asking, &denied, None, detail.clone(), cx.clock.now());
    let mode = Mode::Enforce;
    let event =
        EventBody::ConnectionRefused { process, destination, server_name, denied, detail, mode };
    cx.journal.append_or_count(origin.session, cx.clock.now(), event);
}

/// Writes down a connection that would have been refused, and is passed on in observe mode.
pub fn connection_observed(
    cx: &Enforcer,
    origin: &Origin,
    server_name: Option<&str>,
    reason: DenyReason,
) {
    let (process, destination) = origin_of(cx, origin);
    let event = EventBody::ConnectionRefused {
        process,
        destination,
        server_name: server_name.map(|name| recorded(cx, name)),
        denied: Denied::because(reason),
        detail: None,
        mode: Mode::Observe,
    };
    cx.journal.append_or_count(origin.session, cx.clock.now(), event);
}

/// Writes down a name that was asked for and that no endpoint uses.
pub fn resolve_refused(cx: &Enforcer, session: SessionId, process: Option<Process>, name: &str) {
    super::attempts::name_refused(cx, session, process, recorded(cx, name));
}

/// Who connected and where to, under the masks that are in force now.
fn origin_of(cx: &Enforcer, origin: &Origin) -> (Process, Recorded) {
    let everything = cx.policy.load().masker_of_everything();
    let destination = Recorded::of(&origin.destination.to_string(), &everything);
    (origin.process.clone().again(&everything), destination)
}
