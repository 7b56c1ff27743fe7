// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The record of one exchange: opened before a byte goes upstream, closed by itself however it ends.
//!
//! The place for the closing event is reserved when the record is opened, so that closing never waits and
//! never fails. What is stored is without all that the policy hides in the record; a body that could not be looked at
//! is not stored, and counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use enforcer_core::budget::{Cost, End, Outcome};
use enforcer_core::mask::Masker;
use enforcer_core::model::{
    AgentName, Decision, Denied, DenyReason, ExchangeId, Facts, Passed, RecordDepth, UnixMillis,
    Usage, limits,
};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::codec::JudgedCall;
use enforcer_core::record::{
    BodyRef, Charged, EventBody, ExchangeClosed, ExchangeOpened, ExchangeOutcome, Recorded,
    RecordedCall, TextBody, Unstored,
};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body as HttpBody, Incoming};
use hyper::header::HeaderMap;

use super::before::no_room;
use super::content::Content;
use super::denials::{Asking, Denials, TOOL_CALL};
use super::head;
use super::refusal::Refusal;
use super::tee::{Kept, Tee};
use super::{Conn, Enforcer, stored};
use crate::budget::Reservation;
use crate::runtime::{Clock, chain};
use crate::store::{self, BodyWriter, Journal, Place};
use crate::upstream::RequestBody;

/// The journal takes nothing, so nothing may happen.
pub(super) struct NotRecorded;

/// An exchange in progress. Dropped, it is closed as aborted.
pub(super) struct OpenRecord {
    id: ExchangeId,
    place: Option<Place>,
    journal: Journal,
    clock: Clock,
    agent: AgentName,
    /// Of everything that the policy hides in the record.
    masker: Masker,
    started: UnixMillis,
    keeps_bodies: bool,
    /// False as well once the answer turned out not to be kept.
    keeps_answer: bool,
    /// Nothing was said about the body of the request when the record was opened.
    is_request_to_come: bool,
    request: Option<Arc<Mutex<Kept>>>,
    response: Option<BodyWriter>,
    /// Bytes of the request that went upstream.
    bytes_up: Arc<AtomicU64>,
    /// A byte of it may have reached the provider.
    sent: Arc<AtomicBool>,
    /// Why the agent's own body did not come to its end.
    request_fault: Arc<OnceLock<DenyReason>>,
    /// Who asked for what, until it is over or denied.
    asking: Option<Asking>,
    denials: Denials,
    /// What it may cost, as its request says.
    cost: Cost,
    /// What is reserved for it, until it is over.
    reservation: Option<Reservation>,
    /// What was seen of the answer.
    passed: Passed,
    /// Bytes of the answer's head that may be text.
    head_bytes: u64,
    closed: ExchangeClosed,
}

impl OpenRecord {
    /// Writes down what was judged and returns when that is durable. For a denied exchange that is all
    /// there will be.
    pub(super) async fn open(
        cx: &Enforcer,
        conn: &Conn,
        policy: &Policy,
        content: &mut Content,
        facts: Facts,
        decision: &Decision,
        refusal: Option<Refusal>,
    ) -> Result<Self, NotRecorded> {
        let session = conn.origin.session;
        let keeps_bodies = decision.obligations.record == RecordDepth::Full;
        let everything = head::masker(policy, &content.head);
        let asking = Asking::of(conn, &facts, &everything);
        let refused = |error: &store::Error| {
            let denied = Denied::because(DenyReason::JournalUnavailable);
            cx.denials.denied(&asking, &denied, None, None, cx.clock.now());
            not_recorded(error)
        };
        let opening = cx.journal.reserve().await.map_err(|error| refused(&error))?;
        let place = match refusal {
            Some(_) => None,
            None => Some(cx.journal.reserve().await.map_err(|error| refused(&error))?),
        };
        let agent = &conn.origin.agent;
        let (request, request_unstored) = if keeps_bodies {
            let stored =
                stored::request(&cx.journal, agent, content, refusal.is_some(), &everything).await;
            stored.map_err(|error| refused(&error))?
        } else {
            (None, None)
        };
        let cost = Cost::of(&facts);
        let (denied, cause) = refusal.map_or((None, None), |it| (Some(it.denied), it.cause));
        let (facts, facts_cut) = stored::facts(&cx.journal, agent, facts, &everything);
        let id = cx.journal.next_exchange(session);
        let started = cx.clock.now();
        let recorded = |text: &str| Recorded::of(text, &everything);
        let line = format!("{} {}", content.head.method, content.head.uri.path());
        let opened = ExchangeOpened {
            exchange: id,
            process: asking.process.clone(),
            destination: recorded(&conn.origin.destination.to_string()),
            host: asking.host.clone(),
            request_line: recorded(&line),
            facts,
            facts_cut,
            decision: decision.clone(),
            denied: denied.clone(),
            cause,
            request,
            request_unstored,
            masked: content.masked,
        };
        let is_request_to_come = opened.request.is_none() && opened.request_unstored.is_none();
        let opened = EventBody::ExchangeOpened(Box::new(opened));
        let durable = opening.record_durable(session, started, opened);
        cx.denials.judged(&asking, decision, denied.is_some());
        // From here on it is in the queue, so it is closed whatever becomes of the wait.
        content.is_judged.store(true, Ordering::Release);
        let is_kept = (keeps_bodies, is_request_to_come);
        let mut record = Self::begun(cx, (id, place), asking, everything, (started, cost), is_kept);
        // Before the wait, in which the agent may leave.
        if let Some(denied) = denied {
            record.tell(&denied, None);
        }
        match durable.wait().await {
            Ok(()) => Ok(record),
            Err(error) => {
                let denied = Denied::because(DenyReason::JournalUnavailable);
                record.close(ExchangeOutcome::Denied(denied));
                Err(not_recorded(&error))
            }
        }
    }

    /// The record of an exchange of which nothing was seen yet.
    fn begun(
        cx: &Enforcer,
        (id, place): (ExchangeId, Option<Place>),
        asking: Asking,
        everything: Masker,
        (started, cost): (UnixMillis, Cost),
        (keeps_bodies, is_request_to_come): (bool, bool),
    ) -> Self {
        Self {
            id,
            place,
            journal: cx.journal.clone(),
            clock: cx.clock.clone(),
            agent: asking.agent.clone(),
            masker: everything,
            started,
            keeps_bodies,
            keeps_answer: keeps_bodies,
            is_request_to_come,
            request: None,
            response: None,
            bytes_up: Arc::default(),
            sent: Arc::default(),
            request_fault: Arc::default(),
            asking: Some(asking),
            denials: cx.denials.clone(),
            cost,
            reservation: None,
            passed: Passed::default(),
            head_bytes: 0,
            closed: closed(id),
        }
    }

    pub(super) const fn id(&self) -> ExchangeId {
        self.id
    }

    /// True if bodies are kept at all.
    pub(super) const fn keeps_bodies(&self) -> bool {
        self.keeps_bodies
    }

    /// True if the request is to be kept while it passes.
    pub(super) const fn keeps_late_request(&self) -> bool {
        self.keeps_bodies && self.is_request_to_come
    }

    /// What hides all that must not be recorded of this exchange.
    pub(super) fn masker(&self) -> Masker {
        self.masker.clone()
    }

    /// What masks a body with these headers for the record; nothing if it is not kept.
    pub(super) fn text_body(&self, headers: &HeaderMap) -> Option<TextBody> {
        let headers = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        self.keeps_bodies.then(|| TextBody::of(headers, &self.masker)).flatten()
    }

    /// Hides these secrets, too, in all that is recorded from here on: a server may quote what it was sent.
    pub(super) fn hide(&mut self, secrets: Vec<String>) {
        self.masker = self.masker.with_known_secrets(secrets);
    }

    /// Takes what was reserved; it is settled when the record is closed.
    pub(super) fn charge(&mut self, reservation: Option<Reservation>) {
        self.reservation = reservation;
    }

    /// True if it has to be known what the answer cost.
    pub(super) const fn is_charged(&self) -> bool {
        self.reservation.is_some()
    }

    /// True from the moment on at which a byte of the request may have reached the provider; whoever sends sets it.
    pub(super) fn sent(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.sent)
    }

    /// The provider answered, with so many bytes in the head that may be text.
    pub(super) fn is_answered(&mut self, status: StatusCode, head_bytes: u64) {
        self.status(status);
        self.head_bytes = head_bytes;
    }

    /// What was seen of the answer so far; an error if no budget covers it.
    pub(super) fn passed(&mut self, passed: Passed) -> Result<(), Refusal> {
        self.passed = passed;
        let Some(reservation) = &mut self.reservation else { return Ok(()) };
        let text_bytes = passed.text_bytes.saturating_add(self.head_bytes);
        reservation
            .cover(Passed { text_bytes, ..passed }.tokens())
            .map_err(|spent| no_room(&spent, &self.masker))
    }

    /// The same where nothing is cut any more.
    pub(super) const fn saw(&mut self, passed: Passed) {
        self.passed = passed;
    }

    /// Bytes of the answer that went to the agent.
    pub(super) const fn bytes_down(&self) -> u64 {
        self.closed.bytes_down
    }

    /// The answer is not kept whole.
    pub(super) const fn unstored(&mut self, why: Unstored) {
        if self.closed.response_unstored.is_none() {
            self.closed.response_unstored = Some(why);
        }
    }

    fn settle(&mut self, is_whole: bool) {
        let Some(reservation) = self.reservation.take() else { return };
        let is_error = self.closed.status.is_some_and(|status| status >= 400);
        let end = match self.sent.load(Ordering::Acquire) {
            false => End::Unsent,
            true if is_whole => End::Whole { is_error },
            true => End::Broken,
        };
        let usage = self.closed.usage;
        let mut passed = self.passed;
        if passed == Passed::default() && usage.is_none() {
            // Nobody read it, so all of it may be text.
            passed.text_bytes = self.closed.bytes_down;
        }
        passed.text_bytes = passed.text_bytes.saturating_add(self.head_bytes);
        let outcome = Outcome { end, passed, usage };
        if let Some((reported, counted)) = outcome.far_above(self.cost) {
            let said = format!("the provider reports {reported} tokens; {counted} were counted");
            let before = self.closed.detail.take().map(|detail| format!("{detail}; "));
            self.detail(before.unwrap_or_default() + &said);
        }
        let charged = reservation.settle(&outcome).into_iter();
        self.closed.charged = charged
            .map(|(account, amount)| Charged { account: account.as_str().to_owned(), amount })
            .collect();
    }

    fn status(&mut self, status: StatusCode) {
        self.closed.status = Some(status.as_u16());
    }

    /// What the operator needs to know. An error may quote what it met, so it is masked.
    pub(super) fn detail(&mut self, detail: String) {
        self.closed.detail = Some(Recorded::of(&detail, &self.masker));
    }

    /// The model asked for calls of tools: each is written down, and one that was denied is counted and logged.
    pub(super) fn tool_calls(&mut self, judged: &[JudgedCall]) {
        for call in judged {
            let recorded = RecordedCall::of(call, &self.masker, self.keeps_bodies);
            if let (Some(denied), Some(asking)) = (call.denied(), &self.asking) {
                let asking = Asking { action: TOOL_CALL, ..asking.clone() };
                let detail = Some(recorded.name.clone());
                let now = self.clock.now();
                self.denials.denied(&asking, &denied, Some(self.id), detail, now);
            }
            if self.closed.tool_calls.len() < limits::RECORDED_CALLS_MAX {
                self.closed.tool_calls.push(recorded);
            } else {
                self.closed.more_tool_calls = self.closed.more_tool_calls.saturating_add(1);
            }
        }
    }

    pub(super) fn masked(&mut self, places: u64) {
        self.closed.masked = places;
    }

    pub(super) fn usage(&mut self, usage: Option<Usage>) {
        self.closed.usage = self.closed.usage.or(usage);
    }

    /// Keeps a piece of the answer, already masked for storage.
    pub(super) fn keep(&mut self, bytes: &[u8]) {
        if !self.keeps_answer || bytes.is_empty() {
            return;
        }
        let (journal, agent) = (&self.journal, &self.agent);
        let response = self.response.get_or_insert_with(|| journal.body_of(agent));
        if let Err(error) = response.write(bytes) {
            self.keep_none(Unstored::Failed);
            self.detail(format!("the answer is not stored: {error}"));
        }
    }

    /// Half a body would not be what its hash says, so none of the answer is kept.
    pub(super) fn keep_none(&mut self, why: Unstored) {
        self.response = None;
        self.keeps_answer = false;
        self.unstored(why);
    }

    /// Counts what goes upstream at once.
    pub(super) fn sends(&self, bytes: &Bytes) {
        self.bytes_up.fetch_add(bytes.len() as u64, Ordering::Relaxed);
    }

    /// Counts what goes to the agent.
    pub(super) const fn delivers(&mut self, bytes: &Bytes) {
        self.closed.bytes_down = self.closed.bytes_down.saturating_add(bytes.len() as u64);
    }

    /// A request body, what was read of it already in front, that is kept while it passes as far as its headers say
    /// that it can be.
    pub(super) fn tee(
        &mut self,
        headers: &HeaderMap,
        seen: Bytes,
        rest: Option<Incoming>,
    ) -> RequestBody {
        let is_empty = seen.is_empty() && rest.as_ref().is_none_or(HttpBody::is_end_stream);
        let is_to_keep = self.is_request_to_come && !is_empty;
        let text = is_to_keep.then(|| self.text_body(headers)).flatten();
        let kept = text.map(|text| Kept::new(text, self.journal.body_of(&self.agent)));
        self.request = kept.map(|kept| Arc::new(Mutex::new(kept)));
        let (fault, passed) = (Arc::clone(&self.request_fault), Arc::clone(&self.bytes_up));
        Tee::new(seen, rest, self.request.clone(), fault, passed).boxed_unsync()
    }

    /// Why a streamed request did not come to its end, if that was not the provider's fault.
    pub(super) fn request_fault(&self) -> Option<DenyReason> {
        self.request_fault.get().copied()
    }

    /// The whole answer was handed to the agent's side.
    pub(super) fn completed(mut self) {
        self.close(ExchangeOutcome::Completed);
    }

    /// It was refused, at the decision or after it.
    pub(super) fn denied(mut self, refusal: Refusal, status: StatusCode) {
        self.status(status);
        self.refused(refusal);
    }

    /// It broke after its head was out: the agent has the status of the provider.
    pub(super) fn broken(mut self, refusal: Refusal) {
        self.refused(refusal);
    }

    fn refused(&mut self, Refusal { denied, cause }: Refusal) {
        self.closed.cause = cause;
        self.close(ExchangeOutcome::Denied(denied));
    }

    /// Counts the denial and logs it, once.
    fn tell(&mut self, denied: &Denied, detail: Option<Recorded>) {
        if let Some(asking) = self.asking.take() {
            self.denials.denied(&asking, denied, Some(self.id), detail, self.clock.now());
        }
    }

    fn close(&mut self, outcome: ExchangeOutcome) {
        self.settle(outcome == ExchangeOutcome::Completed);
        if let ExchangeOutcome::Denied(denied) = &outcome {
            let detail = self.closed.detail.clone();
            self.tell(denied, detail);
        }
        let Some(place) = self.place.take() else { return };
        let now = self.clock.now();
        let mut closed = std::mem::replace(&mut self.closed, closed(self.id));
        closed.outcome = outcome;
        closed.usage = closed.usage.map(|usage| recorded_usage(usage, &self.masker));
        closed.bytes_up = self.bytes_up.load(Ordering::Relaxed);
        closed.took_ms = now.0.saturating_sub(self.started.0);
        let request = self
            .request
            .take()
            .map(|shared| shared.lock().unwrap_or_else(PoisonError::into_inner).finish());
        let request = request.transpose().unwrap_or_else(|_error| {
            closed.request_unstored = Some(Unstored::Failed);
            None
        });
        let request = request.flatten();
        let response = self.response.take();
        self.say_what_is_missing(&mut closed, request.as_ref(), response.as_ref());
        let has_request = request.is_some();
        let has_response = response.is_some();
        let bodies: Vec<BodyWriter> = request.into_iter().chain(response).collect();
        place.record_with(self.id.session, now, bodies, move |stored| {
            let mut stored = stored.into_iter();
            closed.request = if has_request { stored.next().flatten() } else { None };
            closed.response = stored.next().flatten();
            if has_request && closed.request.is_none() {
                closed.request_unstored = Some(Unstored::Failed);
            }
            if has_response && closed.response.is_none() {
                closed.response_unstored = Some(Unstored::Failed);
            }
            EventBody::ExchangeClosed(closed)
        });
    }

    /// Why a body is not whole in the store, or not there at all, where nobody has said so yet.
    fn say_what_is_missing(
        &self,
        closed: &mut ExchangeClosed,
        request: Option<&BodyWriter>,
        response: Option<&BodyWriter>,
    ) {
        if !self.keeps_bodies {
            return;
        }
        let missing = |writer: Option<&BodyWriter>, passed: u64| match writer {
            Some(writer) => writer.unstored(),
            None => (passed > 0).then_some(Unstored::Unreadable),
        };
        if self.is_request_to_come {
            closed.request_unstored =
                closed.request_unstored.or_else(|| missing(request, closed.bytes_up));
        }
        closed.response_unstored =
            closed.response_unstored.or_else(|| missing(response, closed.bytes_down));
    }
}

impl Drop for OpenRecord {
    fn drop(&mut self) {
        self.close(ExchangeOutcome::Aborted);
    }
}

/// A report of the provider whose numbers are no text that a mask names.
fn recorded_usage(usage: Usage, masker: &Masker) -> Usage {
    let recorded = |tokens: u64| {
        let is_named = masker.mask_number(&tokens.to_string()).count > 0;
        if is_named { u64::MAX } else { tokens }
    };
    Usage {
        input_tokens: recorded(usage.input_tokens),
        output_tokens: recorded(usage.output_tokens),
    }
}

fn closed(exchange: ExchangeId) -> ExchangeClosed {
    ExchangeClosed {
        exchange,
        outcome: ExchangeOutcome::Aborted,
        cause: None,
        status: None,
        request: None::<BodyRef>,
        response: None,
        request_unstored: None,
        response_unstored: None,
        masked: 0,
        tool_calls: Vec::new(),
        more_tool_calls: 0,
        bytes_up: 0,
        bytes_down: 0,
        usage: None,
        charged: Vec::new(),
        took_ms: 0,
        detail: None,
    }
}

fn not_recorded(error: &store::Error) -> NotRecorded {
    tracing::error!(error = chain(error), "exchange refused: it cannot be recorded");
    NotRecorded
}
