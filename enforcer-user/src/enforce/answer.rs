// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The answer on its way to the agent: masked, kept, bounded in silence.
//!
//! A stream is never buffered: each event leaves as soon as it is whole. A plain answer that has to be
//! masked is read whole first, so that one that cannot be understood is refused and not half sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use enforcer_core::mask::Masker;
use enforcer_core::model::{Denied, DenyReason, Obligations, limits};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::codec::{self, ChatStream, StreamError};
use http_body_util::BodyExt;
use hyper::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use hyper::http::response::Parts;
use tokio::time::{Instant, Sleep};

use super::buffers::{Buffers, Room};
use super::record::OpenRecord;
use crate::upstream::Lease;

/// What an answer may fail with while it is sent.
type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// An answer whose record is still missing.
pub(super) struct Prepared {
    source: Source,
    deliver: Option<Box<ChatStream>>,
    keep: Keep,
}

/// Where the bytes come from.
enum Source {
    Ready(Option<Bytes>),
    Upstream { body: Incoming, lease: Option<Lease>, idle: Pin<Box<Sleep>> },
}

/// What is kept of it.
enum Keep {
    Json { seen: BytesMut, masker: Masker, room: Room },
    Nothing,
    Raw,
    Sse(Box<ChatStream>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Json,
    Other,
    Sse,
}

/// Decides how this answer is delivered and kept. `Err` says why it cannot be masked.
pub(super) async fn prepare(
    head: &mut Parts,
    body: Incoming,
    lease: Lease,
    (policy, buffers): (&Policy, &Buffers),
    obligations: &Obligations,
    has_codec: bool,
    record: &mut OpenRecord,
) -> Result<Prepared, &'static str> {
    let kind = kind(head);
    let keep = keep(kind, policy, buffers, has_codec, record);
    let mut source = Source::upstream(body, lease);
    if obligations.mask_response.is_empty() || source.is_over() {
        return Ok(Prepared { source, deliver: None, keep });
    }
    let masker = policy.masker(&obligations.mask_response);
    head.headers.remove(CONTENT_LENGTH);
    match kind {
        _ if head.headers.contains_key(CONTENT_ENCODING) => Err("the answer is encoded"),
        Kind::Other => Err("the answer is neither JSON nor an event stream"),
        Kind::Sse => {
            let deliver = Some(Box::new(ChatStream::new(Some(masker))));
            Ok(Prepared { source, deliver, keep })
        }
        Kind::Json => {
            let (whole, room) = source.collect(buffers).await?;
            let masked = codec::mask_answer(&whole, &masker)
                .map_err(|_cause| "the answer is not the JSON it says it is")?;
            record.masked(masked.count);
            let source = Source::Ready(Some(room.hold(Bytes::from(masked.bytes))));
            Ok(Prepared { source, deliver: None, keep })
        }
    }
}

fn kind(head: &Parts) -> Kind {
    let value = head.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("text/event-stream") {
        return Kind::Sse;
    }
    if essence.eq_ignore_ascii_case("application/json") { Kind::Json } else { Kind::Other }
}

fn keep(
    kind: Kind,
    policy: &Policy,
    buffers: &Buffers,
    has_codec: bool,
    record: &OpenRecord,
) -> Keep {
    let raw = if record.keeps_raw_bodies() { Keep::Raw } else { Keep::Nothing };
    if !has_codec || !(record.keeps_bodies() || record.is_charged()) {
        return raw;
    }
    let everything = policy.masker_of_everything();
    match kind {
        Kind::Json => {
            Keep::Json { seen: BytesMut::new(), masker: everything, room: Room::new(buffers) }
        }
        Kind::Other => raw,
        Kind::Sse => {
            let masker = (!everything.is_empty()).then_some(everything);
            Keep::Sse(Box::new(ChatStream::new(masker)))
        }
    }
}

impl Prepared {
    /// Joins the body with its record; from here on the record closes itself.
    pub(super) fn into_answer(self, record: OpenRecord) -> AnswerBody {
        let Self { source, deliver, keep } = self;
        let is_over = source.is_over();
        let mut answer = AnswerBody { source, deliver, keep, record: Some(record) };
        if is_over {
            answer.complete();
        }
        answer
    }
}

impl Source {
    fn upstream(body: Incoming, lease: Lease) -> Self {
        let idle = Box::pin(tokio::time::sleep(limits::BODY_IDLE_TIMEOUT));
        Self::Upstream { body, lease: Some(lease), idle }
    }

    fn is_over(&self) -> bool {
        match self {
            Self::Ready(bytes) => bytes.is_none(),
            Self::Upstream { body, .. } => body.is_end_stream(),
        }
    }

    fn give_back(&mut self) {
        if let Self::Upstream { lease, .. } = self
            && let Some(lease) = lease.take()
        {
            lease.give_back();
        }
    }

    async fn collect(&mut self, buffers: &Buffers) -> Result<(Bytes, Room), &'static str> {
        let mut room = Room::new(buffers);
        let Self::Upstream { body, .. } = self else { return Ok((Bytes::new(), room)) };
        let mut whole = BytesMut::new();
        loop {
            match tokio::time::timeout(limits::BODY_IDLE_TIMEOUT, body.frame()).await {
                Ok(None) => break,
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        if !room.grow(data.len()) {
                            return Err("there is no memory left to mask the answer");
                        }
                        whole.extend_from_slice(&data);
                    }
                }
                Ok(Some(Err(_broken))) => return Err("the answer broke off"),
                Err(_elapsed) => return Err("the answer stopped"),
            }
            if whole.len() > limits::RESPONSE_BODY_BYTES_MAX {
                return Err("the answer is larger than can be masked");
            }
        }
        self.give_back();
        Ok((whole.freeze(), room))
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
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

/// The record says which answer it was; what is wrong inside it is content and is not told.
fn undecodable(_content: StreamError) -> Denied {
    Denied::because(DenyReason::ResponseUndecodable)
}

/// The body of every answer, the provider's and our own.
pub struct AnswerBody {
    source: Source,
    deliver: Option<Box<ChatStream>>,
    keep: Keep,
    record: Option<OpenRecord>,
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

impl AnswerBody {
    /// A body that is all there.
    pub(super) fn ready(bytes: Bytes) -> Self {
        let source = Source::Ready(Some(bytes));
        Self { source, deliver: None, keep: Keep::Nothing, record: None }
    }

    /// One piece of the answer as the agent gets it.
    fn delivered(&mut self, data: Bytes) -> Result<Bytes, Denied> {
        let data = match &mut self.deliver {
            None => data,
            Some(stream) => Bytes::from(stream.push(&data).map_err(undecodable)?),
        };
        if let (Some(stream), Some(record)) = (&self.deliver, &mut self.record) {
            record.passed(stream.passed())?;
        }
        self.kept(&data)?;
        if let Some(record) = &mut self.record {
            record.delivers(&data);
        }
        Ok(data)
    }

    fn kept(&mut self, data: &[u8]) -> Result<(), Denied> {
        let Some(record) = &mut self.record else { return Ok(()) };
        match &mut self.keep {
            Keep::Nothing => {}
            Keep::Raw => record.keep(data),
            Keep::Json { seen, room, .. } => {
                let has_room = seen.len() + data.len() <= limits::RESPONSE_BODY_BYTES_MAX;
                if has_room && room.grow(data.len()) {
                    seen.extend_from_slice(data);
                } else {
                    self.keep = Keep::Nothing;
                }
            }
            Keep::Sse(stream) => match stream.push(data) {
                Ok(masked) => {
                    record.passed(stream.passed())?;
                    record.keep(&masked);
                }
                // What cannot be masked for storage is not stored.
                Err(_undecodable) => self.keep = Keep::Nothing,
            },
        }
        Ok(())
    }

    fn is_closed(&self) -> bool {
        self.record.is_none() && matches!(self.source, Source::Upstream { .. })
    }

    fn has_end_marker(&self) -> bool {
        let is_kept_done = matches!(&self.keep, Keep::Sse(stream) if stream.is_done());
        is_kept_done || self.deliver.as_ref().is_some_and(|stream| stream.is_done())
    }

    /// What the masker still held back.
    fn rest(&mut self) -> Result<Bytes, Denied> {
        let rest = match &mut self.deliver {
            None => return Ok(Bytes::new()),
            Some(stream) => stream.finish(),
        };
        let rest = rest.map_err(undecodable)?;
        self.kept(&rest)?;
        Ok(Bytes::from(rest))
    }

    fn complete(&mut self) {
        self.source.give_back();
        let Some(mut record) = self.record.take() else { return };
        if let Some(stream) = &self.deliver {
            record.masked(stream.masked());
            record.usage(stream.usage());
        }
        match std::mem::replace(&mut self.keep, Keep::Nothing) {
            Keep::Nothing | Keep::Raw => {}
            Keep::Json { seen, masker, room: _room } => {
                record.usage(codec::usage(&seen));
                if let Ok(masked) = codec::mask_answer(&seen, &masker) {
                    record.keep(&masked.bytes);
                }
            }
            Keep::Sse(mut stream) => {
                if let Ok(rest) = stream.finish() {
                    record.keep(&rest);
                }
                record.usage(stream.usage());
            }
        }
        record.completed();
    }

    /// Ends a stream that cannot be masked, or that no budget covers: a last error event, and no normal end marker.
    fn cut(&mut self, denied: Denied) -> Bytes {
        self.source = Source::Ready(None);
        self.deliver = None;
        let Some(record) = self.record.take() else { return Bytes::new() };
        let last = codec::last_event(&denied, Some(record.id()));
        record.denied(denied, StatusCode::OK);
        Bytes::from(last)
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(frame) = std::task::ready!(self.source.poll_data(cx)) else {
                let last = self.rest().unwrap_or_else(|denied| self.cut(denied));
                self.complete();
                self.deliver = None;
                self.source = Source::Ready(None);
                let has_last = !last.is_empty();
                return Poll::Ready(has_last.then(|| Ok(Frame::data(last))));
            };
            let data = match frame.map(Frame::into_data) {
                Ok(Ok(data)) => data,
                Ok(Err(trailers)) if self.deliver.is_none() => {
                    return Poll::Ready(Some(Ok(trailers)));
                }
                Ok(Err(_trailers)) => continue,
                Err(error) => {
                    if let Some(mut record) = self.record.take() {
                        record.detail(format!("upstream: {error}"));
                        record.broken(Denied::because(DenyReason::UpstreamUnreachable));
                    }
                    return Poll::Ready(Some(Err(error)));
                }
            };
            // Nothing belongs behind the end marker, and the record is closed.
            if self.is_closed() {
                continue;
            }
            match self.delivered(data) {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    // A carrier that knows the length drops the body without asking for its end, and
                    // so does an SDK that has seen the end marker.
                    if self.is_end_stream() || self.has_end_marker() {
                        self.complete();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Err(denied) => return Poll::Ready(Some(Ok(Frame::data(self.cut(denied))))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.deliver.is_none() && self.source.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.deliver, &self.source) {
            (Some(_), _) => SizeHint::default(),
            (None, Source::Ready(bytes)) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            (None, Source::Upstream { body, .. }) => body.size_hint(),
        }
    }
}
