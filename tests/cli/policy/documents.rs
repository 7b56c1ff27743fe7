// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the documents show is what happens: their rules compile, their cases pass, their commands print what stands
//! below them, the reference is what the program prints. `cargo xtask gen` writes reference and outputs anew.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use clap::Parser;
use enforcer_core::policy::{Diagnostic, SourceFile, Sources, cases, compile};
use enforcer_tests::document::{self, Part, change, joined, words};
use enforcer_user::cli::source::Source;
use enforcer_user::cli::{Exit, replay, understands};
use enforcer_user::config::bundle::read_sources;
use regex::Regex;

use crate::recording::{chat, facts, now, record, record_unnamed};
use crate::{Done, Line, enforcer_policy, enforcer_policy_on, root};

const REFERENCE: &str = "docs/policy-reference.md";
const COOKBOOK: &str = "docs/policy-cookbook.md";
const TUTORIAL: &str = "docs/policy-tutorial.md";

/// What teams ask for first; each is a recipe of the cookbook.
const MUST_SHOW: [&str; 7] = [
    "Only listed models for user chats",
    "Personal data is masked on its way out",
    "More than 1,000 tokens in one request are refused",
    "Card numbers are masked in answers",
    "Bulk export and fine-tuning need a person",
    "Tokens are limited by the day",
    "Groups as scopes",
];

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_update() -> bool {
    std::env::var_os("UPDATE_EXPECTED").is_some()
}

fn parts(text: &str) -> Vec<Part> {
    document::parts(text).unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn the_reference_is_what_the_program_prints() {
    let done = enforcer_policy(&["schema", "reference"]);
    assert_eq!((done.code, done.err.as_str()), (0, ""));
    if is_update() {
        fs::write(root().join(REFERENCE), &done.out).expect("written");
    }
    assert!(read(REFERENCE) == done.out, "`{REFERENCE}` is old: run `cargo xtask gen`");
}

/// A recipe of the cookbook: its title and the bundle that it is.
#[derive(Debug, Default)]
struct Recipe {
    title: String,
    files: BTreeMap<String, String>,
}

fn recipes(text: &str) -> (BTreeMap<String, String>, Vec<Recipe>) {
    let (mut shared, mut recipes) = (BTreeMap::new(), Vec::<Recipe>::new());
    for part in parts(text) {
        match part {
            Part::Prose(prose) => {
                let titles = prose.lines().filter_map(|line| line.strip_prefix("## "));
                recipes.extend(titles.map(|title| {
                    let title = title.split_once(". ").map_or(title, |(_, title)| title);
                    Recipe { title: title.to_owned(), ..Recipe::default() }
                }));
            }
            Part::Block(block) => {
                let files = recipes.last_mut().map_or(&mut shared, |recipe| &mut recipe.files);
                if let Some(file) = block.note {
                    *files.entry(file).or_default() += &block.text;
                }
            }
        }
    }
    (shared, recipes)
}

#[test]
fn every_rule_of_the_cookbook_compiles_and_its_cases_pass() {
    let text = read(COOKBOOK);
    let (shared, recipes) = recipes(&text);
    assert!(recipes.len() >= 20, "{} recipes", recipes.len());
    for title in MUST_SHOW {
        assert!(recipes.iter().any(|recipe| recipe.title == title), "no recipe `{title}`");
    }
    for Recipe { title, mut files } in recipes {
        assert!(files.contains_key("rules.cedar"), "{title}: no rules");
        assert!(files.contains_key("cases/cases.toml"), "{title}: no cases");
        for (file, text) in &shared {
            let own = files.entry(file.clone()).or_default();
            *own = format!("{text}{own}");
        }
        let files = files.into_iter().map(|(path, text)| SourceFile { path, text });
        let sources = Sources { files: files.collect() };
        let compiled = compile(&sources).unwrap_or_else(|found| panic!("{title}: {found}"));
        // That nothing is permitted to the agents that a recipe leaves out is all that may be said.
        let said = compiled.warnings.iter().filter(|said| !said.message.starts_with("no rule "));
        assert_eq!(said.collect::<Vec<_>>(), Vec::<&Diagnostic>::new(), "{title}");
        let policy = compiled.policy;
        let report =
            cases::run(&policy, &sources).unwrap_or_else(|found| panic!("{title}: {found}"));
        for case in &report.cases {
            assert!(case.has_passed(), "{title}: {}: {:?}", case.name, case.mismatches);
        }
        assert!(report.cases.len() >= 2, "{title}: a case that it allows and one that it does not");
        assert_eq!(report.coverage.unreached, [], "{title}");
    }
}

/// What the tutorial's agent did in a week: as its prose says.
fn week(state: &Path) {
    let mut sources = read_sources(&root().join("policies/openai-agents")).expect("a bundle");
    let inventory = sources.files.iter_mut().find(|file| file.path == "policy.toml");
    let inventory = inventory.expect("an inventory");
    inventory.text = inventory.text.replace("mode = \"enforce\"", "mode = \"observe\"");
    let policy = compile(&sources).expect("valid").policy;
    let embedding = |tokens: i64| {
        facts(serde_json::json!({
            "agent": "support", "endpoint": "openai", "detected": [],
            "operation": {
                "action": "embed", "model": "text-embedding-3-small", "input_count": 12,
                "input_tokens": tokens,
            },
        }))
    };
    let mut all = vec![embedding(900), embedding(1400), chat("gpt-4.1", 5200)];
    all.extend((0..5).map(|number| chat("gpt-4.1-mini", 200 + 100 * number)));
    let judged: Vec<_> = all
        .into_iter()
        .map(|facts| {
            let decision = policy.decide(&facts);
            (facts, decision)
        })
        .collect();
    record(state, &judged);
    record_unnamed(state, "status.example.com");
}

#[derive(Parser)]
struct ReplayLine {
    #[command(flatten)]
    args: replay::Args,
}

/// Runs one command as the tutorial writes it, below a folder of its own. Folders `policies/` are there.
fn run(folder: &Path, command: &str) -> Done {
    let inside = format!("{}/policies/", folder.display());
    let state = folder.join("state");
    let placed: Vec<String> =
        words(command).iter().map(|word| word.replacen("policies/", &inside, 1)).collect();
    let placed: Vec<&str> = placed.iter().map(String::as_str).collect();
    let done = match placed.as_slice() {
        ["enforcer", "policy", words @ ..] => enforcer_policy_on(&state, words),
        ["enforcer", "replay", ..] => replayed(&state, &placed),
        ["git", words @ ..] => git(folder, words),
        _ => panic!("`{command}` is no command that this test knows"),
    };
    let moment = Regex::new(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d").expect("a pattern");
    let plain = |text: &str| {
        moment.replace_all(&text.replace(&inside, "policies/"), "2026-03-02 09:30:00").into_owned()
    };
    Done { code: done.code, out: plain(&done.out), err: plain(&done.err) }
}

fn replayed(state: &Path, words: &[&str]) -> Done {
    let args = ReplayLine::try_parse_from(words.iter().skip(1)).expect("a command").args;
    let dir = words.iter().skip_while(|word| **word != "--policies").nth(1).expect("a bundle");
    let policy = compile(&read_sources(Path::new(dir)).expect("a bundle")).expect("valid").policy;
    let source = Source::offline(&state.join("journal")).expect("a stopped journal");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = replay::answer(&args, &policy, &source, now(), false);
    let (exit, out) = runtime.expect("a runtime").block_on(answer).expect("a report");
    Done { code: u8::from(exit == Exit::Difference), out, err: String::new() }
}

fn git(folder: &Path, words: &[&str]) -> Done {
    let mut git = Command::new("git");
    git.arg("-C").arg(folder).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
    git.args(["-c", "init.defaultBranch=main"]);
    let output = git.args(words).stdin(Stdio::null()).output().expect("git");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    let code = output.status.code().and_then(|code| u8::try_from(code).ok()).expect("an end");
    Done { code, out: text(output.stdout), err: text(output.stderr) }
}

/// Runs the commands of a block and writes it anew, with what they print.
fn console(folder: &Path, text: &str) -> String {
    let anew = document::console(text, |command| {
        let done = run(folder, command);
        Ok((i32::from(done.code), format!("{}{}", done.out, done.err)))
    });
    anew.unwrap_or_else(|error| panic!("{error:#}"))
}

#[test]
fn every_command_of_the_tutorial_prints_what_stands_below_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    fs::create_dir_all(folder.join("policies")).expect("a folder");
    week(&folder.join("state"));
    fs::write(folder.join(".gitignore"), "state\n").expect("written");
    let text = read(TUTORIAL);
    let mut parts = parts(&text);
    let mut commands = 0;
    for part in &mut parts {
        let Part::Block(block) = part else { continue };
        match (block.language.as_str(), &block.note) {
            // What needs a daemon is run by the suite `e2e`.
            ("console", Some(place)) if place == "host" => {}
            ("console", None) => {
                block.text = console(folder, &block.text);
                commands += block.text.matches("$ ").count();
            }
            ("diff", Some(file)) => {
                change(&folder.join(file), &block.text).unwrap_or_else(|error| panic!("{error:#}"));
            }
            ("toml" | "cedar" | "python", Some(file)) => {
                fs::write(folder.join(file), &block.text).expect("written");
            }
            ("sh" | "text", _) => {}
            other => panic!("a block of {other:?} is not run"),
        }
    }
    assert!(commands >= 12, "{commands} commands");
    let anew = joined(&parts);
    if is_update() {
        fs::write(root().join(TUTORIAL), &anew).expect("written");
    }
    let first = anew.lines().zip(text.lines()).find(|(new, old)| new != old);
    assert!(is_update() || anew == text, "`{TUTORIAL}`: {first:#?}; run `cargo xtask gen`");
}

#[test]
fn every_policy_command_in_the_documents_is_one() {
    let mut count = 0;
    for file in [TUTORIAL, COOKBOOK, REFERENCE, "docs/policy-ci.md", "policies/README.md"] {
        let text = read(file).replace("\\\n", " ");
        for (_, rest) in text.lines().filter_map(|line| line.split_once("enforcer policy ")) {
            let end = rest.find(['#', '|', '>', '`', '&', ';', '(']).unwrap_or(rest.len());
            let words = words(rest.get(..end).unwrap_or(rest));
            if words.len() == 1 && rest.get(end..).is_some_and(|rest| rest.starts_with('`')) {
                continue; // Spoken of, not shown.
            }
            let line: Vec<&str> =
                std::iter::once("policy").chain(words.iter().map(String::as_str)).collect();
            if let Err(error) = Line::try_parse_from(&line) {
                panic!("{file}: {line:?}: {error}");
            }
            count += 1;
        }
    }
    assert!(count >= 25, "{count} commands");
}

#[test]
fn every_command_that_a_block_or_a_bundle_shows_is_one() {
    let bundles = fs::read_dir(root().join("policies")).expect("bundles");
    let bundles = bundles.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_dir());
    let texts = bundles.map(|path| fs::read_to_string(path.join("policy.toml")).expect("a file"));
    let blocks = parts(&read(TUTORIAL)).into_iter().filter_map(|part| match part {
        Part::Block(block) if matches!(block.language.as_str(), "console" | "sh") => {
            Some(block.text)
        }
        Part::Block(_) | Part::Prose(_) => None,
    });
    let mut count = 0;
    for text in texts.chain(blocks) {
        for line in text.lines() {
            // Two blanks before it, in comments of bundles: it stands for itself there.
            let shown = line.strip_prefix("$ ").or_else(|| Some(line.rsplit_once("  ")?.1));
            let shown = shown.unwrap_or(line).split(';').next().unwrap_or_default();
            if shown.starts_with("enforcer ") {
                let words = words(shown);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                understands(&words).unwrap_or_else(|error| panic!("{line}: {error}"));
                count += 1;
            }
        }
    }
    assert!(count >= 20, "{count} commands");
}
