// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bounds on clients that hold a place and do nothing: one that takes no byte of what is written, one
//! that gives an HTTP/2 answer no room, one that keeps an HTTP/2 connection and asks nothing.
//!
//! Who waits for the provider is not held to these; that has bounds of its own, which are shorter where
//! the two could meet.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use enforcer_core::model::limits;
use hyper::body::{Body, Frame, SizeHint};
use hyper::rt::Executor;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

use crate::enforce::AnswerBody;
use crate::runtime;

/// A stream whose other end has to take what is written, within [`limits::BODY_IDLE_TIMEOUT`].
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

impl<S> Patient<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, waiting: None }
    }

    /// Turns a wait that is too long into an error.
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = None;
            return polled;
        }
        let sleep = || Box::pin(tokio::time::sleep(limits::BODY_IDLE_TIMEOUT));
        ready!(self.waiting.get_or_insert_with(sleep).as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.bounded(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.bounded(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.bounded(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.bounded(cx, polled)
    }
}

/// Runs the exchanges of an HTTP/2 connection; one to which nothing happens for
/// [`limits::H2_STALL_TIMEOUT`] is dropped, which resets its stream and closes its record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounded;

impl<F> Executor<F> for Bounded
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    fn execute(&self, exchange: F) {
        drop(runtime::spawn("exchange", unless_stalled(exchange, limits::H2_STALL_TIMEOUT)));
    }
}

/// Polls `work` to its end, unless nothing wakes it for `limit`.
async fn unless_stalled<F: Future>(work: F, limit: Duration) {
    let mut work = Box::pin(work);
    let mut stalled = Box::pin(tokio::time::sleep(limit));
    std::future::poll_fn(move |cx| {
        if work.as_mut().poll(cx).is_ready() || stalled.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        // Whatever woke it but the timer was something that happened.
        stalled.as_mut().reset(Instant::now() + limit);
        stalled.as_mut().poll(cx)
    })
    .await;
}

/// What an HTTP/2 connection carries.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    asked: AtomicU64,
    running: AtomicUsize,
}

impl Traffic {
    /// Counts one exchange until the guard is dropped.
    pub(super) fn begin(self: Arc<Self>) -> Running {
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.running.fetch_add(1, Ordering::Relaxed);
        Running(self)
    }

    /// Exchanges so far.
    pub(super) fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// Ends when nothing was carried for [`limits::HEAD_TIMEOUT`], or a little later.
    pub(super) async fn idle(&self) {
        loop {
            let before = self.asked.load(Ordering::Relaxed);
            tokio::time::sleep(limits::HEAD_TIMEOUT).await;
            let is_running = self.running.load(Ordering::Relaxed) > 0;
            if !is_running && self.asked.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

/// One exchange of [`Traffic`].
#[derive(Debug)]
pub(super) struct Running(Arc<Traffic>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An answer broke off; its own record says why.
///
/// SECURITY: the cause stays here. The carrier would tell the client the code by which a provider reset its stream,
/// and would seem to blame the client.
#[derive(Debug, thiserror::Error)]
#[error("the answer broke off")]
pub(super) struct Broken;

/// An answer that counts as running until it is gone.
#[derive(Debug)]
pub(super) struct Carried {
    body: AnswerBody,
    _running: Running,
}

impl Carried {
    pub(super) const fn new(body: AnswerBody, running: Running) -> Self {
        Self { body, _running: running }
    }
}

impl Body for Carried {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        Poll::Ready(frame.map(|frame| frame.map_err(|_cause| Broken)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
