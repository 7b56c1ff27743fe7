// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy test` with raw requests, recorded exchanges, coverage, profile and update.

use std::fs;

use enforcer_core::policy::compile;
use enforcer_user::config::bundle::read_sources;

use crate::recording::{chat, record};
use crate::{Done, enforcer_policy, root};

/// A copy of `policies/openai-agents` with these cases only.
fn bundle(cases: &str) -> (tempfile::TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["policy.toml", "chat.cedar", "http.cedar"] {
        let from = root().join("policies/openai-agents").join(file);
        fs::copy(from, folder.path().join(file)).expect("copied");
    }
    fs::create_dir(folder.path().join("cases")).expect("a folder");
    fs::write(folder.path().join("cases/a.toml"), cases).expect("written");
    let name = folder.path().display().to_string();
    (folder, name)
}

fn test(cases: &str, words: &[&str]) -> Done {
    let (_folder, bundle) = bundle(cases);
    enforcer_policy(&[&["test", bundle.as_str()], words].concat())
}

const RAW: &str = r#"
[[case]]
name = "a chat as the SDK sends it"
agent = "support"
endpoint = "openai"
[case.request]
method = "POST"
path = "/v1/chat/completions"
headers = { authorization = "Bearer x", x-note = "from ann@example.com" }
[case.request.json]
model = "gpt-4.1"
messages = [{ role = "user", content = "hello" }]
[case.expect]
effect = "allow"
because = ["support-chat"]
mask_request = ["pii"]

[[case]]
name = "a shell tool in the body"
agent = "support"
endpoint = "openai"
[case.request]
method = "POST"
path = "/v1/chat/completions"
json = { model = "gpt-4.1", messages = [], tools = [{ type = "function", function = { name = "shell" } }] }
[case.expect]
effect = "deny"
because = ["no-shell-tools"]

[[case]]
name = "a body that is no JSON is opaque"
agent = "support"
endpoint = "openai"
[case.request]
method = "POST"
path = "/v1/chat/completions"
headers = { content-type = "application/json" }
body = "{"
[case.expect]
effect = "deny"
because = []

[[case]]
name = "the same body without its type is opaque, too"
agent = "support"
endpoint = "openai"
[case.request]
method = "POST"
path = "/v1/chat/completions"
body = '{"model":"gpt-4.1","messages":[]}'
[case.expect]
effect = "deny"

[[case]]
name = "a query is seen"
agent = "support"
endpoint = "openai"
request = { method = "GET", path = "/v1/models?x=1" }
expect = { effect = "deny" }

[[case]]
name = "the plain list is fine"
agent = "support"
endpoint = "openai"
request = { method = "GET", path = "/v1/models" }
expect = { effect = "allow", because = ["list-models"] }
"#;

#[test]
fn raw_requests_are_judged_by_the_codecs_of_the_data_path() {
    let done = test(RAW, &[]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("6 cases, 0 failed"), "{}", done.out);
    let done = test(&RAW.replace("shell\" }", "lookup\" }"), &[]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("effect: expected deny, found allow"), "{}", done.out);
    assert!(done.out.contains(r#"tools = ["lookup"]"#), "what was judged is shown: {}", done.out);
}

#[test]
fn rules_that_no_case_reaches_are_listed_with_what_is_lacking() {
    let done = test(RAW, &[]);
    assert!(done.out.contains("3 of 5 rules reached"), "{}", done.out);
    for part in [
        "no case reaches approved-models (chat.cedar:",
        "nearly by `a chat as the SDK sends it`: `[\"gpt-4.1\", \"gpt-4.1-mini\"].contains(context.model)` holds, and the rule says `unless`",
        "no case reaches text-only (chat.cedar:",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    assert_eq!(test(RAW, &["--require-coverage"]).code, 1);
    let all = root().join("policies/openai-agents").display().to_string();
    let done = enforcer_policy(&["test", &all, "--require-coverage"]);
    assert_eq!(done.code, 0, "{}", done.out);
    assert!(done.out.contains("5 of 5 rules reached"), "{}", done.out);
    let done = test(RAW, &["--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!(report["coverage"]["rules"], 5);
    assert_eq!(report["coverage"]["unreached"].as_array().map(Vec::len), Some(2));
}

#[test]
fn the_profile_says_what_each_rule_and_each_detector_costs() {
    let done = test(RAW, &["--profile"]);
    assert_eq!(done.code, 0);
    for part in ["one decision: ", "RULE", "no-shell-tools", "DETECTOR", "credit-card"] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    let done = test(RAW, &["--profile", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    let (rules, texts) = (&report["profile"]["rules"], &report["profile"]["texts"]);
    assert_eq!((rules.as_array().map(Vec::len), texts.as_u64()), (Some(5), Some(4)));
    let rules = rules.as_array().expect("rules");
    assert!(rules.iter().all(|rule| rule["each_us"].as_f64().is_some_and(|us| us > 0.0)));
}

#[test]
fn a_case_can_name_a_recorded_exchange() {
    let state = tempfile::tempdir().expect("a folder");
    let sources = read_sources(&root().join("policies/openai-agents")).expect("a bundle");
    let policy = compile(&sources).expect("valid").policy;
    let judged = ["gpt-4.1", "o3"].map(|model| {
        let facts = chat(model, 5);
        let decision = policy.decide(&facts);
        (facts, decision)
    });
    let ids = record(state.path(), &judged);
    let cases = format!(
        "[[case]]\nname = \"first\"\nexchange = \"{}\"\nexpect = {{ effect = \"allow\" }}\n\
         [[case]]\nname = \"second\"\nexchange = \"{}\"\nexpect = {{ effect = \"deny\", because = [\"approved-models\"] }}\n",
        ids[0], ids[1]
    );
    let state = state.path().display().to_string();
    let done = test(&cases, &["--state", &state]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    assert!(done.out.contains("2 cases, 0 failed"), "{}", done.out);

    let unknown = cases.replace(&ids[1].to_string(), "0000000000001234-99");
    let done = test(&unknown, &["--state", &state]);
    assert_eq!(done.code, 1, "what is not recorded cannot pass");
    assert!(
        done.out.contains("exchange: expected 0000000000001234-99 to be recorded"),
        "{}",
        done.out
    );

    let done = test(&cases, &["--state", "/nowhere"]);
    assert_eq!(done.code, 3, "{}", done.err);
    assert!(done.err.contains("hint: "), "{}", done.err);
}

#[test]
fn update_writes_what_is_missing_and_changes_nothing_that_is_there() {
    let cases = "# why: see the ticket\n[[case]]\nname = \"short\"\nagent = \"support\"\nendpoint = \"openai\"\n\
        action = \"chat\"\nfacts = { model = \"gpt-4.1\", input_tokens = 1 }\n\n\
        [[case]]\nname = \"wrong on purpose\"\nagent = \"support\"\nendpoint = \"openai\"\n\
        request = { method = \"DELETE\", path = \"/v1/models\" }\nexpect = { effect = \"allow\" } # stays\n";
    let (folder, bundle) = bundle(cases);
    let done = enforcer_policy(&["test", &bundle]);
    assert_eq!(done.code, 4, "without an expectation nothing is tested");
    assert!(done.err.contains("missing key `expect`"), "{}", done.err);

    let done = enforcer_policy(&["test", &bundle, "--update"]);
    assert_eq!(done.code, 1, "the wrong one is still wrong: {}", done.out);
    assert!(done.err.contains("cases/a.toml: 5 expectations written; review them"), "{}", done.err);
    let written = fs::read_to_string(folder.path().join("cases/a.toml")).expect("the file");
    let expect = cases
        .replace(
            "input_tokens = 1 }\n",
            "input_tokens = 1 }\nexpect = { effect = \"allow\", because = [\"support-chat\"], \
             mask_request = [\"pii\"], mask_response = [\"pii\"] }\n",
        )
        .replace("{ effect = \"allow\" } #", "{ effect = \"allow\", because = [] } #");
    assert_eq!(written, expect);
    let done = enforcer_policy(&["test", &bundle, "--update"]);
    assert_eq!((done.code, done.err.as_str()), (1, ""), "nothing more to write");
    assert_eq!(fs::read_dir(folder.path().join("cases")).expect("a folder").count(), 1);
}

#[test]
fn a_request_is_read_strictly() {
    let check = |request: &str, expect: &str| {
        let case = format!(
            "[[case]]\nname = \"x\"\nagent = \"support\"\nendpoint = \"openai\"\n{request}\nexpect = {{ effect = \"deny\" }}\n"
        );
        let done = test(&case, &[]);
        assert_eq!(done.code, 4, "{request}: {}", done.out);
        assert!(done.err.contains(expect), "{request}: {}", done.err);
    };
    check("request = { method = \"get\", path = \"/\" }", "`get` is not a method");
    check("request = { method = \"GET\", path = \"v1\" }", "`v1` is not a path");
    check("request = { method = \"GET\", path = \"/a b\" }", "`/a b` is not a path");
    check("request = { path = \"/\" }", "missing key `method`");
    check(
        "request = { method = \"GET\", path = \"/\", body = \"\", json = {} }",
        "`body` cannot stand beside `json`",
    );
    check("request = { method = \"GET\", path = \"/\", header = {} }", "did you mean `headers`?");
    check(
        "request = { method = \"GET\", path = \"/\", headers = { \"a b\" = \"\" } }",
        "`a b` is not the name of a header",
    );
    check(
        "action = \"http\"\nrequest = { method = \"GET\", path = \"/\" }",
        "`action` cannot stand beside `request`",
    );
    check("exchange = \"x\"", "`x` is not the id of an exchange");
    check(
        "exchange = \"0000000000001234\"",
        "`0000000000001234` is a session; its exchanges are `0000000000001234-1`",
    );
}

/// A chat with an e-mail address in its text, and what is expected of it.
fn chat_with_an_address(expect: &str) -> String {
    format!(
        "[[case]]\nname = \"x\"\nagent = \"support\"\nendpoint = \"openai\"\n[case.request]\n\
         method = \"POST\"\npath = \"/v1/chat/completions\"\n\
         json = {{ model = \"gpt-4.1\", messages = [{{ role = \"user\", content = \"I am ann@example.com\" }}] }}\n\
         [case.expect]\neffect = \"allow\"\n{expect}\n"
    )
}

#[test]
fn a_case_can_expect_what_is_found_and_what_is_sent() {
    let right =
        "detected = [\"email\"]\nsent_contains = [\"I am [email]\"]\nsent_lacks = [\"ann@\"]";
    let done = test(&chat_with_an_address(right), &[]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    for (wrong, said) in [
        ("detected = []", "detected: expected [], found [\"email\"]"),
        ("sent_contains = [\"ann@\"]", "sent_contains: expected ann@, found {\"messages\""),
        ("sent_lacks = [\"I am\"]", "sent_lacks: expected I am, found {\"messages\""),
    ] {
        let done = test(&chat_with_an_address(wrong), &[]);
        assert_eq!(done.code, 1, "{wrong}: {}{}", done.out, done.err);
        assert!(done.out.contains(said), "{wrong}: {}", done.out);
    }
}

#[test]
fn what_is_not_sent_meets_no_expectation_about_it() {
    let denied = chat_with_an_address("sent_lacks = [\"ann@\"]").replace("gpt-4.1", "o3");
    let done = test(&denied, &[]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("found nothing, since the request is denied"), "{}", done.out);
    let in_a_header = chat_with_an_address("sent_lacks = [\"ann@\"]")
        .replace("json =", "headers = { x-note = \"for ann@example.com\" }\njson =");
    let done = test(&in_a_header, &[]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("in the path, the query or a header"), "{}", done.out);
    let by_facts = "[[case]]\nname = \"x\"\nagent = \"support\"\nendpoint = \"openai\"\naction = \"chat\"\n\
        facts = { model = \"gpt-4.1\", input_tokens = 1 }\nexpect = { effect = \"allow\", sent_lacks = [\"a\"] }\n";
    let done = test(by_facts, &[]);
    assert_eq!(done.code, 4);
    assert!(done.err.contains("`sent_lacks` needs a raw request"), "{}", done.err);
}

#[test]
fn the_facts_of_each_case_are_printed_on_demand() {
    let line = "       facts: api = \"chat_completions\", model = \"gpt-4.1\", stream = false";
    let case = chat_with_an_address("");
    assert!(!test(&case, &[]).out.contains(line));
    let done = test(&case, &["--facts"]);
    assert!(done.out.contains(line), "{}", done.out);
}
