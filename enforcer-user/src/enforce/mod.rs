// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The exchange page: the one path that every request takes, whatever carried it.
//!
//! One policy version for the whole exchange; facts, decision, obligations, upstream, answer, record.
//! Every `?` ends as one [`Denied`], which `deny` alone turns into an answer. Errs to denial.

mod answer;
mod answer_body;
mod answer_head;
mod approval;
mod attempts;
mod before;
mod buffers;
mod content;
mod credential;
mod denials;
mod deny;
mod facts;
mod forward;
mod head;
mod mask;
mod outgoing;
mod record;
mod refusal;
mod refused;
mod stored;
mod tee;
mod tunnel;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use enforcer_core::model::{Denied, DenyReason, Mode};
use enforcer_core::policy::{Endpoint, Policy, Tls};
use hyper::body::Incoming;
use hyper::{Request, Response};

pub use answer_body::AnswerBody;
pub use attempts::{Attempts, network_refused, next_due, record_all, record_due, stranger_refused};
use before::Before;
pub use buffers::Buffers;
pub use denials::{Denials, Series};
pub use deny::{answer as deny_answer, no_websocket, unopened};
use forward::{Asked, forward};
use outgoing::Outgoing;
use record::{NotRecorded, OpenRecord};
use refusal::Refusal;
pub use refused::{connection_observed, connection_refused, recorded, resolve_refused};
pub use stored::look_at_spent;
pub use tunnel::{Tunnel, tunnel};

use crate::approval::Approvals;
use crate::budget::Budgets;
use crate::intake::Origin;
use crate::runtime::{self, Alarms, Clock, Panicked};
use crate::store::Journal;
use crate::upstream::{Target, Upstream};

/// What every exchange needs, put together once by the daemon.
#[derive(Debug)]
pub struct Enforcer {
    /// The policy in force.
    pub policy: Arc<ArcSwap<Policy>>,
    /// Where everything is written down.
    pub journal: Journal,
    /// The way to the providers.
    pub upstream: Upstream,
    /// Memory for bodies that are held whole, for all exchanges together.
    pub buffers: Buffers,
    /// What waits for people.
    pub approvals: Approvals,
    /// What may still be spent.
    pub budgets: Budgets,
    /// What was tried and refused below the proxy.
    pub attempts: Attempts,
    /// What was denied, and how often.
    pub denials: Denials,
    /// What is broken just now.
    pub alarms: Alarms,
    /// The time.
    pub clock: Clock,
}

/// The connection that carries an exchange.
#[derive(Clone, Debug)]
pub struct Conn {
    /// Where it was meant to go, and who made it.
    pub origin: Arc<Origin>,
    /// Where its exchanges go: the proven server name and the original port.
    pub target: Target,
}

/// Judges one request, carries out what the policy obliges to, and answers.
pub async fn exchange(
    cx: &Enforcer,
    conn: &Conn,
    request: Request<Incoming>,
) -> Response<AnswerBody> {
    let policy = cx.policy.load_full();
    let endpoint = policy.endpoint(&conn.target.host, conn.target.port);
    let unnamed = (policy.mode() == Mode::Observe).then(|| Endpoint::unnamed(conn.target.port));
    let endpoint = endpoint.filter(|found| found.tls == Tls::Inspect).or(unnamed.as_ref());
    let Some(endpoint) = endpoint else {
        // The bundle changed under an open connection, or the endpoint is not to be looked into.
        return refuse(cx, conn, None, Denied::because(DenyReason::NotAnEndpoint));
    };
    if policy.mode() == Mode::Enforce
        && let Some(refusal) = outgoing::refusal(cx, conn, endpoint.protocol, request.headers())
    {
        return refusal;
    }
    match runtime::caught(Box::pin(judged(cx, conn, &policy, endpoint, request))).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(NotRecorded)) => {
            let denied = Denied::because(DenyReason::JournalUnavailable);
            deny::answer(endpoint.protocol, &denied, None)
        }
        Err(Panicked) => {
            let detail = Some("the exchange panicked".to_owned());
            refuse(cx, conn, detail, Denied::because(DenyReason::Internal))
        }
    }
}

async fn judged(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Arc<Policy>,
    endpoint: &Endpoint,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, NotRecorded> {
    let unjudged = Unjudged { cx, conn, is_over: Arc::default() };
    let mut content = content::read(endpoint.protocol, policy.mode(), request, &cx.buffers).await;
    content.is_judged = Arc::clone(&unjudged.is_over);
    let facts = facts::decode(&mut content, conn, endpoint, policy).await;
    let decision = policy.decide(&facts);
    let owed = decision.owed();
    let before = match (decision.is_refusal(), &content.body) {
        (_, content::Body::NoRoom) => Err(buffers::denied(cx)),
        (false, _) => before::before(cx, conn, policy, &owed, &facts, &mut content).await,
        (true, _) => Err(Refusal::by_rules(&decision, &facts.operation, policy)),
    };
    let denied = before.as_ref().err().cloned();
    let choices = facts.operation.answer_count();
    let shown = (!owed.approvals.is_empty()).then(|| facts.clone());
    let opened = OpenRecord::open(cx, conn, policy, &mut content, facts, &decision, denied).await;
    let mut record = match opened {
        Ok(record) => record,
        Err(not_recorded) => {
            unjudged.is_over.store(true, Ordering::Release);
            return Err(not_recorded);
        }
    };
    let answered = match before {
        Ok(Before { reservation, credentials }) => {
            record.charge(reservation.hand_on());
            record.hide(credentials.secrets());
            let asked = Asked { policy, endpoint, choices };
            let headers = outgoing::headers(&content, endpoint.protocol, decision.mode);
            let outgoing = Outgoing { owed: &owed, headers, credentials, mode: decision.mode };
            match approval::wait(cx, conn, policy, &outgoing, shown, &mut content, &record).await {
                Ok(()) => forward(cx, conn, asked, outgoing, content, &mut record).await,
                Err(refusal) => {
                    content.drain().await;
                    Err(refusal)
                }
            }
        }
        Err(refusal) => {
            content.drain().await;
            Err(refusal)
        }
    };
    Ok(match answered {
        Ok((head, body)) => Response::from_parts(head, body.into_answer(record)),
        Err(refusal) => {
            let answer = deny::answer(endpoint.protocol, &refusal.denied, Some(record.id()));
            record.denied(refusal, answer.status());
            answer
        }
    })
}

/// A request whose record is not open yet. Dropped as such, with the agent that left, it is recorded as refused.
struct Unjudged<'e> {
    cx: &'e Enforcer,
    conn: &'e Conn,
    is_over: Arc<AtomicBool>,
}

impl Drop for Unjudged<'_> {
    fn drop(&mut self) {
        // A panic is recorded by whoever catches it.
        if self.is_over.load(Ordering::Acquire) || std::thread::panicking() {
            return;
        }
        let (host, denied) =
            (self.conn.target.host.clone(), Denied::because(DenyReason::ProtocolError));
        let detail = Some("the client left before its request was judged".to_owned());
        connection_refused(self.cx, &self.conn.origin, Some(host), denied, detail);
    }
}

/// Refuses a request that never became an exchange, and says so in the record.
pub fn refuse(
    cx: &Enforcer,
    conn: &Conn,
    detail: Option<String>,
    denied: Denied,
) -> Response<AnswerBody> {
    let policy = cx.policy.load();
    let endpoint = policy.endpoint(&conn.target.host, conn.target.port);
    let protocol = endpoint.map_or(enforcer_core::policy::Protocol::Http, |found| found.protocol);
    let answer = deny::answer(protocol, &denied, None);
    connection_refused(cx, &conn.origin, Some(conn.target.host.clone()), denied, detail);
    answer
}
