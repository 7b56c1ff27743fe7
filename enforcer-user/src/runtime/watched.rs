// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stream that somebody looks on: every byte is shown once, in order, and passes unchanged.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Who looks on.
pub trait Watch: Unpin {
    /// These bytes were read.
    ///
    /// # Errors
    /// Ends the stream for its user.
    fn reads(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// These bytes are to be written. They count from when they are offered: a peer that takes nothing, or is gone,
    /// does not hide them.
    fn writes(&mut self, bytes: &[u8]);

    /// The number of the turn that its user is in, if that is known. Bytes that were read in a turn are dealt with at
    /// its end.
    fn turn(&self) -> Option<u64> {
        None
    }
}

/// A stream and who looks on.
///
/// That the stream is over is told in a turn in which nothing was read, where turns are known: its user has dealt by
/// then with what it read.
#[derive(Debug)]
pub struct Watched<S, W> {
    stream: S,
    watch: W,
    /// Bytes that were shown and that the stream has not taken yet; a writer offers them again.
    ahead: usize,
    /// The turn in which bytes were read last.
    read_in: Option<u64>,
    /// The end of what is read, to be told in another turn.
    end: Option<io::Result<()>>,
    /// Why nothing can be written any more, to be told in another turn.
    failure: Option<io::Error>,
}

impl<S, W: Watch> Watched<S, W> {
    /// Lets `watch` look on.
    pub const fn new(stream: S, watch: W) -> Self {
        Self { stream, watch, ahead: 0, read_in: None, end: None, failure: None }
    }

    fn offered(&mut self, parts: &[IoSlice<'_>]) {
        let mut before = 0;
        for part in parts {
            let fresh = part.get(self.ahead.saturating_sub(before)..).unwrap_or_default();
            if !fresh.is_empty() {
                self.watch.writes(fresh);
            }
            before += part.len();
        }
        self.ahead = self.ahead.max(before);
    }

    /// Whether its user has not dealt yet with all that was read.
    fn is_within_turn(&self) -> bool {
        self.read_in.is_some() && self.read_in == self.watch.turn()
    }

    /// What to say in the place of writing.
    fn failed(&mut self, cx: &Context<'_>) -> Option<Poll<io::Error>> {
        self.failure.as_ref()?;
        if self.is_within_turn() {
            cx.waker().wake_by_ref();
            return Some(Poll::Pending);
        }
        self.failure.take().map(Poll::Ready)
    }

    /// Keeps a failure back until the turn is over.
    fn held<T>(&mut self, cx: &Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match polled {
            Poll::Ready(Err(error)) if self.is_within_turn() => {
                self.failure = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled => polled,
        }
    }

    fn taken(
        &mut self,
        cx: &Context<'_>,
        polled: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(count)) = &polled {
            self.ahead = self.ahead.saturating_sub(*count);
        }
        self.held(cx, polled)
    }
}

impl<S: AsyncRead + Unpin, W: Watch> AsyncRead for Watched<S, W> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.end.is_none() {
            let before = buffer.filled().len();
            let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer));
            let fresh = buffer.filled().get(before..).unwrap_or_default();
            if read.is_ok() && !fresh.is_empty() {
                self.read_in = self.watch.turn();
                return Poll::Ready(self.watch.reads(fresh));
            }
            if buffer.remaining() == 0 {
                return Poll::Ready(read);
            }
            self.end = Some(read);
        }
        if self.is_within_turn() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.end.take().unwrap_or(Ok(())))
    }
}

impl<S: AsyncWrite + Unpin, W: Watch> AsyncWrite for Watched<S, W> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.offered(&[IoSlice::new(data)]);
        if let Some(failed) = self.failed(cx) {
            return failed.map(Err);
        }
        let polled = Pin::new(&mut self.stream).poll_write(cx, data);
        self.taken(cx, polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.offered(data);
        if let Some(failed) = self.failed(cx) {
            return failed.map(Err);
        }
        let polled = Pin::new(&mut self.stream).poll_write_vectored(cx, data);
        self.taken(cx, polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(failed) = self.failed(cx) {
            return failed.map(Err);
        }
        let polled = Pin::new(&mut self.stream).poll_flush(cx);
        self.held(cx, polled)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::{any, prop, prop_assert_eq, proptest};

    use super::*;

    #[derive(Default)]
    struct Seen {
        read: Vec<u8>,
        written: Vec<u8>,
        turn: u64,
    }

    impl Watch for Seen {
        fn reads(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.read.extend(bytes);
            Ok(())
        }

        fn writes(&mut self, bytes: &[u8]) {
            self.written.extend(bytes);
        }

        fn turn(&self) -> Option<u64> {
            Some(self.turn)
        }
    }

    /// Takes as many bytes at a time as it is told, or none, and gives what it has.
    #[derive(Default)]
    struct Slow {
        steps: VecDeque<Option<usize>>,
        taken: Vec<u8>,
        gives: VecDeque<Vec<u8>>,
        is_broken: bool,
    }

    impl AsyncRead for Slow {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(piece) = self.gives.pop_front() {
                buffer.put_slice(&piece);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Slow {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _cx: &mut Context<'_>,
            data: &[u8],
        ) -> Poll<io::Result<usize>> {
            if self.is_broken {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            let Some(count) = self.steps.pop_front().unwrap_or(Some(usize::MAX)) else {
                return Poll::Pending;
            };
            let count = count.clamp(1, data.len());
            self.taken.extend(&data[..count]);
            Poll::Ready(Ok(count))
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            data: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let whole: Vec<u8> = data.iter().flat_map(|part| part.iter().copied()).collect();
            self.poll_write(cx, &whole)
        }

        fn is_write_vectored(&self) -> bool {
            true
        }

        fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    proptest! {
        #[test]
        fn each_written_byte_is_shown_once_however_it_is_offered_and_taken(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..20), 1..8),
            steps in prop::collection::vec(prop::option::of(0_usize..12), 0..40),
            is_vectored in any::<bool>(),
        ) {
            let stream = Slow { steps: steps.into(), ..Slow::default() };
            let mut watched = Watched::new(stream, Seen::default());
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let mut waiting: VecDeque<Vec<u8>> = pieces.clone().into();
            while !waiting.is_empty() {
                let mut stream = Pin::new(&mut watched);
                let parts: Vec<_> = waiting.iter().map(|part| IoSlice::new(part)).collect();
                let polled = if is_vectored {
                    stream.as_mut().poll_write_vectored(&mut cx, &parts)
                } else {
                    stream.as_mut().poll_write(&mut cx, &waiting[0])
                };
                let Poll::Ready(Ok(mut count)) = polled else { continue };
                while count > 0 {
                    let first = waiting.front_mut().unwrap();
                    let taken = count.min(first.len());
                    first.drain(..taken);
                    count -= taken;
                    if first.is_empty() {
                        waiting.pop_front();
                    }
                }
            }
            let whole = pieces.concat();
            prop_assert_eq!(&watched.stream.taken, &whole);
            prop_assert_eq!(&watched.watch.written, &whole);
        }
    }

    #[test]
    fn what_nobody_took_was_shown_all_the_same() {
        let stream = Slow { steps: vec![Some(2), None].into(), ..Slow::default() };
        let mut watched = Watched::new(stream, Seen::default());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        assert!(Pin::new(&mut watched).poll_write(&mut cx, b"abcd").is_ready());
        assert!(Pin::new(&mut watched).poll_write(&mut cx, b"cdef").is_pending());
        assert_eq!(watched.watch.written, b"abcdef");
    }

    #[test]
    fn that_it_is_over_is_told_in_a_turn_without_bytes() {
        let gives = VecDeque::from([b"ab".to_vec()]);
        let broken = Slow { gives, is_broken: true, ..Slow::default() };
        let mut watched = Watched::new(broken, Seen::default());
        let mut cx = Context::from_waker(std::task::Waker::noop());
        let mut space = [0; 8];
        let mut buffer = ReadBuf::new(&mut space);
        assert!(Pin::new(&mut watched).poll_read(&mut cx, &mut buffer).is_ready());
        for _ in 0..3 {
            assert!(Pin::new(&mut watched).poll_read(&mut cx, &mut buffer).is_pending());
            assert!(Pin::new(&mut watched).poll_write(&mut cx, b"x").is_pending());
            assert!(Pin::new(&mut watched).poll_flush(&mut cx).is_pending());
        }
        watched.watch.turn += 1;
        assert!(Pin::new(&mut watched).poll_read(&mut cx, &mut buffer).is_ready());
        let Poll::Ready(Err(_)) = Pin::new(&mut watched).poll_flush(&mut cx) else {
            panic!("the failure is not told")
        };
        assert_eq!((buffer.filled(), watched.watch.read.as_slice()), (&b"ab"[..], &b"ab"[..]));
        assert_eq!(watched.watch.written, b"x");
    }
}
