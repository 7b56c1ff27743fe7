// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sends an allowed request upstream and prepares its answer.

use std::error::Error as _;
use std::sync::Arc;

use enforcer_core::model::{DenyReason, Mode, OpaqueCause};
use enforcer_core::policy::{Endpoint, Policy};
use enforcer_core::record::{Cause, Limited};
use enforcer_core::tool_calls;
use hyper::http::response::Parts;

use super::answer::{self, Expected, Prepared};
use super::content::Content;
use super::outgoing::{self, Outgoing};
use super::record::OpenRecord;
use super::refusal::Refusal;
use super::{Conn, Enforcer, answer_head};

/// What the answer is read by.
#[derive(Clone, Copy)]
pub(super) struct Asked<'a> {
    pub(super) policy: &'a Arc<Policy>,
    pub(super) endpoint: &'a Endpoint,
    /// Choices that are asked for.
    pub(super) choices: u64,
}

/// Forwards the content; the head and the prepared body come back.
pub(super) async fn forward(
    cx: &Enforcer,
    conn: &Conn,
    asked: Asked<'_>,
    outgoing: Outgoing<'_>,
    content: Content,
    record: &mut OpenRecord,
) -> Result<(Parts, Prepared), Refusal> {
    let route = content.route;
    let Outgoing { owed, headers, credentials, mode } = outgoing;
    let request = outgoing::request(content, headers, credentials, record);
    let is_sent = record.sent();
    let (target, origin) = (&conn.target, &conn.origin);
    let answered = cx.upstream.send(target, origin.destination, &origin.agent, request, &is_sent);
    let (response, lease) = answered.await.map_err(|error| {
        record.detail(match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        match record.request_fault() {
            Some(fault) => stopped(fault, asked.policy),
            None => unanswered(error.reason()),
        }
    })?;
    let (mut head, body) = response.into_parts();
    answer_head::end_hop(&mut head.headers);
    if mode == Mode::Enforce {
        answer_head::enforce(&mut head);
    }
    answer_head::remove_marks(&mut head.headers);
    record.is_answered(head.status, answer_head::surplus(&head));
    let Asked { policy, endpoint, choices } = asked;
    let expected = Expected {
        policy,
        buffers: &cx.buffers,
        owed,
        protocol: endpoint.protocol,
        route,
        calls: tool_calls::calls(policy, &origin.agent, &endpoint.name, record.id()),
        choices,
        is_observed: mode == Mode::Observe,
    };
    let prepared = answer::prepare(&mut head, body, lease, expected, record).await;
    prepared.map(|prepared| (head, prepared)).map_err(Refusal::of_answer)
}

/// The agent's own body did not come to its end.
fn stopped(fault: DenyReason, policy: &Policy) -> Refusal {
    match fault {
        DenyReason::Limit => Refusal::of(fault, Cause::Limit { limit: Limited::RequestIdle }),
        DenyReason::ProtocolError => {
            let why = OpaqueCause::Truncated.into();
            Refusal::of_body(fault, why, policy)
        }
        fault => fault.into(),
    }
}

/// The provider gave no answer; what it was stands in the detail.
fn unanswered(reason: DenyReason) -> Refusal {
    match reason {
        DenyReason::Limit => Refusal::of(reason, Cause::Limit { limit: Limited::Upstream }),
        reason => reason.into(),
    }
}
