// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer policy` as a person meets it: what is printed, where, and the exit code.
//!
//! `tests/fixtures/policy/broken/*` are bundles with mistakes; `expected.txt` beside each is what `check`
//! prints. After a wanted change: `UPDATE_EXPECTED=1 cargo test -p enforcer-tests --test cli_policy`, then
//! review the difference.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops at the first thing that is not as expected"
)]

mod begin;
mod cases;
mod diff;
mod documents;
mod editors;
mod recording;
mod replaying;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use enforcer_core::policy::ACTIONS;
use enforcer_user::cli::policy::{Command, Streams, run};
use enforcer_user::cli::source::Source;

#[derive(Parser)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    code: u8,
    out: String,
    err: String,
}

fn enforcer_policy(words: &[&str]) -> Done {
    enforcer_policy_on(Path::new("/nowhere"), words)
}

/// The same on a host whose journal is below `state`.
fn enforcer_policy_on(host: &Path, words: &[&str]) -> Done {
    let line = Line::try_parse_from([&["policy"], words].concat());
    let line = line.unwrap_or_else(|error| panic!("{words:?}: {error}"));
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut streams = Streams { out: &mut out, err: &mut err, colors: false, paints_data: false };
    let journal = |state: Option<&Path>| Source::offline(&state.unwrap_or(host).join("journal"));
    let code = run(&line.command, &journal, &mut streams).expect("writing to memory");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Done { code, out: text(out), err: text(err) }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_owned()
}

fn shipped(name: &str) -> String {
    root().join("policies").join(name).display().to_string()
}

/// Bundles of one kind, each with what `check` is expected to say of it.
fn fixtures(kind: &str) -> Vec<PathBuf> {
    let folder = root().join("tests/fixtures/policy").join(kind);
    let mut bundles: Vec<PathBuf> = fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    bundles.sort();
    bundles
}

/// Compares what `check` says of each bundle with the file beside it.
fn check_all(kind: &str, code: u8) -> usize {
    let mut different = Vec::new();
    let bundles = fixtures(kind);
    for bundle in &bundles {
        let done = enforcer_policy(&["check", &bundle.display().to_string()]);
        assert_eq!(done.code, code, "{}: {}{}", bundle.display(), done.out, done.err);
        assert_eq!(done.out.is_empty(), code != 0, "diagnostics are not data");
        let found = done.err.replace(&format!("{}: ", bundle.display()), "");
        let path = bundle.join("expected.txt");
        if std::env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&path, &found).expect("written");
        }
        for internal in ["for policy `", "__cedar", "::internal"] {
            assert!(!found.contains(internal), "{}: {found}", bundle.display());
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        if found != expected {
            different
                .push(format!("{}\n--- expected\n{expected}\n--- found\n{found}", path.display()));
        }
    }
    assert!(different.is_empty(), "{}", different.join("\n"));
    bundles.len()
}

#[test]
fn every_broken_bundle_is_refused_with_the_expected_diagnostics() {
    let count = check_all("broken", 4);
    assert!(count >= 30, "fixtures are missing: {count}");
}

#[test]
fn what_does_nothing_is_told_and_refuses_no_bundle() {
    assert_eq!(check_all("odd", 0), 3);
    let bundle = root().join("tests/fixtures/policy/odd/everything").display().to_string();
    let done = enforcer_policy(&["check", &bundle, "--output", "json"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    let report: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!(report["valid"], true);
    let found = report["diagnostics"].as_array().expect("a list");
    assert!(found.iter().all(|found| found["severity"] == "warning"), "{}", done.out);
}

#[test]
fn five_mistakes_give_five_diagnostics_with_line_and_caret() {
    let bundle = root().join("tests/fixtures/policy/broken/five-mistakes");
    let done = enforcer_policy(&["check", &bundle.display().to_string()]);
    assert_eq!(done.code, 4);
    assert_eq!(done.err.matches('×').count(), 5, "{}", done.err);
    for place in [
        "policy.toml:8:1",
        "policy.toml:11:14",
        "rules.cedar:2:2",
        "rules.cedar:3:22",
        "rules.cedar:4:",
    ] {
        assert!(done.err.contains(place), "{place}: {}", done.err);
    }
    for word in ["protocol", "email", "mask", "support", "method"] {
        assert!(done.err.contains(&format!("did you mean `{word}`?")), "{word}: {}", done.err);
    }
}

#[test]
fn shipped_bundles_are_valid_and_their_cases_pass_and_reach_every_rule() {
    let names = fs::read_dir(root().join("policies")).expect("bundles");
    let names = names.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let names: Vec<String> = names.map(|path| path.display().to_string()).collect();
    assert!(names.len() >= 6, "{names:?}");
    for name in &names {
        let done = enforcer_policy(&["check", name]);
        assert_eq!((done.code, done.err.as_str()), (0, ""), "{name}");
        assert!(done.out.contains("valid, version "), "{}", done.out);
        let done = enforcer_policy(&["test", name, "--require-coverage"]);
        assert_eq!(done.code, 0, "{name}: {}", done.out);
        assert!(done.out.contains(" 0 failed"), "{}", done.out);
    }
}

#[test]
fn a_case_that_fails_says_what_was_expected_and_ends_with_1() {
    let folder = tempfile::tempdir().expect("a folder");
    for file in ["policy.toml", "chat.cedar", "http.cedar"] {
        let from = root().join("policies/openai-agents").join(file);
        fs::copy(from, folder.path().join(file)).expect("copied");
    }
    let bundle = folder.path().display().to_string();
    let done = enforcer_policy(&["test", &bundle]);
    assert_eq!(done.code, 0);
    assert!(done.err.contains("no cases"), "{}", done.err);
    fs::create_dir(folder.path().join("cases")).expect("a folder");
    let case = r#"[[case]]
name = "wrong on purpose"
agent = "support"
endpoint = "openai"
action = "chat"
facts = { model = "gpt-4.1", input_tokens = 1 }
expect = { effect = "deny", because = ["no-shell-tools"], mask_request = [] }
"#;
    fs::write(folder.path().join("cases/a.toml"), case).expect("written");
    let done = enforcer_policy(&["test", &bundle]);
    assert_eq!(done.code, 1);
    for line in [
        "FAIL cases/a.toml:2 wrong on purpose",
        "effect: expected deny, found allow",
        "because: expected [\"no-shell-tools\"], found [\"support-chat\"]",
        "mask_request: expected [], found [\"pii\"]",
        "1 case, 1 failed",
    ] {
        assert!(done.out.contains(line), "{line}: {}", done.out);
    }
}

fn why(facts: &[&str]) -> Done {
    let bundle = shipped("openai-agents");
    let mut words = vec![
        "why",
        bundle.as_str(),
        "--agent",
        "support",
        "--endpoint",
        "openai",
        "--action",
        "chat",
    ];
    words.extend_from_slice(facts);
    enforcer_policy(&words)
}

#[test]
fn why_says_which_rule_nearly_matched_and_what_was_lacking() {
    let done = why(&["--fact", "model=gpt-4.1", "--fact", "input_tokens=5000"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(done.out.starts_with("deny: agent `support`, action `chat`"), "{}", done.out);
    assert!(done.out.contains("because no rule permits it"), "{}", done.out);
    assert!(
        done.out.contains("nearly: `context.input_tokens <= 4000` does not hold"),
        "{}",
        done.out
    );
    assert!(done.out.contains("(chat.cedar:"), "{}", done.out);
    assert!(
        done.out.contains(
            "  nearest is permit `support-chat` (chat.cedar:14): `context.input_tokens <= 4000` does not hold\n"
        ),
        "{}",
        done.out
    );

    let done =
        why(&["--fact", "model=gpt-4.1", "--fact", "input_tokens=5", "--fact", "tools=shell"]);
    assert_eq!(done.code, 1);
    assert!(done.out.contains("because of `no-shell-tools`"), "{}", done.out);
    assert!(done.out.contains("message: Shell and code tools"), "{}", done.out);

    let done = why(&["--fact", "model=gpt-4.1", "--fact", "input_tokens=5"]);
    assert_eq!(done.code, 0);
    assert!(done.out.contains("mask request: pii"), "{}", done.out);
}

#[test]
fn why_reads_recorded_facts_and_prints_json() {
    let done = why(&["--fact", "model=gpt-4.1", "--fact", "input_tokens=5", "--output", "json"]);
    let explanation: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!(explanation["decision"]["effect"], "allow");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("facts.json");
    fs::write(&file, explanation["facts"].to_string()).expect("written");
    let bundle = shipped("openai-agents-strict");
    let file = file.display().to_string();
    let done = enforcer_policy(&["why", &bundle, "--facts", &file, "--output", "json"]);
    assert_eq!(done.code, 1, "{}", done.err);
    let strict: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!(strict["facts"], explanation["facts"]);
    assert_eq!(strict["decision"]["effect"], "deny");
}

#[test]
fn misspelt_names_and_facts_on_the_command_line_are_usage_errors() {
    let check = |words: &[&str], expect: &str| {
        let bundle = shipped("openai-agents");
        let done = enforcer_policy(&[&["why", bundle.as_str()], words].concat());
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{words:?}");
        assert!(done.err.contains(expect), "{words:?}: {}", done.err);
    };
    let of = ["--agent", "support", "--endpoint", "openai", "--action"];
    let with = |more: &[&'static str]| [of.as_slice(), more].concat();
    check(&with(&["chta"]), "unknown action `chta`\nhint: did you mean `chat`?");
    check(&with(&["finetune"]), "unknown action `finetune`\nhint: did you mean `fine_tune`?");
    check(
        &with(&["any"]),
        "unknown action `any`\nhint: `enforcer policy schema` lists every action",
    );
    check(&with(&["chat"]), "needs `model`, `input_tokens`");
    check(&with(&["chat", "--fact", "modl=x"]), "has no fact `modl`\nhint: did you mean `model`?");
    check(&with(&["chat", "--fact", "model"]), "NAME=VALUE");
    check(&with(&["chat", "--fact", "input_tokens=x"]), "is an integer");
    let http = ["http", "--fact", "method=GET", "--fact", "path=/"];
    check(
        &with(&[&http[..], &["--detected", "emial"]].concat()),
        "unknown detector `emial`\nhint: did you mean `email`?",
    );
    let other = ["--agent", "suport", "--endpoint", "openai", "--action"];
    check(
        &[other.as_slice(), &http].concat(),
        "unknown agent `suport`\nhint: did you mean `support`?",
    );
    check(&["--facts", "/nowhere.json"], "failed to read `/nowhere.json`");
    let endpoint = ["--agent", "support", "--endpoint", "opneai", "--action"];
    check(
        &[endpoint.as_slice(), &http].concat(),
        "unknown endpoint `opneai`\nhint: did you mean `openai`?",
    );
}

#[test]
fn why_judges_a_raw_request_as_the_data_path_does() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("request.http");
    let bundle = shipped("openai-agents");
    let why = |raw: &str, words: &[&str]| {
        fs::write(&file, raw).expect("written");
        let file = file.display().to_string();
        let all = ["why", bundle.as_str(), "--agent", "support", "--request", file.as_str()];
        enforcer_policy(&[&all, words].concat())
    };
    let chat = "POST /v1/chat/completions HTTP/1.1\r\nHost: api.openai.com\r\n\
        Content-Type: application/json\r\n\r\n\
        {\"model\":\"gpt-4.1\",\"messages\":[{\"role\":\"user\",\"content\":\"I am ann@example.com\"}]}\n";
    let done = why(chat, &[]);
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
    for part in
        ["allow: agent `support`, action `chat`", "model = \"gpt-4.1\"", "mask request: pii"]
    {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    let done =
        why(&chat.replace("Content-Type", "User-Agent: ann@example.com\r\nContent-Type"), &[]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(
        done.out.contains(
            "denied after the rules: the header `user-agent` holds what has to be masked"
        ),
        "{}",
        done.out
    );
    let done = why(&chat.replace("\"model\":", ""), &["--endpoint", "openai"]);
    assert_eq!(done.code, 1, "{}", done.err);
    assert!(
        done.out.contains("`opaque`: not understood, since the body is not JSON (expected `:` at line 1 column 11)"),
        "{}",
        done.out
    );

    let done = why(&chat.replace("api.openai.com", "api.example.com"), &[]);
    assert_eq!(done.code, 2);
    assert!(
        done.err.contains("no endpoint of the bundle has host `api.example.com`"),
        "{}",
        done.err
    );
    let done = why("{\"model\":\"gpt-4.1\"}", &[]);
    assert_eq!(done.code, 2);
    assert!(
        done.err.contains("is not a request: line 1: there is no request line"),
        "{}",
        done.err
    );
    assert!(done.err.contains("hint: the first line is `METHOD PATH`"), "{}", done.err);
}

#[test]
fn forbids_that_do_not_apply_are_listed_only_when_all_rules_are_asked_for() {
    let chat = ["--fact", "model=gpt-4.1", "--fact", "input_tokens=5000"];
    let done = why(&chat);
    assert!(!done.out.contains("no-shell-tools"), "{}", done.out);
    assert!(done.out.contains("  4 rules do not apply\n"), "{}", done.out);
    let done = why(&[chat.as_slice(), &["--all"]].concat());
    for part in [
        "no-shell-tools   forbid  does not apply: `context.tools.containsAny(",
        "list-models      permit  is for another action",
    ] {
        assert!(done.out.contains(part), "{part}: {}", done.out);
    }
    assert!(!done.out.contains("forbid  nearly"), "{}", done.out);
}

#[test]
fn the_long_help_of_why_lists_every_action_and_its_facts() {
    let error = Line::try_parse_from(["policy", "why", "--help"]).err().expect("help");
    let help = error.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    for (action, next) in ACTIONS.iter().zip(ACTIONS.iter().skip(1)) {
        let (_, rest) = help.split_once(&format!(" {}: ", action.name)).expect(action.name);
        let (facts, _) = rest.split_once(&format!(" {}: ", next.name)).expect(next.name);
        for fact in action.facts {
            assert!(facts.contains(fact.name), "{}: {facts}", action.name);
        }
    }
    let last = ACTIONS.last().expect("actions");
    assert!(help.contains(&format!(" {}: ", last.name)), "{help}");
}

#[test]
fn a_missing_folder_is_a_usage_error_with_a_hint() {
    for command in ["check", "test"] {
        let done = enforcer_policy(&[command, "/nowhere/at/all"]);
        assert_eq!((done.code, done.out.as_str()), (2, ""));
        assert!(done.err.contains("there is no such folder"), "{}", done.err);
        assert!(done.err.contains("hint: "), "{}", done.err);
    }
}

#[test]
fn check_prints_its_diagnostics_as_json_with_places() {
    let bundle = root().join("tests/fixtures/policy/broken/five-mistakes").display().to_string();
    let done = enforcer_policy(&["check", &bundle, "--output", "json"]);
    assert_eq!((done.code, done.err.as_str()), (4, ""));
    let report: serde_json::Value = serde_json::from_str(&done.out).expect("json");
    assert_eq!(report["valid"], false);
    assert_eq!(report["diagnostics"].as_array().map(Vec::len), Some(5));
    assert_eq!(report["diagnostics"][0]["file"], "policy.toml");
    assert_eq!(report["diagnostics"][0]["place"]["line"], 8);
}

#[test]
fn schema_prints_every_action() {
    let done = enforcer_policy(&["schema"]);
    assert_eq!(done.code, 0);
    for action in ["chat", "connect", "http", "opaque"] {
        assert!(done.out.contains(&format!("action {action} in [")), "{action}");
    }
}
