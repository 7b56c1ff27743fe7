// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that the HTTP/2 carrier refuses before anything of ours sees them: each leaves a record, whether its
//! client waits for the refusal or not, and clients that only cancel leave none.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::carriers::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, POST, frame, opening, request, reset,
};
use crate::client::{H2, request as honest};
use crate::rig::{HOST, HTTP, LIMIT, Rig, refused};

/// What the client does after its last byte.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Then {
    Closes,
    Resets,
    Stays,
    Vanishes,
}

/// Sends these frames and expects one refusal, of which the provider saw nothing.
async fn check(what: &str, bytes: Vec<u8>, then: Then, reason: &str, detail: &str) {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    let mut stream = rig.tls(HOST, H2).await;
    // The server's first words: its side of the handshake is over.
    assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    let mut bytes = [opening(), bytes].concat();
    if then == Then::Resets {
        bytes.extend(reset(1, 8));
    }
    // The other side may have ended the connection before it has read everything.
    drop(stream.write_all(&bytes).await);
    drop(stream.flush().await);
    match then {
        Then::Closes => drop(stream.shutdown().await),
        Then::Resets | Then::Stays => {}
        Then::Vanishes => {
            stream.get_ref().0.set_zero_linger().unwrap();
            drop(stream);
            let (server_name, recorded, told) = rig.refused().await;
            assert_eq!((server_name.as_deref(), recorded), (Some(HOST), reason), "{what}: {told}");
            assert_eq!(provider.log().connections(), 0, "{what}");
            return;
        }
    }
    let (server_name, recorded, told) = rig.refused().await;
    assert_eq!(
        (server_name.as_deref(), recorded),
        (Some(HOST), reason),
        "{what}, {then:?}: {told}"
    );
    if then != Then::Resets {
        assert!(told.contains(detail), "{what}, {then:?}: {told}");
    }
    assert_eq!(provider.log().connections(), 0, "{what}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_the_http2_carrier_refuses_is_recorded_whether_or_not_its_client_waits() {
    let swapped = [GET[0], ("x", "y"), GET[1], GET[2], GET[3]];
    let connect = [(":method", "CONNECT"), (":authority", "api.openai.com:443")];
    for (what, bytes) in [
        ("two paths", request(1, true, &GET, &[(":path", "/v1/files")])),
        ("two methods", request(1, true, &GET, &[(":method", "DELETE")])),
        ("an unknown pseudo-header", request(1, true, &GET, &[(":x", "y")])),
        ("a status", request(1, true, &GET, &[(":status", "200")])),
        ("a pseudo-header late", request(1, true, &swapped, &[])),
        ("no path", request(1, true, &GET[..3], &[])),
        ("no method", request(1, true, &GET[1..], &[])),
        ("CR LF in a value", request(1, true, &GET, &[("x", "a\r\nhost: evil.example")])),
        ("NUL in a value", request(1, true, &GET, &[("x", "a\0b")])),
        ("a name in upper case", request(1, true, &GET, &[("X-Y", "z")])),
        ("a name with a blank", request(1, true, &GET, &[("x y", "z")])),
        ("`connection`", request(1, true, &GET, &[("connection", "x-y")])),
        ("`transfer-encoding`", request(1, true, &GET, &[("transfer-encoding", "chunked")])),
        ("`te`", request(1, true, &GET, &[("te", "gzip")])),
        ("a length without content", request(1, true, &POST, &[("content-length", "5")])),
        ("a length that is no number", request(1, true, &POST, &[("content-length", "+5")])),
        ("an upgrade", request(1, true, &connect, &[(":protocol", "websocket")])),
        ("content of a CONNECT", request(1, true, &connect, &[("content-length", "5")])),
    ] {
        for then in [Then::Stays, Then::Resets, Then::Closes, Then::Vanishes] {
            let detail = "not valid";
            check(what, bytes.clone(), then, "protocol_error", detail).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_a_whole_http2_connection_is_recorded_whether_or_not_its_client_waits() {
    let protocol = "protocol_error";
    for (what, bytes, reason, detail) in [
        (
            "a bad index",
            frame(HEADERS, END_STREAM | END_HEADERS, 1, &[0x80]),
            protocol,
            "not valid",
        ),
        ("content of no stream", frame(DATA, 0, 0, b"x"), protocol, "not valid"),
        ("content of a new stream", frame(DATA, 0, 1, b"x"), protocol, "not valid"),
        ("a stream of the server's", request(2, true, &GET, &[]), protocol, "not valid"),
        ("a lone continuation", frame(CONTINUATION, 4, 1, b"x"), protocol, "not valid"),
        ("settings of a wrong size", frame(4, 0, 0, &[0; 5]), protocol, "not valid"),
        ("a frame that is too large", frame(DATA, 0, 1, &[0; 20_000]), protocol, "not valid"),
        ("no end of a head", endless_head(), "limit", "flood"),
    ] {
        for then in [Then::Stays, Then::Closes, Then::Vanishes] {
            check(what, bytes.clone(), then, reason, detail).await;
        }
    }
}

fn endless_head() -> Vec<u8> {
    let more = frame(CONTINUATION, 0, 1, &[]);
    [frame(HEADERS, 0, 1, &[]), more.repeat(100)].concat()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_http2_head_with_too_many_bytes_is_recorded_as_a_limit() {
    let value = "a".repeat(8000);
    let headers: Vec<_> = (0..9).map(|number| (format!("x-{number}"), value.clone())).collect();
    let headers: Vec<_> = headers.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    // Of a client that vanishes so large a head may not come whole.
    for then in [Then::Stays, Then::Closes] {
        let bytes = request(1, true, &GET, &headers);
        check("too large", bytes, then, "limit", "more bytes of headers").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rapid_resets_are_recorded_as_a_flood() {
    let (rig, _provider) = Rig::with_stand_in(HTTP).await;
    let mut stream = rig.tls(HOST, H2).await;
    let mut bytes = opening();
    for number in 0..500 {
        bytes.extend(request(2 * number + 1, true, &GET, &[]));
        bytes.extend(reset(2 * number + 1, 8));
    }
    drop(stream.write_all(&bytes).await);
    drop(stream.flush().await);
    let is_there = |events: &[_]| refused(events).iter().any(|(_, _, told)| told.contains("flood"));
    let events = rig.until("the flood", is_there).await;
    for (_, reason, told) in refused(&events) {
        assert_eq!(reason, "limit", "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn something_else_than_the_http2_that_was_agreed_on_is_recorded() {
    for bytes in [&b"GET /v1/models HTTP/1.1\r\nhost: api.openai.com\r\n\r\n"[..], &[0; 64]] {
        let rig = Rig::start(HTTP).await;
        let mut stream = rig.tls(HOST, H2).await;
        stream.write_all(bytes).await.unwrap();
        stream.flush().await.unwrap();
        let (server_name, reason, told) = rig.refused().await;
        assert_eq!((server_name.as_deref(), reason), (Some(HOST), "protocol_error"));
        assert!(told.contains("something else came"), "{told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_as_long_as_its_http2_head_says_is_recorded() {
    for (length, content) in [("5", &b"abc"[..]), ("2", b"abc")] {
        let (rig, provider) = Rig::with_stand_in(HTTP).await;
        let mut stream = rig.tls(HOST, H2).await;
        let mut bytes = opening();
        bytes.extend(request(1, false, &POST, &[("content-length", length)]));
        bytes.extend(frame(DATA, END_STREAM, 1, content));
        stream.write_all(&bytes).await.unwrap();
        stream.flush().await.unwrap();
        assert_eq!(rig.refused().await.1, "protocol_error", "{length}");
        let bodies =
            provider.log().received().into_iter().filter(|it| it.body.as_bytes() == content);
        assert_eq!(bodies.count(), 0, "{length}: reached the provider as if it were whole");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_one_kind_on_one_connection_are_two_records_at_most() {
    let (rig, _provider) = Rig::with_stand_in(HTTP).await;
    let mut stream = rig.tls(HOST, H2).await;
    let mut bytes = opening();
    for number in 0..50 {
        bytes.extend(request(2 * number + 1, true, &GET, &[(":path", "/")]));
    }
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
    let (_, _, told) = rig.refused().await;
    assert!(!told.contains("times"), "{told}");
    stream.shutdown().await.unwrap();
    let events = rig.until("the count", |events| refused(events).len() >= 2).await;
    let all = refused(&events);
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(all[1].2.ends_with(": 50 times on one connection"), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn http2_clients_that_cancel_or_leave_are_not_recorded_as_refused() {
    let rig = Rig::start(HTTP).await;
    let answer = |_: &hyper::http::request::Parts, _: &bytes::Bytes| {
        use http_body_util::BodyExt as _;
        let content = bytes::Bytes::from(vec![b'x'; 4 << 20]);
        hyper::Response::new(http_body_util::Full::new(content).boxed())
    };
    let seen = rig.provider(crate::client::H1, answer).await;
    // Some are canceled as soon as they are asked, some while they are answered, some by a client that is gone.
    let mut stream = rig.tls(HOST, H2).await;
    let mut bytes = opening();
    for stream in [1, 3, 5] {
        bytes.extend(request(stream, true, &GET, &[]));
    }
    bytes.extend(reset(1, 8));
    bytes.extend(reset(3, 0));
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
    let mut buffer = [0; 4096];
    while seen.requests().is_empty() {
        let read = tokio::time::timeout(LIMIT, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(read > 0);
    }
    stream.write_all(&reset(5, 8)).await.unwrap();
    stream.write_all(&request(7, true, &GET, &[])).await.unwrap();
    stream.flush().await.unwrap();
    drop(stream);
    let mut client = rig.client(H2).await;
    assert_eq!(client.whole(honest("GET", "/a", "")).await.0.status, 200);
    drop(client.send(honest("GET", "/b", "")).await);
    drop(client);
    // One that is refused comes last; it alone is in the record.
    let mut stream = rig.tls(HOST, H2).await;
    let bytes = [opening(), request(1, true, &GET, &[(":path", "/")])].concat();
    stream.write_all(&bytes).await.unwrap();
    stream.flush().await.unwrap();
    assert_eq!(rig.refused().await.1, "protocol_error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_breaks_its_own_http2_does_not_blame_the_agent() {
    for code in [1_u32, 7, 11] {
        let rig = Rig::start(HTTP).await;
        let mut provider = crate::carriers::frames::Provider::start(&rig).await;
        let mut client = rig.client(H2).await;
        let (answer, mut provided) = tokio::join!(client.send(honest("GET", "/a", "")), async {
            let mut provided = provider.connection().await;
            provided.send(&crate::carriers::frames::allows(9)).await;
            let stream = provided.asked().await;
            provided.begin(stream).await;
            provided
        });
        provided.send(&reset(1, code)).await;
        let broken = http_body_util::BodyExt::collect(answer.into_body()).await.unwrap_err();
        rig.closed(1).await;
        let cause = std::error::Error::source(&broken).map(ToString::to_string);
        assert!(cause.unwrap().contains("internal error"), "{broken:?}");
        assert_eq!(refused(&rig.events().await), []);
    }
}
