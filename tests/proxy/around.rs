// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways around a codec: what is put beside the body, declared as something else, or said in the clear.

use enforcer_core::model::{OpaqueCause, Operation};
use tokio::io::AsyncWriteExt as _;

use crate::client::{H1, H2, chat, chat_request, read_all};
use crate::rig::{CHATS, HOST, HTTP, OPAQUE, Rig};

const MAIL: &str = "maria.lopez@example.com";

#[tokio::test(flavor = "multi_thread")]
async fn what_is_hidden_in_a_header_or_the_query_of_a_masked_chat_is_refused_and_not_stored() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let content = chat("gpt-4.1", false, "hi");
    let mut header = chat_request(&content);
    header.headers_mut().insert("x-note", MAIL.parse().unwrap());
    let mut query = chat_request(&content);
    let path = format!("{}?user=maria.lopez%40example.com", query.uri().path());
    let uri = query.uri().to_string().replace(query.uri().path(), &path);
    *query.uri_mut() = uri.parse().unwrap();
    for request in [header, query] {
        let (head, answer) = rig.client(H1).await.whole(request).await;
        assert_eq!(head.headers["x-enforcer-denied"], "request_undecodable", "{answer}");
    }
    let opened = rig.opened(2).await;
    assert!(
        opened.iter().all(|it| it.facts.detected.iter().any(|found| found.as_str() == "email"))
    );
    assert_eq!(provider.log().connections(), 0);
    assert!(!rig.stores(MAIL).await && !rig.stores("maria.lopez%40example.com").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_in_another_type_or_character_set_is_not_understood() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    for kind in ["application/json; charset=utf-7", "text/plain", "multipart/form-data"] {
        let mut request = chat_request(&chat("gpt-4.1", false, "hi"));
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        let (head, answer) = rig.client(H2).await.whole(request).await;
        assert_eq!(head.status, 403, "{kind}: {answer}");
    }
    let opened = rig.opened(3).await;
    let causes = opened.iter().map(|it| match &it.facts.operation {
        Operation::Opaque(opaque) => opaque.cause,
        other => panic!("{other:?}"),
    });
    assert!(causes.into_iter().all(|cause| cause == OpaqueCause::Encoding));
    assert_eq!(provider.log().connections(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_size_of_what_is_not_read_is_what_it_declares() {
    let (rig, _provider) = Rig::with_stand_in(OPAQUE).await;
    let mut request = chat_request(&chat("gpt-4.1", false, "hi"));
    request.headers_mut().insert("content-encoding", "gzip".parse().unwrap());
    let declared = chat("gpt-4.1", false, "hi").to_string().len();
    rig.client(H1).await.whole(request).await;
    let Operation::Opaque(opaque) = &rig.opened(1).await[0].facts.operation else { panic!() };
    assert_eq!(usize::try_from(opaque.size).unwrap(), declared);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_meant_for_tls_is_not_reached_in_the_clear() {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    let mut stream = rig.tcp().await;
    let head = format!("GET /v1/models HTTP/1.1\r\nhost: {HOST}:443\r\nconnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
    let (_, reason, detail) = rig.refused().await;
    assert_eq!(reason, "not_an_endpoint");
    assert!(detail.contains("meant for TLS"), "{detail}");
    assert_eq!(provider.log().connections(), 0);
}
