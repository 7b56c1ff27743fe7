// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways around a codec: what is put beside the body, declared as something else, or said in the clear.

use enforcer_core::model::{OpaqueCause, Operation};
use tokio::io::AsyncWriteExt as _;

use crate::client::{H1, H2, chat, chat_request, read_all, request};
use crate::provider::full;
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
    // A query that a chat does not have makes it opaque, and no rule permits that.
    for (request, code) in [(header, "request_undecodable"), (query, "policy")] {
        let (head, answer) = rig.client(H1).await.whole(request).await;
        assert_eq!(head.headers["x-enforcer-denied"], code, "{answer}");
    }
    let opened = rig.opened(2).await;
    assert!(opened[0].facts.detected.iter().any(|found| found.as_str() == "email"));
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
async fn what_names_another_model_beside_the_field_makes_a_chat_opaque() {
    let rig = Rig::start(CHATS).await;
    let seen = rig.provider(H1, |_, _| full("application/json", "{}")).await;
    let content = chat("gpt-4.1", false, "hi");
    let with = |more: &str| content.to_string().replacen('{', &format!("{{{more},"), 1);
    let chats = "/v1/chat/completions";
    let cases = [
        ("?model=o3", content.to_string(), OpaqueCause::Query),
        ("?api-version=1&model=o3", content.to_string(), OpaqueCause::Query),
        ("?api-version=1;model=o3", content.to_string(), OpaqueCause::Query),
        ("?deployment", content.to_string(), OpaqueCause::Query),
        ("", with(r#""models":["o3"]"#), OpaqueCause::Fields),
        ("", with(r#""fallbacks":[{"model":"o3"}]"#), OpaqueCause::Fields),
        ("", with(r#""route":"fallback""#), OpaqueCause::Fields),
        ("", with(r#""provider":{"order":["x"]}"#), OpaqueCause::Fields),
        ("", with(r#""plugins":[{"id":"web"}]"#), OpaqueCause::Fields),
        ("", with(r#""extra_body":{"models":["o3"]}"#), OpaqueCause::Fields),
        ("", with(r#""api_base":"https://evil.example""#), OpaqueCause::Fields),
        ("", with(r#""apiBase":"https://evil.example""#), OpaqueCause::Fields),
        ("", with(r#""custom_llm_provider":"x""#), OpaqueCause::Fields),
        ("", with(r#""n":129"#), OpaqueCause::Fields),
        ("", with(r#""n":0"#), OpaqueCause::Fields),
        ("", with(r#""n":1.0"#), OpaqueCause::Fields),
        ("", with(r#""N":2"#), OpaqueCause::Fields),
        ("", with(r#""store":"true""#), OpaqueCause::Fields),
    ];
    for (number, (query, body, cause)) in cases.into_iter().enumerate() {
        let asked = request("POST", &format!("{chats}{query}"), body.clone());
        let (head, answer) = rig.client(H1).await.whole(asked).await;
        assert_eq!(head.headers["x-enforcer-denied"], "policy", "{query} {body}: {answer}");
        let opened = rig.opened(number + 1).await;
        let Operation::Opaque(opaque) = &opened[number].facts.operation else {
            panic!("{query} {body}")
        };
        assert_eq!(opaque.cause, cause, "{query} {body}");
    }
    assert!(seen.requests().is_empty());
    let asked = request("POST", &format!("{chats}?api-version=2024-10-21"), content.to_string());
    assert_eq!(rig.ask(asked).await.0.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_search_a_stored_chat_and_several_answers_can_be_forbidden() {
    let rules = r#"
@id("chats") permit (principal, action == Action::"chat", resource);
@id("no-search") forbid (principal, action == Action::"chat", resource)
when { context.tools.contains("web_search") };
@id("not-kept") forbid (principal, action == Action::"chat", resource) when { context.store };
@id("few") forbid (principal, action == Action::"chat", resource) when { context.n > 2 };
"#;
    let rig = Rig::start(rules).await;
    let seen = rig.provider(H1, |_, _| full("application/json", "{}")).await;
    for (more, rule) in [
        (r#""web_search_options":{}"#, Some("no-search")),
        (r#""search_parameters":{"mode":"on"}"#, Some("no-search")),
        (r#""store":true"#, Some("not-kept")),
        (r#""n":3"#, Some("few")),
        (r#""n":2,"store":false"#, None),
        (r#""n":null,"store":null,"web_search_options":null"#, None),
    ] {
        let content = chat("gpt-4.1", false, "hi").to_string();
        let content = content.replacen('{', &format!("{{{more},"), 1);
        let (head, answer) = rig.ask(request("POST", "/v1/chat/completions", content)).await;
        match rule {
            Some(rule) => assert!(head.status == 403 && answer.contains(rule), "{more}: {answer}"),
            None => assert_eq!(head.status, 200, "{more}: {answer}"),
        }
    }
    assert_eq!(seen.requests().len(), 2);
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
