// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The request as far as its codec needs it: whole where facts come from the body, streamed otherwise.
//! Bounded by [`limits::REQUEST_BODY_BYTES_MAX`] and [`limits::REQUEST_BODY_TIMEOUT`].

use bytes::{Bytes, BytesMut};
use enforcer_core::model::{OpaqueCause, limits};
use enforcer_core::policy::Protocol;
use enforcer_core::protocol::openai;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use hyper::http::request::Parts;

use super::buffers::{Buffers, Room};

/// A request on its way through the page.
pub(super) struct Content {
    /// Method, path, headers.
    pub(super) head: Parts,
    /// The codec that understands it, if one does.
    pub(super) route: Option<openai::Route>,
    /// Its body.
    pub(super) body: Body,
    /// Places masked in it.
    pub(super) masked: u64,
    /// The memory it takes.
    pub(super) room: Room,
}

/// How much of a body is known.
pub(super) enum Body {
    /// There is no memory left for it.
    NoRoom,
    /// A codec should understand it and cannot; what was read comes first.
    Opaque { cause: OpaqueCause, seen: Bytes, rest: Option<Incoming> },
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

    /// The codec did not understand what it was given; nothing of it is half known.
    pub(super) fn become_opaque(&mut self, cause: OpaqueCause) {
        if let Body::Whole(bytes) = &self.body {
            self.body = Body::Opaque { cause, seen: bytes.clone(), rest: None };
        }
    }
}

/// Reads what the codec of this endpoint needs.
pub(super) async fn read(
    protocol: Protocol,
    request: Request<Incoming>,
    buffers: &Buffers,
) -> Content {
    let mut room = Room::new(buffers);
    let (head, body) = request.into_parts();
    let route = match protocol {
        Protocol::Http => None,
        Protocol::OpenAi => openai::route(head.method.as_str(), head.uri.path()),
    };
    let body = match route {
        None => Body::Stream(body),
        Some(route) if !route.reads_body() => Body::Stream(body),
        Some(_) if is_encoded(&head) || !is_json(&head) => {
            Body::Opaque { cause: OpaqueCause::Encoding, seen: Bytes::new(), rest: Some(body) }
        }
        Some(_) => collect(body, &mut room).await,
    };
    Content { head, route, body, masked: 0, room }
}

fn is_encoded(head: &Parts) -> bool {
    let mut encodings = head.headers.get_all(CONTENT_ENCODING).iter();
    encodings.any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// SECURITY: a provider that follows the declared type or character set would read another text than we
/// do, so only JSON in UTF-8 is understood (RFC 8259 section 8.1).
fn is_json(head: &Parts) -> bool {
    let mut values = head.headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else { return false };
    let Ok(text) = value.to_str() else { return false };
    let mut parts = text.split(';').map(str::trim);
    let is_type = parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_type
        && parts.all(|parameter| {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            name.trim().eq_ignore_ascii_case("charset")
                && value.trim().trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
}

async fn collect(mut body: Incoming, room: &mut Room) -> Body {
    let mut seen = BytesMut::new();
    let deadline = tokio::time::Instant::now() + limits::REQUEST_BODY_TIMEOUT;
    let opaque = |cause, seen: BytesMut, rest| Body::Opaque { cause, seen: seen.freeze(), rest };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_json_in_utf_8_is_understood() {
        let check = |values: &[&str]| {
            let mut request = Request::builder();
            for value in values {
                request = request.header(CONTENT_TYPE, *value);
            }
            is_json(&request.body(()).unwrap().into_parts().0)
        };
        assert!(check(&["application/json"]) && check(&["Application/JSON; Charset=\"UTF-8\""]));
        assert!(
            !check(&[])
                && !check(&["text/json"])
                && !check(&["application/json", "application/json"])
        );
        assert!(!check(&["application/json; charset=utf-7"]) && !check(&["application/json; x=y"]));
    }
}
