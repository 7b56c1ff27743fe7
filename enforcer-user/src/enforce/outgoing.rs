// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A request as it goes out: which headers of the agent are sent on, and what they are sent with.
//!
//! Which headers those are, the core says. What is shown for an approval and what is sent come from the same
//! function. Errs to dropping, except in observe mode, where nothing is changed that the agent or the provider
//! could tell.

use bytes::Bytes;
use enforcer_core::model::{Denied, DenyReason, Mode, Obligations, limits};
use enforcer_core::policy::Protocol;
use enforcer_core::protocol::codec;
use enforcer_core::protocol::headers::{HOP_BY_HOP, mistakable_for};
use http_body_util::{BodyExt, Full};
use hyper::header::{ACCEPT_ENCODING, CONTENT_LENGTH, EXPECT, HeaderMap, HeaderName, HeaderValue};
use hyper::{Request, Response};

use super::content::{Body, Content};
use super::credential::Credentials;
use super::record::OpenRecord;
use super::refused::connection_refused;
use super::{AnswerBody, Conn, Enforcer, deny};
use crate::upstream::RequestBody;

/// How a request goes out.
pub(super) struct Outgoing<'o> {
    /// What the answer is under.
    pub(super) owed: &'o Obligations,
    /// Headers of the agent that are sent on.
    pub(super) headers: HeaderMap,
    /// What is put in.
    pub(super) credentials: Credentials,
    /// In observe mode nothing is changed that the agent or the provider could tell.
    pub(super) mode: Mode,
}

/// Headers of the agent that are sent on.
pub(super) fn headers(content: &Content, protocol: Protocol, mode: Mode) -> HeaderMap {
    let mut headers = content.head.headers.clone();
    end_hop(&mut headers, protocol);
    // The carrier frames the body anew; a masked one has another length.
    headers.remove(CONTENT_LENGTH);
    // Our carrier answers the expectation by itself (RFC 9110 section 10.1.1).
    headers.remove(EXPECT);
    if mode == Mode::Observe {
        return headers;
    }
    // SECURITY: by others, servers and what stands before them serve another host, path, method or model
    // than the ones that were judged.
    remove_unless(&mut headers, |name| codec::sends_header(protocol, name));
    if protocol != Protocol::Http {
        // What must be read cannot come compressed: answers of codecs, and all errors.
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    }
    headers
}

/// Removes what belongs to one hop only (RFC 9110 section 7.6.1). An option that names what is meant for
/// everybody would take away what was judged, and is ignored.
fn end_hop(headers: &mut HeaderMap, protocol: Protocol) {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    remove_unless(headers, |name| {
        !HOP_BY_HOP.contains(&name)
            && (!named.iter().any(|named| named == name) || codec::is_end_to_end(protocol, name))
    });
}

fn remove_unless(headers: &mut HeaderMap, stays: impl Fn(&str) -> bool) {
    let gone: Vec<HeaderName> =
        headers.keys().filter(|name| !stays(name.as_str())).cloned().collect();
    for name in gone {
        headers.remove(name);
    }
}

/// The request that is sent, and what is stored of it.
pub(super) fn request(
    content: Content,
    headers: HeaderMap,
    credentials: Credentials,
    record: &mut OpenRecord,
) -> Request<RequestBody> {
    let Content { mut head, body, original, room, .. } = content;
    let is_late = record.keeps_late_request();
    let body = match original.map_or(body, Body::Whole) {
        Body::Whole(bytes) | Body::Opaque { seen: bytes, rest: None, .. }
            if !is_late || bytes.is_empty() =>
        {
            record.sends(&bytes);
            whole(room.hold(bytes))
        }
        Body::Whole(seen) => record.tee(&head.headers, room.hold(seen), None),
        Body::Stream(stream) => record.tee(&head.headers, Bytes::new(), Some(stream)),
        Body::Opaque { seen, rest, .. } => record.tee(&head.headers, room.hold(seen), rest),
        Body::NoRoom => whole(Bytes::new()),
    };
    head.headers = headers;
    let mut request = Request::from_parts(head, body);
    credentials.put_into(request.headers_mut());
    request
}

fn whole(bytes: Bytes) -> RequestBody {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// Refuses a request with a header that servers may take for another one; none where every name is read the
/// same way. The agent is told the name, the record what it would be taken for.
pub(super) fn refusal(
    cx: &Enforcer,
    conn: &Conn,
    protocol: Protocol,
    headers: &HeaderMap,
) -> Option<Response<AnswerBody>> {
    let (name, taken_for) =
        headers.keys().find_map(|name| Some((name, mistakable_for(name.as_str())?)))?;
    let shown: String = name.as_str().chars().take(limits::HEADER_NAME_SHOWN_CHARS).collect();
    let message = format!(
        "the name of the header `{shown}` has a character that some servers read as a hyphen, so two servers \
         would read two requests; write it with `-`, or leave it out"
    );
    let denied = Denied::because(DenyReason::ProtocolError);
    let told = Denied { message: Some(message), ..denied.clone() };
    let answer = deny::answer(protocol, &told, None);
    let detail = format!("the name of a header that some servers take for {taken_for}");
    connection_refused(cx, &conn.origin, Some(conn.target.host.clone()), denied, Some(detail));
    Some(answer)
}
