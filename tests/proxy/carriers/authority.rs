// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Authority = server name = endpoint, or the request is refused; and no header leads anywhere else.

use crate::client::{H1, H2, chat, chat_request, request, request_to};
use crate::provider::full;
use crate::rig::{CHATS, HOST, HTTP, LIMIT, Rig, policy_with};

/// Sends a head and expects a refusal with this status and reason code, recorded once.
async fn check(lines: &str, status: &str, reason: &str) {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    let text = format!("{lines}\r\nconnection: close\r\n\r\n").replace('\n', "\r\n");
    let answer = rig.raw(text.replace("\r\r\n", "\r\n").as_bytes()).await;
    assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{lines}: {answer}");
    assert!(answer.contains(&format!("x-enforcer-denied: {reason}")), "{lines}: {answer}");
    let (server_name, recorded, _) = rig.refused().await;
    assert_eq!((server_name.as_deref(), recorded), (Some("api.openai.com"), reason), "{lines}");
    assert_eq!(provider.log().connections(), 0, "{lines}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_another_host_than_its_connection_is_refused() {
    check("GET /v1/models HTTP/1.1\nhost: evil.example", "421", "authority_mismatch").await;
    check("GET /v1/models HTTP/1.1\nhost: api.openai.com:8443", "421", "authority_mismatch").await;
    check("GET /v1/models HTTP/1.1\nhost: user@api.openai.com", "421", "authority_mismatch").await;
    check("GET https://evil.example/v1 HTTP/1.1\nhost: evil.example", "421", "authority_mismatch")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_names_no_host_or_several_is_refused() {
    check("GET /v1/models HTTP/1.1\nx: y", "400", "protocol_error").await;
    check("GET / HTTP/1.1\nhost: api.openai.com\nhost: evil.example", "400", "protocol_error")
        .await;
    check("GET / HTTP/1.1\nhost: api.openai.com\nhost: api.openai.com", "400", "protocol_error")
        .await;
    check("GET https://api.openai.com/ HTTP/1.1\nhost: evil.example", "400", "protocol_error")
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connect_and_upgrades_are_refused_with_a_clear_answer() {
    let upgrade = "upgrade_unsupported";
    check("CONNECT api.openai.com:443 HTTP/1.1\nhost: api.openai.com:443", "501", upgrade).await;
    check("CONNECT evil.example:443 HTTP/1.1\nhost: evil.example:443", "501", upgrade).await;
    check("GET / HTTP/1.1\nhost: api.openai.com\nupgrade: h2c", "501", upgrade).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_authority_on_an_http2_connection_is_refused() {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    let mut client = rig.client(H2).await;
    let (head, _) = client.whole(request_to("evil.example", "GET", "/v1/models", "")).await;
    assert_eq!(head.status, 421);
    assert_eq!(rig.refused().await.1, "authority_mismatch");
    let (head, _) = client.whole(request_to("files.example.com", "GET", "/", "")).await;
    assert_eq!(head.status, 421, "another endpoint of the policy is another host all the same");
    assert_eq!(provider.log().connections(), 0);
    assert_eq!(client.whole(request("GET", "/v1/models", "")).await.0.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_case_or_with_the_default_port_is_the_same_host() {
    let (rig, provider) = Rig::with_stand_in(HTTP).await;
    for host in ["API.OpenAI.com", "api.openai.com:443"] {
        let head = format!(
            "GET /v1/models HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer x\r\n\
             connection: close\r\n\r\n"
        );
        let answer = rig.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let names: Vec<_> = provider.log().received().into_iter().map(|it| it.server_name).collect();
    assert_eq!(names, ["api.openai.com"; 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_name_another_host_path_or_method_do_not_reach_the_provider() {
    // One of a known family, and one of which only the protocol is known.
    for host in [HOST, "files.example.com"] {
        let rig = Rig::start(HTTP).await;
        let seen = rig.provider_of(host, H1, |_, _| full("text/plain", "ok")).await;
        let mut request = request_to(host, "GET", "/v1/models", "");
        for (name, value) in OVERRIDES {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (head, answer) = rig.client_of(host, H1).await.whole(request).await;
        assert_eq!(head.status, 200, "{answer}");
        let (head, _) = seen.requests().remove(0);
        assert_eq!(head.headers["host"], host);
        assert_eq!(head.uri, "/v1/models");
        let mut names: Vec<_> = head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        // What a known family answers has to be readable, so it is asked not to encode it.
        names.retain(|name| *name != "accept-encoding");
        assert_eq!(names, ["authorization", "content-type", "host"]);
    }
}

const OVERRIDES: [(&str, &str); 22] = [
    ("forwarded", "host=evil.example"),
    ("proxy", "http://evil.example"),
    ("x-backend-host", "evil.example"),
    ("x-envoy-original-path", "/v1/files"),
    ("x-forwarded-host", "evil.example"),
    ("x-forwarded-uri", "/v1/files"),
    ("x-host", "evil.example"),
    ("x-http-host-override", "evil.example"),
    ("x-http-method", "DELETE"),
    ("x-http-method-override", "DELETE"),
    ("x-matched-path", "/v1/files"),
    ("x-method-override", "DELETE"),
    ("x-middleware-subrequest", "middleware"),
    ("x-ms-original-url", "/v1/files"),
    ("x-original-host", "evil.example"),
    ("x-original-method", "DELETE"),
    ("x-original-uri", "/v1/files"),
    ("x-original-url", "/v1/files"),
    ("x-override-url", "/v1/files"),
    ("x-replaced-path", "/v1/files"),
    ("x-rewrite-url", "/v1/files"),
    ("x-waws-unencoded-url", "/v1/files"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_known_family_gets_the_headers_that_its_apis_know_and_no_other() {
    let known = [
        ("openai-organization", "org-1"),
        ("openai-beta", "assistants=v2"),
        ("x-stainless-retry-count", "0"),
        ("idempotency-key", "k"),
        ("session_id", "s"),
        ("user-agent", "OpenAI/Python"),
    ];
    let unknown = [
        ("x-portkey-config", "{}"),
        ("helicone-target-url", "https://evil.example"),
        ("x-note", "hello"),
        ("cookie", "a=b"),
    ];
    let sent = |mode: &'static str, host: &'static str| async move {
        let rig = Rig::start(HTTP).await;
        rig.enforce(policy_with(mode, "", HTTP));
        let seen = rig.provider_of(host, H1, |_, _| full("text/plain", "ok")).await;
        let mut request = request_to(host, "POST", "/v1/other", "x");
        for (name, value) in known.into_iter().chain(unknown) {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let (head, answer) = rig.client_of(host, H1).await.whole(request).await;
        assert_eq!(head.status, 200, "{answer}");
        seen.requests().remove(0).0.headers
    };
    let headers = sent("enforce", HOST).await;
    assert!(known.iter().all(|(name, value)| headers[*name] == *value), "{headers:?}");
    assert!(!unknown.iter().any(|(name, _)| headers.contains_key(*name)), "{headers:?}");
    for (mode, host) in [("observe", HOST), ("enforce", "files.example.com")] {
        let headers = sent(mode, host).await;
        let all = known.iter().chain(&unknown);
        assert!(all.clone().all(|(name, value)| headers[*name] == *value), "{mode}: {headers:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_header_that_servers_take_for_another_one_is_refused_and_recorded_without_its_value() {
    for (name, value, kind) in [
        ("X_HTTP_Method_Override", "DELETE", "another host, path or method"),
        ("X_Original_URL", "/v1/files", "another host, path or method"),
        ("X-Original_URL", "/v1/files", "another host, path or method"),
        ("X.Original.URL", "/v1/files", "another host, path or method"),
        ("Transfer_Encoding", "chunked", "the framing of the body"),
        ("Content_Length", "4111111111111111", "the framing of the body"),
        ("Content_Type", "text/plain", "the kind of the body"),
        ("X_Note", "4111111111111111", "some other header"),
    ] {
        let (rig, provider) = Rig::with_stand_in(HTTP).await;
        let head = format!(
            "GET /v1/models HTTP/1.1\r\nhost: {HOST}\r\n{name}: {value}\r\nconnection: close\r\n\r\n"
        );
        let answer = rig.raw(head.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{name}: {answer}");
        assert!(answer.contains("x-enforcer-denied: protocol_error"), "{name}: {answer}");
        let told = format!("the header `{}` has a character", name.to_lowercase());
        assert!(answer.contains(&told) && !answer.contains(value), "{answer}");
        let (_, reason, detail) = rig.refused().await;
        assert_eq!(reason, "protocol_error");
        assert!(detail.ends_with(kind), "{name}: {detail}");
        assert!(!rig.stores(value).await, "{name}");
        assert_eq!(provider.log().connections(), 0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_observe_mode_a_header_that_servers_take_for_another_one_goes_through() {
    let rig = Rig::start(HTTP).await;
    rig.enforce(policy_with("observe", "", HTTP));
    let seen = rig.provider(H1, |_, _| full("text/plain", "ok")).await;
    let mut asked = request("GET", "/v1/models", "");
    for (name, value) in [("x_original_url", "/v1/files"), ("x-original-url", "/v1/files")] {
        asked.headers_mut().insert(name, value.parse().unwrap());
    }
    assert_eq!(rig.ask(asked).await.0.status, 200);
    let (head, _) = seen.requests().remove(0);
    assert_eq!(head.headers["x_original_url"], "/v1/files");
    assert_eq!(head.headers["x-original-url"], "/v1/files");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_option_takes_away_no_header_that_was_judged() {
    for (host, known) in [(HOST, "openai-project"), ("files.example.com", "range")] {
        let rig = Rig::start(HTTP).await;
        let seen = rig.provider_of(host, H1, |_, _| full("text/plain", "ok")).await;
        let judged = ["content-type", "content-encoding", "authorization", "host", "accept", known];
        let mut request = request_to(host, "POST", "/v1/other", "{}");
        for (name, value) in [
            ("content-encoding", "identity"),
            ("accept", "text/plain"),
            (known, "x"),
            ("x-secret-hop", "1"),
            ("connection", &judged.join(", ")),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        let more = "content-length, X-Secret-Hop, keep-alive";
        request.headers_mut().append("connection", more.parse().unwrap());
        let (head, answer) = rig.client_of(host, H1).await.whole(request).await;
        assert_eq!(head.status, 200, "{answer}");
        let (head, body) = seen.requests().remove(0);
        assert_eq!(body, "{}");
        assert!(judged.iter().all(|name| head.headers.contains_key(*name)), "{:?}", head.headers);
        for name in ["x-secret-hop", "connection"] {
            assert!(!head.headers.contains_key(name), "{:?}", head.headers);
        }
    }
}

/// Sends one head that two readers could frame differently, with a second request hidden in its body.
async fn smuggle(framing: &str, content: &str) -> (String, usize, Rig) {
    let rig = Rig::start(HTTP).await;
    let seen = rig.provider(H1, |_, _| full("text/plain", "ok")).await;
    let text =
        format!("POST /v1/files HTTP/1.1\r\nhost: api.openai.com\r\n{framing}\r\n\r\n{content}");
    let mut stream = rig.tls(HOST, H1).await;
    {
        use tokio::io::AsyncWriteExt as _;
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
    }
    let answer = tokio::time::timeout(LIMIT, crate::client::read_all(&mut stream)).await.unwrap();
    let paths: Vec<_> = seen.requests().iter().map(|(head, _)| head.uri.to_string()).collect();
    assert!(!paths.iter().any(|path| path == "/hidden"), "{framing}: {paths:?}");
    (answer, paths.len(), rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_two_readers_could_frame_differently_is_refused_and_recorded() {
    let hidden = "0\r\n\r\nGET /hidden HTTP/1.1\r\nhost: api.openai.com\r\n\r\n";
    for framing in [
        "content-length: 5\r\ncontent-length: 60",
        "content-length: +5",
        "content-length: 5, 60",
        "transfer-encoding: chunked, identity",
        "transfer-encoding : chunked",
        "transfer-encoding:\r\n chunked",
        "x: y\rz: w",
        "x: a\u{0}b",
    ] {
        let (answer, count, rig) = smuggle(framing, hidden).await;
        assert_eq!(count, 0, "{framing:?} reached the provider: {answer}");
        assert!(answer.starts_with("HTTP/1.1 400"), "{framing:?}: {answer}");
        assert_eq!(rig.refused().await.1, "protocol_error", "{framing:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_framed_twice_is_framed_anew_for_the_provider() {
    let rig = Rig::start(HTTP).await;
    let seen = rig.provider(H1, |_, _| full("text/plain", "ok")).await;
    let text = "POST /v1/files HTTP/1.1\r\nhost: api.openai.com\r\ncontent-length: 4\r\n\
                transfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    rig.raw(text.as_bytes()).await;
    for (head, body) in seen.requests() {
        assert_eq!(body, "abc");
        assert!(!head.headers.contains_key("content-length"), "{head:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_with_too_many_headers_or_bytes_is_refused() {
    for (count, length) in [(200, 10), (20, 8000)] {
        let rig = Rig::start(CHATS).await;
        let header = |number| format!("x-{number}: {}\r\n", "a".repeat(length));
        let headers: String = (0..count).map(header).collect();
        let text = format!("GET / HTTP/1.1\r\nhost: api.openai.com\r\n{headers}\r\n");
        let answer = rig.raw(text.as_bytes()).await;
        // A connection that is closed on unread bytes is reset, which may cost the client the answer.
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        assert_eq!(rig.refused().await.1, "limit");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_whose_endpoint_left_the_policy_serves_nothing_more() {
    let (rig, provider) = Rig::with_stand_in(CHATS).await;
    let mut client = rig.client(H1).await;
    assert_eq!(client.whole(chat_request(&chat("gpt-4.1", false, "hi"))).await.0.status, 200);
    let inventory = "version = 1\nmode = \"enforce\"\n[agents.support]\n[endpoints.x]\n\
                     hosts = [\"x.example\"]\nprotocol = \"http\"\n";
    let file = enforcer_core::policy::SourceFile {
        path: "policy.toml".to_owned(),
        text: inventory.to_owned(),
    };
    let sources = enforcer_core::policy::Sources { files: vec![file] };
    let policy = enforcer_core::policy::compile(&sources).unwrap().policy;
    rig.enforcer.policy.store(std::sync::Arc::new(policy));
    let (head, _) = client.whole(chat_request(&chat("gpt-4.1", false, "hi"))).await;
    assert_eq!(head.status, 403);
    assert_eq!(rig.refused().await.1, "not_an_endpoint");
    assert_eq!(provider.log().received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_two_readers_could_read_differently_is_refused() {
    for path in [
        "/v1/models/../files",
        "/v1/models/%2e%2e/files",
        "/v1/models%2f..%2ffiles",
        "/v1/%66iles",
        "//v1/files",
        "/v1/..;x/files",
        "/v1/files%00",
        "https://api.openai.com/v1/models/../files",
    ] {
        let head = format!("GET {path} HTTP/1.1\nhost: api.openai.com");
        check(&head, "400", "protocol_error").await;
    }
}
