// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sends an allowed request upstream and prepares its answer.

use std::error::Error as _;
use std::sync::atomic::AtomicBool;

use bytes::Bytes;
use enforcer_core::model::{Denied, DenyReason, Mode, Obligations};
use enforcer_core::policy::Policy;
use enforcer_core::protocol::openai::Route;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue};
use hyper::http::response::Parts;

use super::answer::{self, Prepared};
use super::content::{Body, Content};
use super::credential::Credentials;
use super::record::OpenRecord;
use super::{Conn, Enforcer, deny};
use crate::upstream::RequestBody;

/// How a request goes out.
pub(super) struct Outgoing<'o> {
    /// What the answer is under.
    pub(super) owed: &'o Obligations,
    /// What is put in.
    pub(super) credentials: Credentials,
    /// In observe mode nothing is changed that the agent or the provider could tell.
    pub(super) mode: Mode,
}

/// Forwards the content; the head and the prepared body come back.
pub(super) async fn forward(
    cx: &Enforcer,
    conn: &Conn,
    policy: &Policy,
    outgoing: Outgoing<'_>,
    content: Content,
    record: &mut OpenRecord,
) -> Result<(Parts, Prepared), Denied> {
    let has_codec = content.route.is_some_and(Route::reads_body);
    let Outgoing { owed, credentials, mode } = outgoing;
    let mut request = request(content, mode, record);
    credentials.put_into(request.headers_mut());
    let is_sent = AtomicBool::new(false);
    let (target, origin) = (&conn.target, &conn.origin);
    let answered = cx.upstream.send(target, origin.destination, &origin.agent, request, &is_sent);
    let (response, lease) = answered.await.map_err(|error| {
        record.detail(match error.source() {
            Some(cause) => format!("{error}: {cause}"),
            None => error.to_string(),
        });
        Denied::because(record.request_fault().unwrap_or(error.reason()))
    })?;
    let (mut head, body) = response.into_parts();
    clean(&mut head.headers);
    if mode == Mode::Enforce {
        // RFC 7838: an alternative service would be a way around this connection.
        head.headers.remove("alt-svc");
    }
    remove_marks(&mut head.headers);
    record.is_answered(head.status);
    let prepared =
        answer::prepare(&mut head, body, lease, (policy, &cx.buffers), owed, has_codec, record)
            .await;
    match prepared {
        Ok(prepared) => Ok((head, prepared)),
        Err(why) => {
            record.detail(why.to_owned());
            Err(Denied::because(DenyReason::ResponseUndecodable))
        }
    }
}

fn request(content: Content, mode: Mode, record: &mut OpenRecord) -> Request<RequestBody> {
    let Content { mut head, route, body, room, .. } = content;
    clean(&mut head.headers);
    // The carrier frames the body anew; a masked one has another length.
    head.headers.remove(CONTENT_LENGTH);
    // Our carrier answers the expectation by itself (RFC 9110 section 10.1.1).
    head.headers.remove(EXPECT);
    if mode == Mode::Enforce {
        for name in OVERRIDES {
            head.headers.remove(name);
        }
    }
    if mode == Mode::Enforce && route.is_some_and(Route::reads_body) {
        // What must be read cannot come compressed.
        head.headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    let body = match body {
        Body::Whole(bytes) => {
            record.sends(&bytes);
            whole(room.hold(bytes))
        }
        Body::Stream(stream) => record.tee(stream),
        Body::Opaque { seen, rest: Some(rest), .. } => record.tee_after(room.hold(seen), rest),
        Body::Opaque { seen, rest: None, .. } => {
            record.sends(&seen);
            whole(room.hold(seen))
        }
        Body::NoRoom => whole(Bytes::new()),
    };
    Request::from_parts(head, body)
}

fn whole(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Removes what belongs to one hop only (RFC 9110 section 7.6.1).
fn clean(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// SECURITY: by these, servers and what stands before them serve another host, path or method than the
/// ones that were judged. No client of a provider has a reason to send them.
const OVERRIDES: [&str; 14] = [
    "forwarded",
    "x-forwarded-host",
    "x-forwarded-path",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-forwarded-server",
    "x-host",
    "x-http-method",
    "x-http-method-override",
    "x-method-override",
    "x-original-host",
    "x-original-url",
    "x-rewrite-url",
];

/// SECURITY: only we say what we refused; a provider that could would pass its own failure off as ours.
fn remove_marks(headers: &mut HeaderMap) {
    let marks: Vec<HeaderName> =
        headers.keys().filter(|name| name.as_str().starts_with(deny::MARKS)).cloned().collect();
    for name in marks {
        headers.remove(name);
    }
}

const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_one_hop_is_removed_and_nothing_else() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Secret-Hop"),
            ("x-secret-hop", "1"),
            ("te", "trailers"),
            ("authorization", "Bearer k"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        clean(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("authorization"));
    }
}
