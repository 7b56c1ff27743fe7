// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What any detector of a bundle finds, and every kind of secret, stands nowhere in the state folder and nowhere in the
//! log: for every bundle that is shipped and every recipe of the cookbook, whatever is allowed or denied.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use enforcer_core::mask::Builtin;
use enforcer_core::model::{AgentName, Effect};
use enforcer_core::policy::{Endpoint, Policy, Protocol, SourceFile, Sources, Tls, compile};
use enforcer_user::approval::Person;
use enforcer_user::config::bundle::read_sources;
use hyper::Request;
use hyper::http::request::Parts;
use serde_json::{Value, json};

use super::log;
use crate::client::{Body, H1, H2, Sender, request_to};
use crate::provider::{Answer, full};
use crate::rig::{CHATS, Rig, closed, opened};

/// An example of each detector that some bundle has. None of them was ever valid, and no other test of this suite has
/// them, because all tests share the log.
const EXAMPLES: [(&str, &str); 14] = [
    ("anthropic-key", "sk-ant-api03-H1dd3nH1dd3nH1dd3nH1dd3n_H1dd3n-H1ddAA"),
    ("aws-access-key", "AKIAH1DDEN7H1DDEN7HI"),
    ("credit-card", "5105105105105100"),
    ("customer-number", "C-90817263"),
    ("email", "hidden.person@hidden.example"),
    ("employee-number", "EMP-908172"),
    ("github-token", "ghp_H1dd3nH1dd3nH1dd3nH1dd3nH1dd3nH1dd3n"),
    ("google-api-key", "AIzaH1dd3nH1dd3nH1dd3nH1dd3nH1dd3nH1dd3"),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJoaWRkZW4ifQ.aDFkZDNuaDFkZDNuaDFkZDNu"),
    ("openai-key", "sk-proj-H1dd3nH1dd3n_H1dd3nH1dd3nT3BlbkFJH1dd3nH1dd3n"),
    (
        "private-key",
        "-----BEGIN PRIVATE KEY-----\nMIIEvH1dd3nH1dd3nH1dd3nH1dd3n\nH1dd3nQUJDH1dd3nQUJD\n-----END PRIVATE KEY-----",
    ),
    ("slack-token", "xoxb-908172635481-H1dd3nH1dd3nH1dd3n"),
    ("stripe-key", "sk_live_H1dd3nH1dd3nH1dd3nH1dd"),
    ("vault-token", "hvs.H1dd3nH1dd3nH1dd3nH1dd3nH1dd"),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The bundles in `policies/`, by name.
fn shipped() -> Vec<(String, Sources)> {
    let folders = fs::read_dir(root().join("policies")).unwrap().map(|entry| entry.unwrap().path());
    let bundle = |path: PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, read_sources(&path).unwrap())
    };
    folders.filter(|path| path.is_dir()).map(bundle).collect()
}

/// The recipes of the cookbook, by title, each as the bundle that it is together with the shared inventory.
fn recipes() -> Vec<(String, Sources)> {
    let text = fs::read_to_string(root().join("docs/policy-cookbook.md")).unwrap();
    let mut chapters = text.split("\n## ");
    let shared = files(chapters.next().unwrap());
    let recipe = |chapter: &str| {
        let mut all = shared.clone();
        for (path, own) in files(chapter) {
            *all.entry(path).or_default() += &own;
        }
        let files = all.into_iter().map(|(path, text)| SourceFile { path, text }).collect();
        (chapter.lines().next().unwrap().to_owned(), Sources { files })
    };
    chapters.map(recipe).collect()
}

/// The files that a chapter shows.
fn files(chapter: &str) -> BTreeMap<String, String> {
    let mut files = BTreeMap::<String, String>::new();
    for block in chapter.split("\n```").skip(1).step_by(2) {
        let (info, text) = block.split_once('\n').unwrap();
        if let Some((_, path)) = info.split_once(' ') {
            *files.entry(path.to_owned()).or_default() += &format!("{text}\n");
        }
    }
    files
}

/// What must not be found: the secrets, and what this bundle speaks of.
fn examples(sources: &Sources) -> Vec<&'static str> {
    let is_named = |name: &str| {
        let (quoted, own) = (format!("\"{name}\""), format!("[detectors.{name}]"));
        let rules = sources.files.iter().filter(|file| !file.path.starts_with("cases/"));
        rules.into_iter().any(|file| file.text.contains(&quoted) || file.text.contains(&own))
    };
    let is_secret = |name: &str| Builtin::from_name(name).is_some_and(Builtin::is_secret);
    let all = EXAMPLES.iter().filter(|(name, _)| is_secret(name) || is_named(name));
    all.map(|(_, example)| *example).collect()
}

/// Every way in which a part of an example could stand somewhere.
fn needles(examples: &[&str]) -> Vec<String> {
    let lines = examples.iter().flat_map(|example| example.lines());
    let lines = lines.filter(|line| !line.starts_with("-----"));
    let forms = |line: &str| {
        let tail = line.get(line.len().saturating_sub(12)..).unwrap();
        [line.to_owned(), tail.to_owned(), encoded(line), encoded(tail)]
    };
    lines.flat_map(forms).collect()
}

/// A text behind percent signs, but for letters and digits.
pub(super) fn encoded(text: &str) -> String {
    let byte = |byte: u8| match byte {
        b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    text.bytes().map(byte).collect()
}

/// Answers with the text, in every form in which answers come.
fn answer(text: &str, head: &Parts, body: &Bytes) -> Answer {
    let path = head.uri.path();
    let is_stream = serde_json::from_slice::<Value>(body).is_ok_and(|json| json["stream"] == true);
    if is_stream || path.ends_with("/messages") {
        let pieces = text.as_bytes().chunks(7).map(|piece| str::from_utf8(piece).unwrap());
        let event = |piece: &str| {
            let event = if path.ends_with("/completions") {
                json!({ "choices": [{ "index": 0, "delta": { "content": piece } }] })
            } else {
                json!({ "type": "content_block_delta", "delta": { "text": piece } })
            };
            format!("data: {event}\n\n")
        };
        let events = pieces.map(event).collect::<String>() + "data: [DONE]\n\n";
        return full("text/event-stream", events);
    }
    if path.ends_with("/models") {
        let error = json!({ "error": { "message": text, "code": text } });
        let mut answer = full("application/json", error.to_string());
        *answer.status_mut() = hyper::StatusCode::NOT_FOUND;
        return answer;
    }
    let mut answer = match path.len() % 3 {
        0 if !path.ends_with("/completions") => full("text/plain", text.to_owned()),
        _ => {
            let message = json!({ "role": "assistant", "content": text });
            let choices = json!([{ "index": 0, "message": message, "finish_reason": "stop" }]);
            full("application/json", json!({ "choices": choices, "note": text }).to_string())
        }
    };
    let line = text.replace('\n', " ");
    answer.headers_mut().insert("x-note", line.parse().unwrap());
    answer
}

fn chat(host: &str, model: &str, stream: bool, content: Value) -> Request<Body> {
    let tool = json!({ "type": "function", "function": { "name": "lookup_order" } });
    let message = json!({ "role": "user", "content": content });
    let chat = json!({
        "model": model, "stream": stream, "max_tokens": 200, "tools": [tool], "messages": [message],
    });
    request_to(host, "POST", "/v1/chat/completions", chat.to_string())
}

/// The requests that an agent makes of an endpoint, each with the text in its body.
fn with_body(endpoint: &Endpoint, host: &str, paths: &[String], text: &str) -> Vec<Request<Body>> {
    let post = |path: &str, json: Value| request_to(host, "POST", path, json.to_string());
    let typed = |path: &str, kind: &str, content: String| {
        let mut request = request_to(host, "POST", path, content);
        request.headers_mut().insert("content-type", kind.parse().unwrap());
        request
    };
    let form = format!("a=1&note={}&b={text}", encoded(text));
    let mut all = vec![
        typed("/anything", "text/plain", text.to_owned()),
        typed("/anything", "application/x-www-form-urlencoded", form),
        typed("/anything", "application/octet-stream", text.to_owned()),
        typed("/anything", "application/x-ndjson", json!({ "a": text }).to_string()),
    ];
    all.extend(paths.iter().map(|path| post(path, json!({ "note": text, text: [text] }))));
    if endpoint.protocol != Protocol::OpenAi {
        return all;
    }
    let chat = |model: &str, stream, content| chat(host, model, stream, content);
    let (begin, end) = text.split_at(text.len() / 2);
    let parts = json!([{ "type": "text", "text": begin }, { "type": "text", "text": end }]);
    all.extend([
        chat("gpt-4.1-mini", false, json!(text)),
        chat("gpt-4.1-mini", true, json!(text)),
        chat("gpt-4.1-mini", false, parts),
        chat("o3", false, json!(text)),
        chat(text, false, json!(text)),
        typed("/v1/chat/completions", "application/json", format!("{{\"broken\": \"{text}")),
        typed("/v1/files", "multipart/form-data; boundary=x", format!("--x\r\n\r\n{text}\r\n--x--")),
        post("/v1/embeddings", json!({ "model": "text-embedding-3-small", "input": text })),
        post("/v1/images/generations", json!({ "model": "gpt-image-1", "prompt": text })),
        post("/v1/audio/speech", json!({ "model": "tts-1", "input": text, "voice": text })),
        post("/v1/fine_tuning/jobs", json!({ "model": "gpt-4.1-mini", "training_file": text })),
        post(
            "/v1/batches",
            json!({ "input_file_id": text, "endpoint": "/v1/embeddings", "metadata": { "a": text } }),
        ),
        post("/v1/traces/ingest", json!({ "data": [{ "a": text }] })),
    ]);
    all
}

/// The same with the text in what comes before a body.
fn with_head(host: &str, paths: &[String], text: &str) -> Vec<Request<Body>> {
    let line = text.replace('\n', "\\n");
    let get = |path: String| request_to(host, "GET", &path, "");
    let header = |path: &str, name: &'static str| {
        let mut request = get(path.to_owned());
        request.headers_mut().insert(name, line.parse().unwrap());
        request
    };
    let known = paths.iter().flat_map(|path| {
        [get(format!("{path}?note={}", encoded(text))), header(path, "x-note"), get(path.clone())]
    });
    let mut all: Vec<Request<Body>> = known.collect();
    let url = line.replace([' ', '\\', '"'], "+");
    all.push(get(format!("/v1/{}", encoded(text))));
    all.push(get(format!("/v1/files/{url}/content?q={url}")));
    all
}

/// Paths that the rules of a bundle speak of, and one more.
fn paths(sources: &Sources) -> Vec<String> {
    let rules = sources.files.iter().filter(|file| file.path.ends_with(".cedar"));
    let quoted = rules.flat_map(|file| file.text.split('"').skip(1).step_by(2));
    let plain = quoted.filter(|text| text.starts_with('/') && !text.contains([' ', '*']));
    let mut paths: Vec<String> = plain.map(str::to_owned).collect();
    paths.extend(["/v1/models", "/v1/files", "/anything"].map(str::to_owned));
    paths.sort();
    paths.dedup();
    paths
}

/// Sends a request; whoever is asked for an approval grants it.
async fn send(rig: &Rig, client: &mut Sender, request: Request<Body>) {
    let groups = ["agent-approvers", "ml-leads", "shop-owners"];
    let person = Person { user: "ann".to_owned(), groups: groups.map(str::to_owned).into() };
    let grant = async {
        loop {
            for (id, _) in rig.enforcer.approvals.all() {
                if rig.enforcer.approvals.show(id, &person).is_ok() {
                    // It may be answered already, which is as good.
                    drop(rig.enforcer.approvals.answer(id, &person, true));
                }
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        answer = client.send(request) => {
            // How an answer ends is looked at elsewhere.
            drop(http_body_util::BodyExt::collect(answer.into_body()).await);
        }
        () = grant => {}
    }
}

/// Everything that is stored, as files and as what a reader makes of them.
pub(super) async fn stored(rig: &Rig) -> Vec<u8> {
    fn files(folder: &Path, all: &mut Vec<u8>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files(&path, all);
            } else {
                all.extend(fs::read(&path).unwrap());
            }
        }
    }
    let events = rig.events().await;
    let mut all = serde_json::to_vec(&events).unwrap();
    all.extend(format!("{events:#?}").into_bytes());
    files(rig.state(), &mut all);
    let reader = rig.enforcer.journal.reader().unwrap();
    let asked = opened(&events).into_iter().filter_map(|opened| opened.request);
    let answered = closed(&events).into_iter().flat_map(|it| [it.request, it.response]);
    for body in asked.chain(answered.flatten()) {
        all.extend(reader.body(&body).unwrap());
    }
    all
}

/// The first of the texts that the bytes hold, with what stands around it.
fn found(all: &[u8], needles: &[String]) -> Option<String> {
    let text = String::from_utf8_lossy(all);
    let at = needles.iter().find_map(|needle| text.find(needle.as_str()))?;
    let (from, to) = (at.saturating_sub(300), text.len().min(at + 100));
    let (from, to) = (text.ceil_char_boundary(from), text.floor_char_boundary(to));
    text.get(from..to).map(str::to_owned)
}

/// Sends every kind of request with every text as every agent to every endpoint, and looks for the texts.
async fn check(name: &str, sources: Sources) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    fs::write(&key, "0123456789").unwrap();
    let mut sources = sources;
    for file in &mut sources.files {
        // The one thing of a host that a bundle needs to be carried out.
        file.text = file.text.replace("systemd:openai-key", &format!("file:{}", key.display()));
    }
    let policy = compile(&sources).unwrap_or_else(|errors| panic!("{name}: {errors}")).policy;
    let (examples, paths) = (examples(&sources), paths(&sources));
    for example in &examples {
        assert!(
            !policy.masker_of_everything().mask(example).text.contains(example),
            "{name}: {example}"
        );
    }
    let rig = Rig::start(CHATS).await;
    let text = examples.join(" and ");
    let agents: Vec<AgentName> = policy.agents().cloned().collect();
    let endpoints: Vec<Endpoint> = policy.endpoints().cloned().collect();
    rig.enforce(policy);
    for endpoint in endpoints.iter().filter(|endpoint| endpoint.tls == Tls::Inspect) {
        // A pattern admits any name in the place of its stars.
        let host = endpoint.hosts[0].to_string().replace("**", "name").replace('*', "name");
        let said = text.clone();
        rig.provider_of(&host, H1, move |head, body| answer(&said, head, body)).await;
        for agent in &agents {
            rig.origins.0.lock().unwrap().as_mut().unwrap().agent = agent.clone();
            let mut client = rig.client_of(&host, H2).await;
            let mut requests = with_body(endpoint, &host, &paths, &text);
            requests.extend(with_head(&host, &paths, &text));
            // One by one, because one that is forbidden keeps the others from what is allowed.
            for example in &examples {
                let chat = |stream| chat(&host, "gpt-4.1-mini", stream, json!(example));
                requests.extend([chat(false), chat(true)]);
            }
            for request in requests {
                send(&rig, &mut client, request).await;
            }
        }
    }
    let all = stored(&rig).await;
    let needles = needles(&examples);
    assert_eq!(found(&all, &needles), None, "{name}: stored");
    assert!(needles.iter().all(|needle| !log::has(needle)), "{name}: logged");
    let effects: Vec<Effect> =
        opened(&rig.events().await).iter().map(|it| it.decision.effect).collect();
    assert!(effects.contains(&Effect::Deny), "{name}: nothing was denied");
    rig.verify().await;
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_detector_finds_is_stored_or_logged_under_any_shipped_bundle() {
    log::keep();
    let bundles = shipped();
    assert!(bundles.len() >= 6, "{}", bundles.len());
    for (name, sources) in bundles {
        let stored = String::from_utf8_lossy(&check(&name, sources).await).into_owned();
        assert!(stored.contains(r#""effect":"allow""#), "{name}: nothing was allowed");
        let is_of_texts = ["observe", "openai-agents"].contains(&name.as_str());
        assert!(!is_of_texts || stored.contains("[aws-access-key]"), "{name}: the texts are kept");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_a_detector_finds_is_stored_or_logged_under_any_recipe() {
    log::keep();
    let recipes = recipes();
    assert!(recipes.len() >= 20, "{}", recipes.len());
    for (name, sources) in recipes {
        check(&name, sources).await;
    }
}

#[test]
fn every_detector_of_a_shipped_bundle_or_recipe_has_an_example() {
    for (name, sources) in shipped().into_iter().chain(recipes()) {
        let policy: Policy = compile(&sources).unwrap().policy;
        for detector in policy.detector_names() {
            let example = EXAMPLES.iter().find(|(name, _)| *name == detector.as_str());
            let (_, example) = example.unwrap_or_else(|| panic!("{name}: `{detector}` has none"));
            assert!(policy.detectors().detect(example).contains(&detector), "{name}: {detector}");
        }
    }
}
