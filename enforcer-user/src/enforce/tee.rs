// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A request body that is kept while it passes. It may not stand still, and what of it is no text is not kept.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use enforcer_core::model::{DenyReason, limits};
use enforcer_core::record::TextBody;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use crate::store::{self, BodyWriter};

/// A body that no codec understands, on its way into the store; nothing as soon as it turns out not to be text.
pub(super) struct Kept(Option<(TextBody, BodyWriter)>);

impl Kept {
    pub(super) const fn new(text: TextBody, writer: BodyWriter) -> Self {
        Self(Some((text, writer)))
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), store::Error> {
        let Some((text, writer)) = &mut self.0 else { return Ok(()) };
        let Ok(masked) = text.push(bytes) else {
            self.0 = None;
            return Ok(());
        };
        writer.write(masked.as_bytes())
    }

    /// Ends it. Nothing comes back if it was no text.
    pub(super) fn finish(&mut self) -> Result<Option<BodyWriter>, store::Error> {
        let Some((text, mut writer)) = self.0.take() else { return Ok(None) };
        let Ok(rest) = text.finish() else { return Ok(None) };
        writer.write(rest.as_bytes())?;
        Ok(Some(writer))
    }
}

/// A request body on its way upstream.
pub(super) struct Tee {
    seen: Bytes,
    rest: Option<Incoming>,
    kept: Option<Arc<Mutex<Kept>>>,
    idle: Pin<Box<Sleep>>,
    fault: Arc<OnceLock<DenyReason>>,
    passed: Arc<AtomicU64>,
}

type BodyError = Box<dyn std::error::Error + Send + Sync>;

impl Tee {
    /// What was seen already, then the rest. `fault` becomes why the rest did not come to its end, `passed` counts
    /// bytes.
    pub(super) fn new(
        seen: Bytes,
        rest: Option<Incoming>,
        kept: Option<Arc<Mutex<Kept>>>,
        fault: Arc<OnceLock<DenyReason>>,
        passed: Arc<AtomicU64>,
    ) -> Self {
        let idle = Box::pin(tokio::time::sleep(limits::BODY_IDLE_TIMEOUT));
        Self { seen, rest, kept, idle, fault, passed }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(rest) = &mut self.rest else { return Poll::Ready(None) };
        // The first fault is the one that counts, so a second one is dropped.
        match Pin::new(rest).poll_frame(cx) {
            Poll::Ready(frame) => {
                self.idle.as_mut().reset(Instant::now() + limits::BODY_IDLE_TIMEOUT);
                let broken = |error| {
                    self.fault.get_or_init(|| DenyReason::ProtocolError);
                    BodyError::from(error)
                };
                Poll::Ready(frame.map(|frame| frame.map_err(broken)))
            }
            Poll::Pending => {
                std::task::ready!(self.idle.as_mut().poll(cx));
                self.fault.get_or_init(|| DenyReason::Limit);
                Poll::Ready(Some(Err("the request stopped".into())))
            }
        }
    }
}

impl HttpBody for Tee {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let frame = if self.seen.is_empty() {
            self.poll_rest(cx)
        } else {
            // Masking a large piece would keep others waiting.
            let piece = self.seen.len().min(limits::INLINE_BODY_BYTES_MAX);
            Poll::Ready(Some(Ok(Frame::data(self.seen.split_to(piece)))))
        };
        let Poll::Ready(Some(Ok(piece))) = &frame else { return frame };
        // Trailers of a request carry nothing that an API of ours reads, and nobody judges them.
        let Some(data) = piece.data_ref() else { return Poll::Ready(None) };
        self.passed.fetch_add(data.len() as u64, Ordering::Relaxed);
        if let Some(kept) = &self.kept {
            let written = kept.lock().unwrap_or_else(PoisonError::into_inner).write(data);
            if let Err(error) = written {
                self.fault.get_or_init(|| DenyReason::JournalUnavailable);
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.seen.is_empty() && self.rest.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref();
        let rest = rest.map_or_else(|| SizeHint::with_exact(0), HttpBody::size_hint);
        let seen = self.seen.len() as u64;
        let mut hint = SizeHint::new();
        hint.set_lower(rest.lower().saturating_add(seen));
        if let Some(upper) = rest.upper() {
            hint.set_upper(upper.saturating_add(seen));
        }
        hint
    }
}
