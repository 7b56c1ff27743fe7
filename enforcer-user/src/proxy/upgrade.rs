// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that ask for another protocol than HTTP on their connection or stream: which one, from the head alone.
//!
//! None of them is carried. Errs to taking a request for one that asks: it is refused instead of being sent on with
//! a protocol that nobody judges.

use hyper::ext::Protocol;
use hyper::header::UPGRADE;
use hyper::{Method, Request, Version};

/// The name of the protocol in both handshakes (RFC 6455 section 4.1, RFC 8441 section 5).
const WEBSOCKET: &str = "websocket";

/// What a request asks to change to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// A tunnel, or a protocol that is no WebSocket; the text is for the record.
    Other(&'static str),
    /// A WebSocket, in the way of HTTP/1.1 or of HTTP/2.
    WebSocket,
}

/// What this request asks to change to; nothing if it is an ordinary one.
pub(super) fn asked<B>(request: &Request<B>) -> Option<Upgrade> {
    if request.method() == Method::CONNECT {
        return Some(match request.extensions().get::<Protocol>() {
            Some(protocol) if protocol.as_str().eq_ignore_ascii_case(WEBSOCKET) => {
                Upgrade::WebSocket
            }
            Some(_) => Upgrade::Other("extended CONNECT to a protocol other than WebSocket"),
            None => Upgrade::Other("CONNECT inside a connection"),
        });
    }
    let mut offered = request.headers().get_all(UPGRADE).iter().peekable();
    offered.peek()?;
    let is_named = offered
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|name| name.trim().eq_ignore_ascii_case(WEBSOCKET));
    // RFC 6455 section 4.1: a handshake is a GET of HTTP/1.1 or higher.
    let is_handshake = request.method() == Method::GET && request.version() >= Version::HTTP_11;
    Some(if is_named && is_handshake {
        Upgrade::WebSocket
    } else {
        Upgrade::Other("an `Upgrade` header")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, version: Version, offered: &[&str], expect: Option<Upgrade>) {
        let mut request = Request::builder().method(method).version(version).uri("/v1/responses");
        for value in offered {
            request = request.header(UPGRADE, *value);
        }
        assert_eq!(asked(&request.body(()).unwrap()), expect, "{method} {offered:?}");
    }

    #[test]
    fn a_websocket_is_told_from_other_protocols_wherever_it_is_named() {
        let other = Some(Upgrade::Other("an `Upgrade` header"));
        let socket = Some(Upgrade::WebSocket);
        check("GET", Version::HTTP_11, &[], None);
        check("GET", Version::HTTP_11, &["websocket"], socket);
        check("GET", Version::HTTP_11, &["h2c, WebSocket"], socket);
        check("GET", Version::HTTP_11, &["h2c", "websocket"], socket);
        check("GET", Version::HTTP_11, &["h2c"], other);
        check("GET", Version::HTTP_11, &["websocket2"], other);
        check("GET", Version::HTTP_11, &[""], other);
        check("POST", Version::HTTP_11, &["websocket"], other);
        check("GET", Version::HTTP_10, &["websocket"], other);
        let connect = Some(Upgrade::Other("CONNECT inside a connection"));
        check("CONNECT", Version::HTTP_11, &["websocket"], connect);
    }

    #[test]
    fn an_extended_connect_names_its_protocol() {
        let check = |protocol: &'static str, expect| {
            let mut request = Request::builder().method("CONNECT").uri("https://a.example/v1");
            request.extensions_mut().unwrap().insert(Protocol::from_static(protocol));
            assert_eq!(asked(&request.body(()).unwrap()), Some(expect), "{protocol}");
        };
        check("websocket", Upgrade::WebSocket);
        let other = Upgrade::Other("extended CONNECT to a protocol other than WebSocket");
        check("connect-udp", other);
    }
}
