// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How an answer is read: once, for the agent, for the record and for accounting.
//!
//! A stream is never buffered: each event leaves as soon as it is whole. A plain answer that has to be
//! masked, and an error of a provider, are read whole first, so that one that cannot be understood is refused and
//! not half sent. What takes long is done aside, so that nobody else waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use enforcer_core::model::{Obligations, OpaqueCause, Passed, limits};
use enforcer_core::policy::{Policy, Protocol};
use enforcer_core::protocol::codec::{self, Answer, AnswerStream, Calls, Keep, Route, Wants};
use enforcer_core::protocol::disown::disown;
use enforcer_core::record::{AnswerFault, TextBody, Unstored};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::http::response::Parts;
use tokio::time::{Instant, Sleep};

use super::answer_body::AnswerBody;
use super::answer_head::{self, Kind};
use super::buffers::{Buffers, Room};
use super::record::OpenRecord;
use crate::runtime;
use crate::upstream::Lease;

/// What an answer may fail with while it is sent.
pub(super) type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// Stands for an error of the provider that came encoded and so was not read.
const WITHHELD: &str = r#"{"error":{"message":"the provider's error came encoded and is withheld","type":"withheld"}}"#;

/// What the exchange says of its answer.
pub(super) struct Expected<'e> {
    pub(super) policy: &'e Policy,
    pub(super) buffers: &'e Buffers,
    pub(super) owed: &'e Obligations,
    pub(super) protocol: Protocol,
    pub(super) route: Option<Route>,
    /// What is done with calls of tools in it.
    pub(super) calls: Calls,
    /// Choices that were asked for.
    pub(super) choices: u64,
    /// True if nothing of it may change.
    pub(super) is_observed: bool,
}

/// An answer whose record is still missing.
pub(super) struct Prepared {
    pub(super) source: Source,
    pub(super) reader: Reader,
}

/// Where the bytes come from.
pub(super) enum Source {
    Ready(Option<Bytes>),
    Upstream { body: Incoming, lease: Option<Lease>, idle: Pin<Box<Sleep>> },
}

/// What is done with them.
pub(super) enum Reader {
    /// They pass, and are kept as far as they are text. `is_counted`: by nothing but their number.
    Raw { kept: Option<Box<TextBody>>, is_counted: bool },
    /// They pass, and are read when all of them have.
    Json { seen: BytesMut, route: Option<Route>, wants: Box<Wants>, room: Room },
    /// They were read already.
    Read(Box<Answer>),
    /// Each event is read before it passes.
    Stream(Box<AnswerStream>),
}

/// Decides how this answer is delivered and kept.
pub(super) async fn prepare(
    head: &mut Parts,
    body: Incoming,
    lease: Lease,
    expected: Expected<'_>,
    record: &mut OpenRecord,
) -> Result<Prepared, AnswerFault> {
    let Expected { policy, owed, is_observed, .. } = expected;
    let has_codec = expected.route.is_some_and(Route::reads_body);
    let is_generated = expected.route.is_some_and(Route::is_generated);
    let kind = answer_head::kind(head);
    let masker = (!owed.mask_response.is_empty()).then(|| policy.masker(&owed.mask_response));
    if let Some(masker) = &masker {
        answer_head::mask(head, masker);
    }
    let is_error = head.status.is_client_error() || head.status.is_server_error();
    // Nobody takes an error for a call, and what is not of an API has none.
    let has_calls = expected.route.is_some() && !is_error;
    let calls = if has_calls { expected.calls } else { Calls::Unjudged };
    let (are_held, are_judged) = (calls.are_held(), calls.are_judged());
    let wants = Wants {
        calls,
        keep: keep(record),
        deliver: masker,
        choices: expected.choices,
        is_observed,
        is_strict: !is_observed && is_generated,
    };
    let mut source = Source::upstream(body, lease);
    if source.is_over() {
        return Ok(Prepared { source, reader: Reader::nothing() });
    }
    let is_masked = wants.deliver.is_some();
    let is_encoded = answer_head::is_encoded(head);
    // SECURITY: encoded bytes say nothing of how much they stand for, and none are asked for.
    let is_counted = is_generated && record.is_charged() && !is_observed;
    // What is neither JSON nor a stream of events is an answer of a model only where one was asked.
    let is_judged = are_held && (is_generated || kind != Kind::Other);
    if is_encoded && (is_masked || is_counted || is_judged) {
        return Err(AnswerFault::Encoded);
    }
    let is_disowned = is_error && !is_observed && expected.protocol != Protocol::Http;
    if is_disowned && is_encoded {
        withhold(head);
        source = Source::Ready(Some(Bytes::from_static(WITHHELD.as_bytes())));
        return Ok(Prepared { source, reader: Reader::nothing() });
    }
    match kind {
        // An error is read as a whole by clients, whatever its type says.
        Kind::Sse if (is_masked || has_codec || are_judged) && !is_encoded && !is_disowned => {
            head.headers.remove(CONTENT_LENGTH);
            let reader = Reader::Stream(Box::new(codec::read_stream(expected.route, wants)));
            Ok(Prepared { source, reader })
        }
        Kind::Other if is_masked || is_judged => Err(AnswerFault::OtherType),
        _ if is_masked || is_disowned || is_judged => {
            let read = source.collect(expected.buffers).await?;
            let ready = read_whole(expected.route, read, wants, is_disowned).await?;
            head.headers.remove(CONTENT_LENGTH);
            Ok(ready)
        }
        Kind::Json
            if !is_encoded
                && (are_judged || has_codec && (record.keeps_bodies() || record.is_charged())) =>
        {
            let (seen, room) = (BytesMut::new(), Room::new(expected.buffers));
            let (route, wants) = (expected.route, Box::new(wants));
            Ok(Prepared { source, reader: Reader::Json { seen, route, wants, room } })
        }
        Kind::Json | Kind::Other | Kind::Sse => {
            let kept = record.text_body(&head.headers).map(Box::new);
            let is_counted = is_generated && record.is_charged();
            Ok(Prepared { source, reader: Reader::Raw { kept, is_counted } })
        }
    }
}

fn keep(record: &OpenRecord) -> Keep {
    if !record.keeps_bodies() {
        return Keep::Nothing;
    }
    Keep::Masked(record.masker())
}

fn withhold(head: &mut Parts) {
    for name in [CONTENT_ENCODING, CONTENT_LENGTH] {
        head.headers.remove(name);
    }
    head.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
}

/// Reads an answer that is all there, aside if it is large.
async fn read_whole(
    route: Option<Route>,
    (whole, room): (Bytes, Room),
    wants: Wants,
    is_disowned: bool,
) -> Result<Prepared, AnswerFault> {
    let is_large = whole.len() > limits::INLINE_BODY_BYTES_MAX;
    let read = move || {
        let whole = if is_disowned { Bytes::from(disown(&whole)) } else { whole };
        let mut answer =
            codec::read_answer(route, &whole, &wants).map_err(|cause| match cause {
                OpaqueCause::Fields => AnswerFault::Calls,
                _ => AnswerFault::NotJson,
            })?;
        let deliver = answer.deliver.take().map_or(whole, Bytes::from);
        Ok::<_, AnswerFault>((deliver, answer))
    };
    let (deliver, answer) = if is_large {
        runtime::heavy(read).await.map_err(|_panicked| AnswerFault::Failed)??
    } else {
        read()?
    };
    let source = Source::Ready(Some(room.hold(deliver)));
    Ok(Prepared { source, reader: Reader::Read(Box::new(answer)) })
}

impl Reader {
    pub(super) const fn nothing() -> Self {
        Self::Raw { kept: None, is_counted: false }
    }

    /// Writes down what was read of a whole answer.
    pub(super) fn tell(answer: &Answer, record: &mut OpenRecord) {
        record.tool_calls(&answer.calls);
        record.masked(answer.masked);
        record.usage(answer.usage);
        record.saw(answer.passed);
        if let Some(keep) = &answer.keep {
            record.keep(keep);
        }
        if !answer.is_kept_whole {
            record.unstored(Unstored::Unreadable);
        }
    }
}

impl Prepared {
    /// Joins the body with its record; from here on the record closes itself.
    pub(super) fn into_answer(self, record: OpenRecord) -> AnswerBody {
        AnswerBody::new(self, record)
    }
}

impl Source {
    fn upstream(body: Incoming, lease: Lease) -> Self {
        let idle = Box::pin(tokio::time::sleep(limits::BODY_IDLE_TIMEOUT));
        Self::Upstream { body, lease: Some(lease), idle }
    }

    pub(super) fn is_over(&self) -> bool {
        match self {
            Self::Ready(bytes) => bytes.is_none(),
            Self::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    pub(super) fn give_back(&mut self) {
        if let Self::Upstream { lease, .. } = self
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }

    async fn collect(&mut self, buffers: &Buffers) -> Result<(Bytes, Room), AnswerFault> {
        let mut room = Room::new(buffers);
        let Self::Upstream { body, .. } = self else { return Ok((Bytes::new(), room)) };
        let mut whole = BytesMut::new();
        loop {
            match tokio::time::timeout(limits::BODY_IDLE_TIMEOUT, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        if !room.grow(data.len()) {
                            return Err(AnswerFault::NoMemory);
                        }
                        whole.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(_broken))) => return Err(AnswerFault::BrokeOff),
                Err(_elapsed) => return Err(AnswerFault::Stopped),
            }
            if whole.len() > limits::RESPONSE_BODY_BYTES_MAX {
                return Err(AnswerFault::TooLarge);
            }
        }
        self.give_back();
        Ok((whole.freeze(), room))
    }

    pub(super) fn poll_data(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self {
            Self::Ready(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Upstream { body, idle, .. } => match Pin::new(body).poll_frame(cx) {
                Poll::Ready(frame) => {
                    idle.as_mut().reset(Instant::now() + limits::BODY_IDLE_TIMEOUT);
                    Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)))
                }
                Poll::Pending => {
                    std::task::ready!(idle.as_mut().poll(cx));
                    Poll::Ready(Some(Err("the answer stopped".into())))
                }
            },
        }
    }
}

/// What the bytes of an answer count for while nobody has read them.
pub(super) const fn unread(bytes: u64) -> Passed {
    Passed { pieces: 0, text_bytes: bytes }
}
