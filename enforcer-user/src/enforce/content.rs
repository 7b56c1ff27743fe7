// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The request as far as its codec needs it: whole where facts come from the body, streamed otherwise.
//! Bounded by [`limits::REQUEST_BODY_BYTES_MAX`] and [`limits::REQUEST_BODY_TIMEOUT`].

mod decoded;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use bytes::{Bytes, BytesMut};
use enforcer_core::facts::{Need, need};
use enforcer_core::model::{Mode, OpaqueCause, WhyOpaque, limits};
use enforcer_core::policy::Protocol;
use enforcer_core::protocol::codec::Route;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, EXPECT};
use hyper::http::request::Parts;

use super::buffers::{Buffers, Room};
use super::head;

/// A request on its way through the page.
pub(super) struct Content {
    /// Method, path, headers.
    pub(super) head: Parts,
    /// The codec that understands it, if one does.
    pub(super) route: Option<Route>,
    /// Its body.
    pub(super) body: Body,
    /// What goes out instead of the body; nothing if the body itself does.
    pub(super) original: Option<Bytes>,
    /// Places masked in it.
    pub(super) masked: u64,
    /// The memory it takes.
    pub(super) room: Room,
    /// Set once it is in the record.
    pub(super) is_judged: Arc<AtomicBool>,
}

/// How much of a body is known.
pub(super) enum Body {
    /// There is no memory left for it.
    NoRoom,
    /// A codec should understand it and cannot; what was read comes first.
    Opaque { why: WhyOpaque, seen: Bytes, rest: Option<Incoming> },
    /// Nothing asks for its content.
    Stream(Incoming),
    /// All of it.
    Whole(Bytes),
}

impl Content {
    /// Reads what the agent still sends and forgets it. Most clients send all of a request before they
    /// read the answer, and a connection that is closed on them before that loses it.
    pub(super) async fn drain(self) {
        let (Body::Opaque { rest: Some(mut rest), .. } | Body::Stream(mut rest)) = self.body else {
            return;
        };
        // RFC 9110 section 10.1.1: this client waits for the answer instead.
        if self.head.headers.contains_key(EXPECT) {
            return;
        }
        let drained = async {
            let mut left = limits::REQUEST_DRAIN_BYTES_MAX;
            while let Some(Ok(frame)) = rest.frame().await {
                let read = frame.data_ref().map_or(0, Bytes::len);
                let Some(less) = left.checked_sub(read) else { return };
                left = less;
            }
        };
        // The bounds are there to give up; the refusal is the same either way.
        drop(tokio::time::timeout(limits::REQUEST_DRAIN_TIMEOUT, drained).await);
    }

    /// The least number of bytes that the body has, as far as it was read or declared.
    pub(super) fn least_bytes(&self) -> u64 {
        let declared = |rest: &Incoming| rest.size_hint().lower();
        match &self.body {
            Body::NoRoom => 0,
            Body::Opaque { seen, rest, .. } => {
                (seen.len() as u64).saturating_add(rest.as_ref().map_or(0, declared))
            }
            Body::Stream(rest) => declared(rest),
            Body::Whole(bytes) => bytes.len() as u64,
        }
    }

    /// Takes up what the agent still sends, so that all of the body is there; false if that cannot be.
    pub(super) async fn is_whole(&mut self) -> bool {
        match std::mem::replace(&mut self.body, Body::NoRoom) {
            Body::Stream(rest) => self.body = collect(rest, &mut self.room).await,
            Body::Opaque { why, seen, rest: Some(rest) } if seen.is_empty() => {
                self.body = match collect(rest, &mut self.room).await {
                    Body::Whole(seen) => Body::Opaque { why, seen, rest: None },
                    body => body,
                };
            }
            body => self.body = body,
        }
        match &self.body {
            // SECURITY: its end never came, and what goes out would look as if it had.
            Body::Opaque { why, .. } if why.cause == OpaqueCause::Truncated => false,
            Body::Whole(_) | Body::Opaque { rest: None, .. } => true,
            Body::NoRoom | Body::Opaque { rest: Some(_), .. } | Body::Stream(_) => false,
        }
    }

    /// The codec did not understand what it was given; nothing of it is half known.
    pub(super) fn become_opaque(&mut self, why: WhyOpaque) {
        if let Body::Whole(bytes) = &self.body {
            self.body = Body::Opaque { why, seen: bytes.clone(), rest: None };
        }
    }
}

/// Reads what the codec of this endpoint needs. A body without its content codings takes the place of the one that
/// came: it is judged, masked, stored, and sent on, where nobody observes only.
pub(super) async fn read(
    protocol: Protocol,
    mode: Mode,
    request: Request<Incoming>,
    buffers: &Buffers,
) -> Content {
    let mut room = Room::new(buffers);
    let (mut head, body) = request.into_parts();
    let mut original = None;
    let (route, body) = match need(protocol, &head::of(&head)) {
        Need::Nothing(route) => (route, Body::Stream(body)),
        Need::Undecodable(route, why) => {
            (Some(route), Body::Opaque { why, seen: Bytes::new(), rest: Some(body) })
        }
        Need::Whole(route) => (Some(route), collect(body, &mut room).await),
        Need::Encoded(route, codings) => {
            let came = collect(body, &mut room).await;
            let decoded = decoded::undo(codings, came, room, buffers).await;
            room = decoded.room;
            match (decoded.original, mode) {
                (Some(_), Mode::Enforce) => drop(head.headers.remove(CONTENT_ENCODING)),
                (came, Mode::Enforce | Mode::Observe) => original = came,
            }
            (Some(route), decoded.body)
        }
    };
    Content { head, route, body, original, masked: 0, room, is_judged: Arc::default() }
}

async fn collect(mut body: Incoming, room: &mut Room) -> Body {
    let mut seen = BytesMut::new();
    let deadline = tokio::time::Instant::now() + limits::REQUEST_BODY_TIMEOUT;
    let opaque = |cause: OpaqueCause, seen: BytesMut, rest| Body::Opaque {
        why: cause.into(),
        seen: seen.freeze(),
        rest,
    };
    if body.size_hint().lower() > limits::REQUEST_BODY_BYTES_MAX as u64 {
        return opaque(OpaqueCause::TooLarge, seen, Some(body));
    }
    loop {
        match tokio::time::timeout_at(deadline, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                // Trailers of a request carry nothing that an API of ours reads; they are dropped.
                if let Ok(data) = frame.into_data() {
                    if !room.grow(data.len()) {
                        return Body::NoRoom;
                    }
                    seen.extend_from_slice(&data);
                }
            }
            Ok(None) => return Body::Whole(seen.freeze()),
            Ok(Some(Err(_))) | Err(_) => return opaque(OpaqueCause::Truncated, seen, None),
        }
        if seen.len() > limits::REQUEST_BODY_BYTES_MAX {
            return opaque(OpaqueCause::TooLarge, seen, Some(body));
        }
    }
}
