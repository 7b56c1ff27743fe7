// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets that are known by where they stand (in a query, a path, a header, a URL) appear nowhere in the state folder,
//! the log, the counters or what people are shown, whether the request is allowed, denied, or refused as no request at
//! all; the provider still receives them.

use bytes::Bytes;
use enforcer_core::model::Operation;
use enforcer_user::approval::Person;
use hyper::Request;
use hyper::http::request::Parts;
use serde_json::json;

use super::hidden::{encoded, stored};
use super::log;
use crate::client::{Body, H1, H2, request_to};
use crate::provider::{Answer, full};
use crate::rig::{CHATS, HTTP, OPAQUE, Rig, opened, policy_with};

const FILES: &str = "files.example.com";
/// Of no form that a detector knows.
const SECRET: &str = "Zq7.w_N4-hK2~vB9xR5tY1p";

/// The text behind percent signs so often.
fn deep(text: &str, times: usize) -> String {
    (0..times).fold(text.to_owned(), |text, _| encoded(&text))
}

/// A text in Base64 (RFC 4648).
fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let bits = three.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
        let bits = bits << (8 * (3 - three.len()));
        for digit in 0..=three.len() {
            out.push(char::from(DIGITS[(bits >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    out + ["", "==", "="][text.len() % 3]
}

/// Every form in which the secret may stand somewhere.
fn needles() -> Vec<String> {
    let mut all: Vec<String> = (0..4).map(|times| deep(SECRET, times)).collect();
    // Whatever stands before it in Base64, one of these is a part of what comes out.
    all.extend(["", "a", "ab"].map(|before| {
        let text = base64(&format!("{before}{SECRET}"));
        text.get(4..text.len() - 6).unwrap().to_owned()
    }));
    // Half of it is too much already.
    all.push(SECRET.get(13..).unwrap().to_owned());
    all
}

fn is_leaked(bytes: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(bytes);
    let found = |needle: &String| {
        let at = text.find(needle.as_str())?;
        let from = text.floor_char_boundary(at.saturating_sub(200));
        Some(text.get(from..at + needle.len()).unwrap().to_owned())
    };
    needles().iter().find_map(found)
}

/// Fails if the secret stands anywhere where somebody may read it.
async fn expect_hidden(rig: &Rig, what: &str) {
    assert_eq!(is_leaked(&stored(rig).await), None, "{what}: stored");
    assert!(needles().iter().all(|needle| !log::has(needle)), "{what}: logged");
    let counted = format!(
        "{:?}{:?}",
        rig.enforcer.denials.denied_counts(),
        rig.enforcer.denials.exchange_counts()
    );
    assert_eq!(is_leaked(counted.as_bytes()), None, "{what}: counted");
}

/// Paths with queries that carry the secret, and how the query is recorded.
fn lines() -> Vec<(String, &'static str)> {
    let nested = deep(&format!("https://h.example/cb?a=b&access_token={SECRET}&c=d"), 1);
    let twice = deep(&format!("https://h.example/cb?a=b&access_token={SECRET}&c=d"), 2);
    vec![
        (format!("/v1/m?alt=sse&key={SECRET}"), "alt=sse&key=[secret]"),
        (format!("/v1/m?API_KEY={SECRET}&a=b"), "API_KEY=[secret]&a=b"),
        (format!("/v1/m?%6bey={SECRET}"), "%6bey=[secret]"),
        (format!("/v1/m?a=b;token={}", deep(SECRET, 1)), "a=b;token=[secret]"),
        (
            format!("/v1/m?redirect_uri={nested}&x=y"),
            "redirect_uri=https%3A%2F%2Fh%2Eexample%2Fcb%3Fa%3Db%26access%5Ftoken%3D[secret]%26c%3Dd&x=y",
        ),
        (
            format!("/v1/m?u={twice}"),
            "u=https%253A%252F%252Fh%252Eexample%252Fcb%253Fa%253Db%2526access%255Ftoken%253D[secret]%2526c%253Dd",
        ),
        (
            format!("/b/o?X-Amz-Expires=60&X-Amz-Security-Token={SECRET}&X-Amz-Signature={SECRET}"),
            "X-Amz-Expires=60&X-Amz-Security-Token=[secret]&X-Amz-Signature=[secret]",
        ),
        (format!("/c/b?sv=2024-11-04&sig={SECRET}"), "sv=2024-11-04&sig=[secret]"),
        (format!("/v1/m?u=https://user:{SECRET}@h.example/"), "u=https://[secret]@h.example/"),
        (format!("/bot123456:{}/getMe", SECRET.replace(['.', '~'], "_")), ""),
    ]
}

/// Requests that carry the secret.
fn requests() -> Vec<Request<Body>> {
    let get = |path: &str| request_to(FILES, "GET", path, "");
    let mut all: Vec<Request<Body>> = lines().iter().map(|(line, _)| get(line)).collect();
    for (name, value) in [
        ("authorization", format!("Bearer {SECRET}")),
        ("authorization", format!("Basic {}", base64(&format!("user:{SECRET}")))),
        ("proxy-authorization", format!("Bearer {SECRET}")),
        ("cookie", format!("theme=dark; sid={SECRET}")),
        ("x-api-key", SECRET.to_owned()),
        ("x-goog-api-key", SECRET.to_owned()),
        ("sec-websocket-protocol", format!("realtime, openai-insecure-api-key.{SECRET}")),
        ("sec-websocket-protocol", format!("bearer, {SECRET}")),
        ("referer", format!("https://h.example/?token={SECRET}")),
    ] {
        let mut request = get("/v1/m");
        request.headers_mut().insert(name, value.parse().unwrap());
        all.push(request);
    }
    let form = format!("grant_type=authorization_code&code={SECRET}&client_secret={SECRET}");
    for (kind, content) in [
        ("application/x-www-form-urlencoded", form),
        ("application/json", json!({ "url": format!("/x?key={SECRET}") }).to_string()),
        ("text/plain", format!("see https://user:{SECRET}@h.example/ or /x?key={SECRET}")),
    ] {
        let mut request = request_to(FILES, "POST", "/v1/m", content);
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        all.push(request);
    }
    all
}

/// An answer that quotes everything that it was asked.
fn quoting(head: &Parts, body: &Bytes) -> Answer {
    let uri = head.uri.to_string();
    let headers: Vec<String> = head
        .headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes())))
        .collect();
    let body = String::from_utf8_lossy(body).into_owned();
    let error = json!({ "error": { "message": format!("not allowed: {uri}"), "headers": headers, "body": body } });
    let mut answer = match uri.len() % 2 {
        0 => full("application/json", error.to_string()),
        _ => full("text/plain", format!("{uri}\n{}\n{body}", headers.join("\n"))),
    };
    *answer.status_mut() = hyper::StatusCode::FORBIDDEN;
    let location =
        format!("https://user:{SECRET}@h.example/cb?code={SECRET}#access_token={SECRET}");
    answer.headers_mut().insert("location", location.parse().unwrap());
    answer.headers_mut().insert("set-cookie", format!("sid={SECRET}").parse().unwrap());
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_an_allowed_request_reaches_the_provider_and_is_stored_and_logged_nowhere() {
    log::keep();
    for alpn in [H1, H2] {
        let rig = Rig::start(HTTP).await;
        let seen = rig.provider_of(FILES, H1, quoting).await;
        let mut client = rig.client_of(FILES, alpn).await;
        let count = requests().len();
        for request in requests() {
            let (head, answer) = client.whole(request).await;
            assert_eq!(head.status, 403, "{answer}");
            assert!(!head.headers.contains_key("x-enforcer-denied"), "{answer}");
        }
        for ((line, recorded), (head, _)) in lines().iter().zip(seen.requests()) {
            assert_eq!(head.uri.to_string(), *line, "what the provider receives is what was sent");
            let events = rig.events().await;
            let found = opened(&events).into_iter().any(|it| {
                matches!(&it.facts.operation, Operation::Http(http) if http.query == *recorded)
            });
            assert!(found, "{line} is not recorded as {recorded}");
        }
        assert_eq!(rig.closed(count).await.len(), count);
        expect_hidden(&rig, "allowed").await;
        let stored = stored(&rig).await;
        let text = String::from_utf8_lossy(&stored);
        for kept in ["grant_type=authorization_code&code=[secret]", "/v1/m?alt=sse&key=[secret]"] {
            assert!(text.contains(kept), "{kept}");
        }
        assert!(text.contains("/bot[secret]/getMe"));
        rig.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_of_a_denied_request_is_stored_logged_and_answered_nowhere() {
    log::keep();
    for rules in [CHATS, OPAQUE] {
        let rig = Rig::start(rules).await;
        let mut client = rig.client_of(FILES, H1).await;
        for request in requests() {
            let (head, answer) = client.whole(request).await;
            assert_eq!(head.headers["x-enforcer-denied"], "policy", "{answer}");
            let said = format!("{head:?}{answer}");
            assert_eq!(is_leaked(said.as_bytes()), None, "told to the agent");
        }
        expect_hidden(&rig, "denied").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_secret_in_what_is_no_request_is_stored_logged_and_answered_nowhere() {
    log::keep();
    let basic = base64(&format!("user:{SECRET}"));
    let host = "host: api.openai.com\r\n";
    for head in [
        format!("GET /a/../b?key={SECRET} HTTP/1.1\r\n{host}"),
        format!("GET /a%2f..%2fb?key={SECRET} HTTP/1.1\r\n{host}"),
        format!("GET /?key={SECRET} HTTP/1.1\r\n{host}{host}"),
        format!("GET /?key={SECRET} HTTP/1.1\r\n"),
        format!("GET /?key={SECRET} HTTP/9.9\r\n{host}"),
        format!("GET /?key={SECRET} x HTTP/1.1\r\n{host}"),
        format!("GET /?key={SECRET}\x01 HTTP/1.1\r\n{host}"),
        format!("GET https://user:{SECRET}@api.openai.com/ HTTP/1.1\r\n{host}"),
        format!("GET https://{SECRET}.example/?key={SECRET} HTTP/1.1\r\n{host}"),
        format!("GET / HTTP/1.1\r\nhost: user:{SECRET}@api.openai.com\r\n"),
        format!("CONNECT user:{SECRET}@api.openai.com:443 HTTP/1.1\r\n{host}"),
        format!(
            "GET /?key={SECRET} HTTP/1.1\r\n{host}upgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-protocol: realtime, openai-insecure-api-key.{SECRET}\r\n"
        ),
        format!("GET / HTTP/1.1\r\n{host}cookie: sid={SECRET}\r\nbroken header {SECRET}\r\n"),
        format!("GET / HTTP/1.1\r\n{host}authorization: Basic {basic}\r\nx y: z\r\n"),
        format!("POST /?key={SECRET} HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 2\r\n"),
        format!("POST /?key={SECRET} HTTP/1.1\r\n{host}transfer-encoding: {SECRET}\r\n"),
        format!("GET /?key={SECRET} HTTP/1.1\r\n{host}x_http_method_override: {SECRET}\r\n"),
        format!("GET /?key={SECRET}{} HTTP/1.1\r\n{host}", "x".repeat(200_000)),
    ] {
        let rig = Rig::start(HTTP).await;
        let answer = rig.raw(format!("{head}connection: close\r\n\r\n").as_bytes()).await;
        assert_eq!(is_leaked(answer.as_bytes()), None, "{head:.200}: told to the agent");
        rig.until("a refusal", |events| !events.is_empty()).await;
        expect_hidden(&rig, &head).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_who_approves_sees_the_names_of_secrets_and_the_provider_receives_them() {
    log::keep();
    let rig = Rig::start(HTTP).await;
    let approvals = "[approvals.leads]\nby = [\"user:ann\"]\nhold = \"60s\"\n";
    let rules = "@id(\"ask\") @approve(\"leads\")\npermit (principal, action == Action::\"http\", resource);";
    rig.enforce(policy_with("enforce", approvals, rules));
    let seen = rig.provider_of(FILES, H1, |_, _| full("text/plain", "ok")).await;
    let line = format!("/v1/m?alt=sse&key={SECRET}");
    let mut request = request_to(FILES, "POST", &line, format!("code={SECRET}&a=b"));
    let form = "application/x-www-form-urlencoded";
    request.headers_mut().insert("content-type", form.parse().unwrap());
    request.headers_mut().insert("cookie", format!("sid={SECRET}").parse().unwrap());
    let mut client = rig.client_of(FILES, H1).await;
    let person = async {
        let asks = |body: &enforcer_core::record::EventBody| {
            matches!(body, enforcer_core::record::EventBody::ApprovalAsked { .. })
        };
        rig.until("a question", |events| events.iter().any(|it| asks(&it.body))).await;
        let ann = Person { user: "ann".to_owned(), ..Person::default() };
        let (id, _) = rig.enforcer.approvals.all().pop().unwrap();
        let shown = rig.enforcer.approvals.show(id, &ann).unwrap();
        assert_eq!(is_leaked(format!("{shown:?}").as_bytes()), None);
        assert_eq!(shown.question.request_line, "POST /v1/m?alt=sse&key=[secret]");
        assert_eq!(&*shown.body, "code=[secret]&a=b");
        assert!(shown.question.hides_content, "it is sent as it is");
        rig.enforcer.approvals.answer(id, &ann, true).unwrap();
    };
    let ((head, _), ()) = tokio::join!(client.whole(request), person);
    assert_eq!(head.status, 200);
    let (head, body) = seen.requests().remove(0);
    assert_eq!(head.uri.to_string(), line);
    assert_eq!(body, format!("code={SECRET}&a=b"));
    expect_hidden(&rig, "approved").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_credential_that_the_bundle_puts_in_is_stored_nowhere_also_if_the_answer_quotes_it() {
    log::keep();
    let rig = Rig::start(HTTP).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, SECRET).unwrap();
    let credential = format!(
        "[credentials.corp]\nsecret = \"file:{}\"\nheader = \"x-corp\"\nvalue = \"Corp {{secret}}\"\n",
        path.display()
    );
    let rule = "@id(\"ask\") @credential(\"corp\")\n\
                permit (principal, action == Action::\"http\", resource == Endpoint::\"files\");";
    rig.enforce(policy_with("enforce", &credential, rule));
    let seen = rig.provider_of(FILES, H1, quoting).await;
    let mut client = rig.client_of(FILES, H1).await;
    for path in ["/v1/m", "/v1/mm"] {
        // What the agent receives is the provider's answer as it is.
        client.whole(request_to(FILES, "GET", path, "")).await;
    }
    for (head, _) in seen.requests() {
        assert_eq!(head.headers["x-corp"], format!("Corp {SECRET}"));
    }
    assert_eq!(rig.closed(2).await.len(), 2);
    expect_hidden(&rig, "put in").await;
    assert!(String::from_utf8_lossy(&stored(&rig).await).contains("x-corp: [secret]"));
}
