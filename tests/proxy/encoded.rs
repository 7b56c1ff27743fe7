// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Requests that come compressed: judged, masked and stored without their content codings, and sent on plain.

use std::io::Write as _;

use bytes::Bytes;
use enforcer_core::model::{OpaqueCause, Operation};
use enforcer_core::record::ExchangeOpened;
use http_body_util::{BodyExt as _, Channel};
use hyper::Request;
use serde_json::{Value, json};

use crate::client::{Body, H1, H2, chat, request, request_to};
use crate::large::{ALONE, alone, resident};
use crate::provider::{Seen, full};
use crate::rig::{CHATS, HTTP, OPAQUE, Rig, policy_with};

const CHAT: &str = "/v1/chat/completions";
const MAIL: &str = "maria.lopez@example.com";
const MIB: usize = 1024 * 1024;

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn zstd(plain: &[u8]) -> Vec<u8> {
    zstd::stream::encode_all(plain, 3).unwrap()
}

fn deflate(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn br(plain: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 5, ..Default::default() };
    brotli::BrotliCompress(&mut &*plain, &mut out, &params).unwrap();
    out
}

/// Every coding, alone and stacked, with the bodies under it.
fn codings(plain: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("gzip", gzip(plain)),
        ("x-gzip", [gzip(&plain[..9]), gzip(&plain[9..])].concat()),
        ("br", br(plain)),
        ("zstd", zstd(plain)),
        ("deflate", deflate(plain)),
        ("zstd, gzip", gzip(&zstd(plain))),
        ("identity", plain.to_vec()),
    ]
}

fn coded(encoding: &str, content: impl Into<Bytes>) -> Request<Body> {
    let mut request = request("POST", CHAT, content);
    request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
    request
}

/// The same request with its body in pieces of this many bytes and no declared length.
async fn send_in_pieces(rig: &Rig, alpn: &[u8], request: Request<Body>, piece: usize) -> u16 {
    let (head, content) = request.into_parts();
    let content = content.collect().await.unwrap().to_bytes();
    let (mut sender, pieces) = Channel::<Bytes, std::io::Error>::new(1);
    let request = Request::from_parts(head, pieces.map_err(Into::into).boxed());
    let feed = tokio::spawn(async move {
        for part in content.chunks(piece) {
            sender.send_data(Bytes::copy_from_slice(part)).await.unwrap();
        }
    });
    let (head, _) = rig.client(alpn).await.whole(request).await;
    feed.await.unwrap();
    head.status.as_u16()
}

fn answering(_: &hyper::http::request::Parts, _: &Bytes) -> crate::provider::Answer {
    full("application/json", r#"{"choices":[]}"#)
}

/// What arrived last, which must be declared as plain and as long as it is.
fn plain_arrival(seen: &Seen) -> Bytes {
    let (head, content) = seen.requests().pop().unwrap();
    assert_eq!(head.headers["content-length"], content.len().to_string());
    let coding = head.headers.get("content-encoding");
    assert!(coding.is_none_or(|value| value == "identity"), "{coding:?}");
    content
}

fn stored(rig: &Rig, opened: &ExchangeOpened) -> Vec<u8> {
    let reader = rig.enforcer.journal.reader().unwrap();
    reader.body(opened.request.as_ref().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_request_is_judged_masked_stored_and_sent_like_a_plain_one() {
    let rig = Rig::start(CHATS).await;
    let seen = rig.provider(H1, answering).await;
    let content = chat("gpt-4.1", false, &format!("write to {MAIL}, please")).to_string();
    assert_eq!(
        rig.client(H1).await.whole(request("POST", CHAT, content.clone())).await.0.status,
        200
    );
    let plain = plain_arrival(&seen);
    assert!(!content.contains("[email]") && String::from_utf8_lossy(&plain).contains("[email]"));
    let facts = rig.opened(1).await[0].facts.operation.clone();
    let mut count = 1;
    for (encoding, encoded) in codings(content.as_bytes()) {
        for (alpn, piece) in [(H1, usize::MAX), (H2, usize::MAX), (H1, 1), (H2, 7)] {
            let request = coded(encoding, encoded.clone());
            let status = match piece {
                usize::MAX => rig.client(alpn).await.whole(request).await.0.status.as_u16(),
                piece => send_in_pieces(&rig, alpn, request, piece).await,
            };
            assert_eq!(status, 200, "{encoding}");
            assert!(plain_arrival(&seen) == plain, "{encoding}");
            count += 1;
            let opened = rig.opened(count).await.pop().unwrap();
            assert_eq!(opened.facts.operation, facts, "{encoding}");
            assert_eq!(opened.masked, 1, "{encoding}");
            assert!(stored(&rig, &opened) == plain, "{encoding}: stored as it was sent");
        }
    }
    assert!(!rig.stores(MAIL).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forbidden_model_in_a_compressed_request_is_refused() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let content = chat("o3", false, "hi").to_string();
    for (encoding, encoded) in codings(content.as_bytes()) {
        let (head, answer) = rig.client(H2).await.whole(coded(encoding, encoded)).await;
        assert_eq!(head.status, 403, "{encoding}");
        assert!(answer.contains("Use gpt-4.1."), "{encoding}: {answer}");
    }
    assert_eq!(provider.log().connections(), 0);
}

/// Broken bodies, and what is said about each.
fn broken() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    let plain = chat("gpt-4.1", false, "hi").to_string().into_bytes();
    let cut = |mut body: Vec<u8>| {
        body.truncate(body.len() - 1);
        body
    };
    let longer = |mut body: Vec<u8>| {
        body.push(b'x');
        body
    };
    vec![
        (
            "xyz",
            plain.clone(),
            "the body is compressed with `xyz`, which is not supported; send it",
        ),
        ("gzip, gzip, gzip", gzip(&gzip(&gzip(&plain))), "more than 2 content codings"),
        ("gzip", plain.clone(), "the body is declared as `gzip` and is not valid gzip"),
        ("zstd", gzip(&plain), "the body is declared as `zstd` and is not valid zstd"),
        ("gzip", Vec::new(), "the `gzip` body is not complete"),
        ("gzip", cut(gzip(&plain)), "the `gzip` body is not complete"),
        ("zstd", cut(zstd(&plain)), "the `zstd` body is not complete"),
        ("br", cut(br(&plain)), "the `br` body is not complete"),
        ("deflate", cut(deflate(&plain)), "the `deflate` body is not complete"),
        ("gzip", longer(gzip(&plain)), "more bytes follow after the end of the `gzip` body"),
        ("zstd", longer(zstd(&plain)), "more bytes follow after the end of the `zstd` body"),
        ("br", longer(br(&plain)), "more bytes follow after the end of the `br` body"),
        (
            "deflate",
            longer(deflate(&plain)),
            "more bytes follow after the end of the `deflate` body",
        ),
        ("gzip, zstd", zstd(&plain), "the body is declared as `gzip` and is not valid gzip"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_cannot_be_decompressed_is_refused_by_name_and_recorded() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for (index, (encoding, content, why)) in broken().into_iter().enumerate() {
        let alpn = if index % 2 == 0 { H1 } else { H2 };
        let (head, answer) = rig.client(alpn).await.whole(coded(encoding, content)).await;
        assert_eq!(head.status, 403, "{why}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        assert!(answer["error"]["message"].as_str().unwrap().contains(why), "{why}: {answer}");
        let opened = &rig.opened(index + 1).await[index];
        let Operation::Opaque(opaque) = &opened.facts.operation else { panic!("{why}") };
        assert_eq!(opaque.cause, OpaqueCause::Encoding);
        assert!(
            why.contains(opaque.detail.as_deref().unwrap())
                || opaque.detail.as_deref().unwrap().contains(why)
        );
    }
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decompressed_and_is_permitted_goes_on_as_it_came() {
    let rig = Rig::start(OPAQUE).await;
    let seen = rig.provider(H1, answering).await;
    for (encoding, content, why) in broken() {
        let answer = rig.client(H1).await.whole(coded(encoding, content.clone())).await;
        assert_eq!(answer.0.status, 200, "{why}");
        let (head, arrived) = seen.requests().pop().unwrap();
        assert!(arrived == content && head.headers["content-encoding"] == encoding, "{why}");
    }
    // Decompressed and still not understood: what was judged goes on, plain.
    let odd = br#"{"model":["gpt-4.1"],"messages":[]}"#;
    assert_eq!(rig.client(H1).await.whole(coded("zstd", zstd(odd))).await.0.status, 200);
    assert_eq!(plain_arrival(&seen), odd.as_slice());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_observe_mode_a_compressed_request_goes_on_as_it_came_and_is_judged_all_the_same() {
    let rig = Rig::start(CHATS).await;
    rig.enforce(policy_with("observe", "", CHATS));
    let seen = rig.provider(H1, answering).await;
    let content = chat("o3", false, &format!("write to {MAIL}")).to_string();
    let mut count = 0;
    for (encoding, encoded) in codings(content.as_bytes()) {
        for alpn in [H1, H2] {
            let answer = rig.client(alpn).await.whole(coded(encoding, encoded.clone())).await;
            assert_eq!(answer.0.status, 200, "{encoding}");
            let (head, arrived) = seen.requests().pop().unwrap();
            assert!(arrived == encoded, "{encoding}");
            assert_eq!(head.headers["content-encoding"], encoding);
            count += 1;
            let opened = rig.opened(count).await.pop().unwrap();
            assert_eq!(opened.facts.operation.model(), Some("o3"), "{encoding}");
            let stored: Value = serde_json::from_slice(&stored(&rig, &opened)).unwrap();
            assert_eq!(stored["messages"][0]["content"], "write to [email]", "{encoding}");
            let closed = rig.closed(count).await.pop().unwrap();
            assert_eq!(closed.bytes_up, encoded.len() as u64, "{encoding}");
        }
    }
    assert!(!rig.stores(MAIL).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compressed_request_that_no_codec_reads_passes_as_it_came() {
    let rig = Rig::start(HTTP).await;
    let seen = rig.provider_of("files.example.com", H1, answering).await;
    for (encoding, encoded) in [("gzip", gzip(b"hi")), ("xyz", b"hi".to_vec())] {
        let mut request = request_to("files.example.com", "PUT", "/x", encoded.clone());
        request.headers_mut().insert("content-encoding", encoding.parse().unwrap());
        let mut client = rig.client_of("files.example.com", H1).await;
        assert_eq!(client.whole(request).await.0.status, 200);
        let (head, arrived) = seen.requests().pop().unwrap();
        assert!(arrived == encoded && head.headers["content-encoding"] == encoding);
    }
}

/// 1 GiB of zeros as one of zstd inside another: some hundred bytes.
fn bomb() -> Vec<u8> {
    let zeros = vec![0; MIB];
    let mut encoder = zstd::stream::Encoder::new(Vec::new(), 3).unwrap();
    (0..1024).for_each(|_| encoder.write_all(&zeros).unwrap());
    zstd(&encoder.finish().unwrap())
}

#[test]
fn a_body_that_expands_without_end_is_refused_at_the_bound_in_bounded_memory() {
    alone("encoded::bombs_alone");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures its own process: run by a_body_that_expands_without_end_is_refused_at_the_bound_in_bounded_memory"]
async fn bombs_alone() {
    if std::env::var_os(ALONE).is_none() {
        // Beside other tests the measure is wrong; the test that calls this one measures.
        return;
    }
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let bomb = bomb();
    assert!(bomb.len() < 10 * 1024, "{} bytes", bomb.len());
    let mut client = rig.client(H2).await;
    let before = resident();
    for count in 1..=10 {
        let (head, answer) = client.whole(coded("zstd, zstd", bomb.clone())).await;
        assert_eq!(head.status, 403, "{answer}");
        let why =
            "the `zstd` body has more than 32 MiB when it is decompressed, which is the limit";
        assert!(answer.contains(why), "{answer}");
        let opened = rig.opened(count).await.pop().unwrap();
        let Operation::Opaque(opaque) = &opened.facts.operation else { panic!("opaque") };
        assert_eq!((opaque.cause, opaque.size), (OpaqueCause::TooLarge, bomb.len() as i64));
        // A body of the largest size, the window, and what an allocator keeps.
        let more = resident().saturating_sub(before);
        assert!(more < 96 * MIB, "{more} bytes more than before");
    }
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_bodies_at_once_wait_for_their_turn_to_be_decompressed() {
    let rig = Rig::start(CHATS).await;
    let seen = rig.provider(H2, answering).await;
    let text = "hello ".repeat(50_000);
    let encoded = zstd(
        json!({"model": "gpt-4.1", "messages": [{"role": "user", "content": text}]})
            .to_string()
            .as_bytes(),
    );
    let mut clients = Vec::new();
    for _ in 0..32 {
        let (mut client, request) = (rig.client(H2).await, coded("zstd", encoded.clone()));
        clients.push(tokio::spawn(async move { client.whole(request).await.0.status }));
    }
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
    assert_eq!(seen.requests().len(), 32);
}
