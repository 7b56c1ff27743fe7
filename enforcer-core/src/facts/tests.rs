// SPDX-License-Identifier: Apache-2.0 OR MIT
use crate::mask::{Builtin, DetectorKind, DetectorSpec, Style};
use crate::model::EndpointName;
use crate::policy::{SourceFile, Sources, compile};

use super::*;

fn head<'h>(path: &'h str, headers: &[(&'h str, &'h str)]) -> Head<'h> {
    let (path, query) = path.split_once('?').map_or((path, None), |(p, q)| (p, Some(q)));
    let headers = headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    Head { method: "POST", path, query, headers }
}

fn spec() -> DetectorSpec {
    DetectorSpec { name: DetectorName::new("email"), kind: DetectorKind::Builtin(Builtin::EMAIL) }
}

#[test]
fn only_json_in_utf_8_is_understood() {
    let check = |values: &[&str]| {
        let headers: Vec<_> = values.iter().map(|value| ("content-type", *value)).collect();
        head("/", &headers).is_json()
    };
    assert!(check(&["application/json"]) && check(&["Application/JSON; Charset=\"UTF-8\""]));
    assert!(
        !check(&[]) && !check(&["text/json"]) && !check(&["application/json", "application/json"])
    );
    assert!(!check(&["application/json; charset=utf-7"]) && !check(&["application/json; x=y"]));
    assert!(!check(&["application/json; charset=utf-8; ä"]));
}

#[test]
fn what_hides_in_path_query_or_headers_is_found() {
    let masker = Masker::new(vec![(spec(), Style::Label)]).unwrap();
    let detectors = DetectorSet::compile(vec![spec()]).unwrap();
    let check = |path: &str, header: (&str, &str)| {
        let headers = [header];
        let head = head(path, &headers);
        assert_eq!(head.touched(&masker).is_some(), !head.detect(&detectors).is_empty());
        head.touched(&masker).is_some()
    };
    assert!(check("/v1/x?user=ann@example.com", ("accept", "*/*")));
    assert!(check("/v1/x?user=ann%40example.com&x=%zz", ("accept", "*/*")));
    assert!(check("/v1/x", ("x-note", "ann@example.com")));
    assert!(check("/v1/files/ann%40example.com", ("accept", "*/*")));
    assert!(!check("/v1/x?a=b+c", ("authorization", "Bearer ann@example.com")));
    assert_eq!(masked("/files/ann%40example.com", &masker), "/files/[email]");
    assert_eq!(masked("/files/ann@example.com", &masker), "/files/[email]");
    assert_eq!(masked("/files/a%20b", &masker), "/files/a%20b");
}

#[test]
fn names_and_values_of_headers_are_read_behind_percent_signs_too() {
    let spec = |builtin: Builtin| DetectorSpec {
        name: DetectorName::new(builtin.name()),
        kind: DetectorKind::Builtin(builtin),
    };
    let masker = Builtin::ALL.map(|builtin| (spec(builtin), Style::Label)).to_vec();
    let masker = Masker::new(masker).unwrap();
    let detectors = DetectorSet::compile(Builtin::ALL.map(spec).to_vec()).unwrap();
    for header in [
        ("user-agent", "%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31"),
        ("user-agent", "%34111111111111111"),
        ("user-agent", "4111%2d1111%2d1111%2d1111"),
        ("user-agent", "4111%201111%201111%201111"),
        ("openai-organization", "411111111111111%31"),
        ("user-agent", "%6d%61%72%69%61%40%65%78%61%6d%70%6c%65%2e%63%6f%6d"),
        ("user-agent", "maria.lopez%2540example.com"),
        ("referer", "http://x/?a=%34%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31"),
        ("x-stainless-4111111111111111", "1"),
        ("openai-4111-1111-1111-1111", "1"),
    ] {
        let headers = [header];
        let head = head("/v1/x", &headers);
        assert_eq!(head.touched(&masker), Some(Place::Header(header.0)), "{header:?}");
        assert!(!head.detect(&detectors).is_empty(), "{header:?}");
    }
    let usual = [("user-agent", "OpenAI/Python 1.99.0"), ("x-stainless-runtime-version", "3.11.7")];
    assert!(head("/v1/x", &usual).touched(&masker).is_none());
}

#[test]
fn a_request_is_a_chat_plain_http_or_opaque_and_never_half_known() {
    let inventory = "version = 1\n[agents.a]\n\
        [endpoints.openai]\nhosts = [\"a.example\"]\nprotocol = \"openai\"\n\
        [endpoints.plain]\nhosts = [\"b.example\"]\n";
    let rules = "@id(\"r\") forbid (principal, action == Action::\"chat\", resource) \
        when { context.detected.contains(\"email\") };";
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let files = vec![file("policy.toml", inventory), file("r.cedar", rules)];
    let policy = compile(&Sources { files }).unwrap().policy;
    let check = |endpoint: &str, path: &str, kind: &str, body: &str| {
        let headers = [("content-type", kind)];
        let head = head(path, &headers);
        let endpoint = policy.endpoint_named(&EndpointName::new(endpoint)).unwrap();
        let scope = Scope { agent: &AgentName::new("a"), endpoint, policy: &policy };
        of_request(&scope, &head, body.as_bytes())
    };
    let (chat, json) = ("/v1/chat/completions", "application/json");
    let body = r#"{"model":"m","messages":[{"role":"user","content":"ann@example.com"}]}"#;
    let facts = check("openai", chat, json, body);
    assert_eq!(facts.operation.action(), "chat");
    assert_eq!(facts.detected, BTreeSet::from([DetectorName::new("email")]));
    assert_eq!(facts.sought.as_ref(), Some(&facts.detected), "no rule asks for others");
    assert_eq!(check("plain", chat, json, body).operation.action(), "http");
    assert_eq!(check("openai", "/v1/other", json, body).operation.action(), "http");
    let Operation::FileUpload(upload) = check("openai", "/v1/files", "x", body).operation else {
        panic!("a file is known by its head");
    };
    assert_eq!(upload.size, 70);
    let opaque = |kind: &str, body: &str| {
        let facts = check("openai", chat, kind, body);
        let Operation::Opaque(opaque) = facts.operation else { return ("", -1) };
        (opaque.cause.as_str(), opaque.size)
    };
    assert_eq!(opaque("text/plain", body), ("encoding", 70));
    assert_eq!(opaque(json, "{"), ("not_json", 1));
    assert_eq!(opaque(json, "{}"), ("fields", 2));
    let asked = |path: &str| match check("openai", path, json, body).operation {
        Operation::Opaque(opaque) => opaque.cause.as_str(),
        other => other.action(),
    };
    assert_eq!(asked("/v1/chat/completions?model=o3"), "query");
    assert_eq!(asked("/v1/chat/completions?api-version=2024-10-21"), "chat");
    assert_eq!(asked("/v1/files?model=o3"), "file_upload", "what has no body to hold against");
    assert_eq!(asked("/v1/other?model=o3"), "http", "the query is a fact");
    let large = " ".repeat(limits::REQUEST_BODY_BYTES_MAX + 1);
    assert_eq!(opaque(json, &large).0, "too_large");
}

#[test]
fn json_in_path_query_or_headers_is_followed() {
    let card = || DetectorSpec {
        name: DetectorName::new("card"),
        kind: DetectorKind::Builtin(Builtin::CREDIT_CARD),
    };
    let masker = Masker::new(vec![(card(), Style::Label)]).unwrap();
    let detectors = DetectorSet::compile(vec![card()]).unwrap();
    let check = |path: &str, header: &str| {
        let headers = [("x-note", header)];
        let head = head(path, &headers);
        assert_eq!(head.touched(&masker).is_some(), !head.detect(&detectors).is_empty());
        head.touched(&masker).is_some()
    };
    let json = r#"{"c":"4111\u00201111\u00201111\u00201111"}"#;
    let coded = json.replace('{', "%7B").replace('"', "%22").replace('\\', "%5C");
    let number = r#"{"c":4.111111111111111e15}"#;
    for text in [json, coded.as_str(), number, &format!("{json} thanks"), &format!("[1]{json}")] {
        assert!(check(&format!("/v1/x?q={text}"), "x"), "{text}");
        assert!(check(&format!("/v1/x?a={{}}&q={text}&b=c"), "x"), "{text}");
        assert!(check(&format!("/v1/{text}/x"), "x"), "{text}");
        assert!(text == coded || check("/v1/x", text), "{text}");
        assert!(text == coded || check("/v1/x", &format!("a={text}; b=c")), "{text}");
        let shown = masked(&format!("a={{}}&q={text}&b=c"), &masker);
        assert!(shown.contains("[card]") && !check(&format!("/?{shown}"), "x"), "{shown}");
    }
    assert!(!check("/v1/x?q={\"c\":[1,2]}&x=[", "{\"a\":null}"));
}

#[test]
fn what_a_mask_would_change_in_a_chat_is_detected() {
    let inventory = "version = 1\n[agents.a]\n[endpoints.openai]\nhosts = [\"a.example\"]\n\
                     protocol = \"openai\"\n";
    let rule = "@id(\"r\") forbid (principal, action, resource) \
                when { context.detected.contains(\"credit-card\") };";
    let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
    let files = vec![file("policy.toml", inventory), file("r.cedar", rule)];
    let policy = compile(&Sources { files }).unwrap().policy;
    let endpoint = policy.endpoint_named(&EndpointName::new("openai")).unwrap();
    let scope = Scope { agent: &AgentName::new("a"), endpoint, policy: &policy };
    let headers = [("content-type", "application/json")];
    let head = head("/v1/chat/completions", &headers);
    let card = r#"{"c":"4111\u00201111\u00201111\u00201111"}"#;
    for content in [
        format!("{card} thanks"),
        r#"{"c":1,"c":"4111\u00201111\u00201111\u00201111"}"#.to_owned(),
        card.trim_end_matches('}').to_owned(),
        r#"{"a":"#.repeat(70) + card + &"}".repeat(70),
        format!(r#"{{"x":"\ud800","d":{card}}}"#),
        r#"{"c":4.111111111111111e15} thanks"#.to_owned(),
        format!("\n[{card},]"),
    ] {
        let message = serde_json::json!({ "role": "user", "content": content });
        let body = serde_json::json!({ "model": "m", "messages": [message] }).to_string();
        let facts = of_request(&scope, &head, body.as_bytes());
        assert_eq!(facts.operation.action(), "chat");
        assert_eq!(facts.detected, BTreeSet::from([DetectorName::new("credit-card")]), "{content}");
    }
}

#[test]
fn only_what_some_rule_could_ask_for_is_looked_for() {
    let body = r#"{"model":"m","messages":[{"role":"user","content":"ann@example.com 4111 1111 1111 1111"}]}"#;
    let found = |rule: &str| {
        let inventory = "version = 1\n[agents.a]\n[endpoints.openai]\nhosts = [\"a.example\"]\n\
                         protocol = \"openai\"\n";
        let file = |path: &str, text: String| SourceFile { path: path.into(), text };
        let rule = file("r.cedar", format!("@id(\"r\")\n{rule}"));
        let files = vec![file("policy.toml", inventory.to_owned()), rule];
        let policy = compile(&Sources { files }).unwrap().policy;
        let endpoint = policy.endpoint_named(&EndpointName::new("openai")).unwrap();
        let scope = Scope { agent: &AgentName::new("a"), endpoint, policy: &policy };
        let headers = [("content-type", "application/json")];
        let head = head("/v1/chat/completions", &headers);
        let facts = of_request(&scope, &head, body.as_bytes());
        let names = |names: BTreeSet<DetectorName>| {
            names.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        (names(facts.detected), facts.sought.map(names))
    };
    let some = |text: &str| (text.to_owned(), Some(text.to_owned()));
    assert_eq!(found("permit (principal, action, resource);"), some(""));
    let email = "when { context.detected.contains(\"email\") };";
    assert_eq!(found(&format!("forbid (principal, action, resource) {email}")), some("email"));
    let elsewhere = "forbid (principal, action == Action::\"http\", resource)";
    assert_eq!(found(&format!("{elsewhere} {email}")), some(""));
    let any = "permit (principal, action, resource) unless { context.detected.isEmpty() };";
    let (found, sought) = found(any);
    assert_eq!(found, "credit-card,email");
    let all = Builtin::ALL.map(Builtin::name).join(",");
    assert_eq!(sought, Some(all), "by name: a later version may have more");
}
