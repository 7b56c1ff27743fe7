// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The body of every answer, the provider's and our own: read as it passes, and cut where it must not go on.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use enforcer_core::model::{DenyReason, limits};
use enforcer_core::protocol::codec::{self, AnswerStream, Pieces, Route, StreamError, Wants};
use enforcer_core::record::{AnswerFault, NotText, TextBody, Unstored};
use hyper::StatusCode;
use hyper::body::{Body, Frame, SizeHint};

use super::answer::{BodyError, Prepared, Reader, Source, unread};
use super::answer_head;
use super::buffers::Room;
use super::record::OpenRecord;
use super::refusal::Refusal;
use crate::runtime::{self, Panicked};

/// A reader that is at work aside, and what it found.
type Working = Pin<Box<dyn Future<Output = Result<Done, Panicked>> + Send>>;
type Done = (Box<AnswerStream>, Result<Pieces, StreamError>);

/// The body of every answer.
pub struct AnswerBody {
    source: Source,
    reader: Reader,
    /// Large pieces are read on a thread that serves nobody else.
    working: Option<Working>,
    record: Option<OpenRecord>,
    /// The carrier has to see this error next: the rest must not look as if it had come.
    fails: bool,
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AnswerBody").finish_non_exhaustive()
    }
}

/// What goes to the agent next.
enum Next {
    Data(Bytes),
    /// It cannot be read, or no budget covers it.
    Refused(Refusal),
    Nothing,
}

impl AnswerBody {
    pub(super) fn new(prepared: Prepared, record: OpenRecord) -> Self {
        let Prepared { source, reader } = prepared;
        let is_over = source.is_over();
        let mut answer = Self { source, reader, working: None, record: Some(record), fails: false };
        if is_over {
            answer.complete();
        }
        answer
    }

    /// A body that is all there and belongs to no exchange.
    pub(super) fn ready(bytes: Bytes) -> Self {
        let (source, reader) = (Source::Ready(Some(bytes)), Reader::nothing());
        Self { source, reader, working: None, record: None, fails: false }
    }

    /// One piece of the answer.
    fn take(&mut self, data: Bytes) -> Next {
        let Some(record) = &mut self.record else { return Next::Data(data) };
        match &mut self.reader {
            Reader::Raw { kept, is_counted } => {
                record.delivers(&data);
                keep_text(kept, record, &data);
                if *is_counted && let Err(denied) = record.passed(unread(record.bytes_down())) {
                    return Next::Refused(denied);
                }
                Next::Data(data)
            }
            Reader::Read(_) => {
                record.delivers(&data);
                Next::Data(data)
            }
            Reader::Json { seen, room, .. } => {
                record.delivers(&data);
                record.saw(unread(record.bytes_down()));
                let has_room = seen.len() + data.len() <= limits::RESPONSE_BODY_BYTES_MAX;
                if has_room && room.grow(data.len()) {
                    seen.extend_from_slice(&data);
                } else {
                    record.unstored(Unstored::Unreadable);
                    self.reader = Reader::nothing();
                }
                Next::Data(data)
            }
            Reader::Stream(stream) => {
                if stream.waiting() + data.len() > limits::INLINE_BODY_BYTES_MAX {
                    self.aside(move |stream| stream.push(&data));
                    return Next::Nothing;
                }
                let read = stream.push(&data);
                self.read(read)
            }
        }
    }

    /// Has the stream read something on a thread of its own.
    fn aside(
        &mut self,
        read: impl FnOnce(&mut AnswerStream) -> Result<Pieces, StreamError> + Send + 'static,
    ) {
        let Reader::Stream(mut stream) = std::mem::replace(&mut self.reader, Reader::nothing())
        else {
            return;
        };
        let work = runtime::heavy(move || {
            let pieces = read(&mut stream);
            (stream, pieces)
        });
        self.working = Some(Box::pin(work));
    }

    /// What the stream made of a piece.
    fn read(&mut self, read: Result<Pieces, StreamError>) -> Next {
        let (Reader::Stream(stream), Some(record)) = (&mut self.reader, &mut self.record) else {
            return Next::Nothing;
        };
        let passed = stream.passed();
        // Now, because an agent that leaves does not say so.
        record.masked(stream.masked());
        record.tool_calls(&stream.take_judged());
        let Pieces { deliver, keep } = match read {
            Ok(pieces) => pieces,
            Err(error) => {
                record.saw(passed);
                return Next::Refused(Refusal::of_answer(fault(&error)));
            }
        };
        if let Err(denied) = record.passed(passed) {
            return Next::Refused(denied);
        }
        record.keep(&keep);
        let deliver = Bytes::from(deliver);
        record.delivers(&deliver);
        if deliver.is_empty() { Next::Nothing } else { Next::Data(deliver) }
    }

    /// The provider has sent everything.
    fn end(&mut self) -> Next {
        let Reader::Stream(stream) = &mut self.reader else { return Next::Nothing };
        if self.record.is_none() {
            return Next::Nothing;
        }
        let read = stream.finish();
        self.read(read)
    }

    fn is_closed(&self) -> bool {
        self.record.is_none() && matches!(self.source, Source::Upstream { .. })
    }

    fn has_end_marker(&self) -> bool {
        matches!(&self.reader, Reader::Stream(stream) if stream.is_done())
    }

    /// Everything was handed to the agent's side.
    fn complete(&mut self) {
        self.source.give_back();
        let Some(mut record) = self.record.take() else { return };
        match std::mem::replace(&mut self.reader, Reader::nothing()) {
            Reader::Raw { kept, is_counted } => {
                match kept.map(|text| text.finish()) {
                    Some(Ok(rest)) => record.keep(rest.as_bytes()),
                    Some(Err(NotText)) => record.keep_none(Unstored::Unreadable),
                    None => {}
                }
                if is_counted {
                    record.saw(unread(record.bytes_down()));
                }
            }
            Reader::Read(answer) => Reader::tell(&answer, &mut record),
            Reader::Stream(stream) => {
                record.masked(stream.masked());
                record.usage(stream.usage());
                record.saw(stream.passed());
                if !stream.is_kept_whole() {
                    record.unstored(Unstored::Unreadable);
                }
            }
            Reader::Json { seen, route, wants, room } => {
                return read_late(seen, route, *wants, room, record);
            }
        }
        record.completed();
    }

    /// Ends an answer that cannot be read, or that no budget covers: a stream by a last error event and no normal
    /// end marker, another answer by breaking off.
    fn cut(&mut self, refusal: Refusal) -> Option<Bytes> {
        self.source = Source::Ready(None);
        let mut record = self.record.take()?;
        let last = match std::mem::replace(&mut self.reader, Reader::nothing()) {
            Reader::Stream(stream) => {
                record.masked(stream.masked());
                record.usage(stream.usage());
                record.saw(stream.passed());
                Some(Bytes::from(stream.last_event(&refusal.denied, Some(record.id()))))
            }
            Reader::Json { .. } | Reader::Raw { .. } | Reader::Read(_) => None,
        };
        record.denied(refusal, StatusCode::OK);
        self.fails = last.is_none();
        last
    }

    /// Waits for what is read aside.
    fn poll_working(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let Some(working) = &mut self.working else { return Poll::Ready(Next::Nothing) };
        let done = ready!(working.as_mut().poll(cx));
        self.working = None;
        Poll::Ready(match done {
            Ok((stream, read)) => {
                self.reader = Reader::Stream(stream);
                self.read(read)
            }
            Err(Panicked) => Next::Refused(DenyReason::Internal.into()),
        })
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let next = if self.working.is_some() {
                ready!(self.poll_working(cx))
            } else {
                let Some(frame) = ready!(self.source.poll_data(cx)) else {
                    return Poll::Ready(self.last());
                };
                match frame.map(Frame::into_data) {
                    // Nothing belongs behind the end marker, and the record is closed.
                    Ok(Ok(_late)) if self.is_closed() => continue,
                    Ok(Ok(data)) => self.take(data),
                    Ok(Err(trailers)) if matches!(self.reader, Reader::Raw { .. }) => {
                        return Poll::Ready(Some(Ok(unmarked(trailers))));
                    }
                    Ok(Err(_trailers)) => continue,
                    Err(error) => {
                        self.broken(&error);
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            };
            match next {
                Next::Nothing if self.has_end_marker() && self.working.is_none() => self.complete(),
                Next::Nothing => {}
                Next::Data(data) => {
                    // A carrier that knows the length drops the body without asking for its end, and
                    // so does an SDK that has seen the end marker.
                    if self.is_end_stream() || self.has_end_marker() {
                        self.complete();
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Next::Refused(denied) => {
                    if let Some(last) = self.cut(denied) {
                        return Poll::Ready(Some(Ok(Frame::data(last))));
                    }
                    return Poll::Ready(self.failure());
                }
            }
        }
    }

    /// What is left when the provider has sent everything.
    fn last(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        let next = self.end();
        let last = match next {
            Next::Data(data) => Some(data),
            Next::Nothing => None,
            Next::Refused(denied) => self.cut(denied),
        };
        self.complete();
        self.source = Source::Ready(None);
        last.map(|last| Ok(Frame::data(last))).or_else(|| self.failure())
    }

    fn failure(&mut self) -> Option<Result<Frame<Bytes>, BodyError>> {
        std::mem::take(&mut self.fails).then(|| Err("the answer was cut off".into()))
    }

    fn broken(&mut self, error: &BodyError) {
        if let Some(mut record) = self.record.take() {
            if let Reader::Stream(stream) = &self.reader {
                record.masked(stream.masked());
                record.usage(stream.usage());
            }
            record.detail(format!("upstream: {error}"));
            record.broken(DenyReason::UpstreamUnreachable.into());
        }
    }
}

/// Keeps the next bytes of a body that no codec understands. If they are no text, none of it is kept.
fn keep_text(kept: &mut Option<Box<TextBody>>, record: &mut OpenRecord, data: &Bytes) {
    match kept.as_mut().map(|text| text.push(data)) {
        Some(Ok(masked)) => record.keep(masked.as_bytes()),
        Some(Err(NotText)) => {
            *kept = None;
            record.keep_none(Unstored::Unreadable);
        }
        None => {}
    }
}

/// What is wrong with a stream; never content.
const fn fault(error: &StreamError) -> AnswerFault {
    match error {
        StreamError::AfterFinish => AnswerFault::StreamAfterFinish,
        StreamError::Calls => AnswerFault::Calls,
        StreamError::Choices => AnswerFault::StreamChoices,
        StreamError::Events(_) => AnswerFault::StreamEvents,
        StreamError::NotJson => AnswerFault::StreamNotJson,
        StreamError::SplitName => AnswerFault::StreamSplitName,
        StreamError::TooManyTexts => AnswerFault::StreamTooManyTexts,
    }
}

/// Reads a plain answer that has passed; aside if it is large, so that its end does not wait.
fn read_late(
    seen: BytesMut,
    route: Option<Route>,
    wants: Wants,
    room: Room,
    mut record: OpenRecord,
) {
    let is_large = seen.len() > limits::INLINE_BODY_BYTES_MAX;
    let read = move || {
        let read = codec::read_answer(route, &seen, &wants);
        drop(room);
        read
    };
    let tell = |record: &mut OpenRecord, read: Result<_, _>| match read {
        Ok(answer) => Reader::tell(&answer, record),
        Err(_not_json) => record.unstored(Unstored::Unreadable),
    };
    if !is_large {
        tell(&mut record, read());
        return record.completed();
    }
    drop(runtime::spawn("answer record", async move {
        match runtime::heavy(read).await {
            Ok(read) => tell(&mut record, read),
            Err(Panicked) => record.unstored(Unstored::Unreadable),
        }
        record.completed();
    }));
}

/// Trailers without what only we say.
fn unmarked(trailers: Frame<Bytes>) -> Frame<Bytes> {
    match trailers.into_trailers() {
        Ok(mut fields) => {
            answer_head::remove_marks(&mut fields);
            Frame::trailers(fields)
        }
        Err(other) => other,
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.poll_next(cx)
    }

    fn is_end_stream(&self) -> bool {
        let is_read = !matches!(self.reader, Reader::Stream(_)) && self.working.is_none();
        is_read && !self.fails && self.source.is_over()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.reader, &self.source) {
            (Reader::Stream(_), _) => SizeHint::default(),
            _ if self.working.is_some() => SizeHint::default(),
            (_, Source::Ready(bytes)) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            (_, Source::Upstream { body, .. }) => body.size_hint(),
        }
    }
}
