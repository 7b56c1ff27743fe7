// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A newcomer's walk through the tutorial, every block of it, with a daemon: the commands end as the page says, and
//! what needs the daemon prints what stands there. `cargo xtask gen` writes those outputs anew.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use enforcer_tests::document::{Block, Part, change, console, joined, parts, words};
use enforcer_tests::{command, python, repository};
use enforcer_user::config::Config;
use regex::Regex;

use crate::scene::{LIMIT, Scene, wait_until};

const TUTORIAL: &str = "docs/policy-tutorial.md";
const BUNDLE: &str = "policies/main";
/// Commands whose output depends on what really happened: only what has to stand there is compared.
const DEPENDS: [&str; 2] = ["enforcer policy suggest", "enforcer replay"];
/// Sessions as the page names them, in the order in which they begin.
const SESSIONS: [&str; 2] = ["0000000000001234", "0000000000001235"];

struct Walk {
    scene: Scene,
    folder: tempfile::TempDir,
    is_started: bool,
}

impl Walk {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("policies")).unwrap();
        let scene = Scene::set(&folder.path().join(BUNDLE));
        Self { scene, folder, is_started: false }
    }

    /// Runs one command in the reader's folder.
    fn run(&self, line: &str) -> Result<(i32, String)> {
        let python = python()?.display().to_string();
        let real = self.with_real_sessions(line);
        let words: Vec<String> = words(&real)
            .into_iter()
            .map(|word| if word == "python" { python.clone() } else { word })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = match words.as_slice() {
            ["enforcer", words @ ..] => self.scene.host.enforcer(words)?,
            [program, words @ ..] => {
                let mut command = std::process::Command::new(program);
                command.args(words);
                command
            }
            [] => anyhow::bail!("a command without words"),
        };
        command.current_dir(self.folder.path()).env("OPENAI_API_KEY", "sk-not-a-real-key");
        for (variable, value) in [
            ("GIT_AUTHOR_NAME", "a"),
            ("GIT_AUTHOR_EMAIL", "a@example.com"),
            ("GIT_COMMITTER_NAME", "a"),
            ("GIT_COMMITTER_EMAIL", "a@example.com"),
        ] {
            command.env(variable, value);
        }
        let output = command::run(command, LIMIT, &command::Interrupt::default())?;
        let code = output.code.context("a signal ended it")?;
        if real.starts_with("enforcer run") {
            wait_until("the end of the session", || self.scene.alive().is_empty());
        }
        Ok((code, self.as_the_page_shows(&format!("{}{}", output.stdout, output.stderr))))
    }

    fn sessions(&self) -> Vec<String> {
        if !self.is_started {
            return Vec::new();
        }
        let sessions = self.scene.sessions();
        sessions.iter().map(|session| session["id"].as_str().unwrap().to_owned()).collect()
    }

    fn with_real_sessions(&self, line: &str) -> String {
        let pairs = SESSIONS.iter().zip(self.sessions());
        pairs.fold(line.to_owned(), |line, (shown, real)| line.replace(shown, &real))
    }

    /// What differs from one host and one moment to the next, as one host and one moment.
    fn as_the_page_shows(&self, text: &str) -> String {
        let pairs = SESSIONS.iter().zip(self.sessions());
        let mut text =
            pairs.fold(text.to_owned(), |text, (shown, real)| text.replace(&real, shown));
        text = text.replace(&python().unwrap().display().to_string(), "python");
        for (pattern, shown) in [
            (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?", "2026-03-02 09:30:00"),
            (r"\b\d+ ms\b", "12 ms"),
            (r"\bpid \d+", "pid 4242"),
            (r"127\.0\.0\.1:\d+", "203.0.113.10:443"),
        ] {
            text = Regex::new(pattern).unwrap().replace_all(&text, shown).into_owned();
        }
        text
    }

    /// Waits until the daemon has the bundle that is in the folder.
    fn settle(&self) {
        let file = self.folder.path().join(BUNDLE);
        let check = ["policy", "check", file.to_str().unwrap()];
        let version = self.scene.json(&check)["version"].clone();
        wait_until("the bundle to be in force", || {
            self.scene.json(&["status"])["policy"]["version"] == version
        });
    }

    /// Runs the commands of a block and gives it as it is printed now.
    fn commands(&self, block: &Block) -> String {
        if block.note.is_some() {
            self.settle();
        }
        console(&block.text, |line| self.run(line)).unwrap_or_else(|error| panic!("{error:#}"))
    }

    fn shell(&mut self, text: &str) {
        for line in text.lines() {
            if line == "enforcer daemon" {
                self.scene.start_daemon();
                self.is_started = true;
                continue;
            }
            let (code, printed) = self.run(line).unwrap();
            assert_eq!(code, 0, "{line}\n{printed}");
        }
    }
}

/// The rules that a text names, and what changes by which.
fn essence(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("@id(") || line.contains("→ ALLOW  by")).collect()
}

fn compare(block: &Block, anew: &str) {
    if DEPENDS.iter().any(|command| block.text.contains(command)) {
        for line in essence(&block.text) {
            // The page's agent had a week.
            assert!(line.contains("support-openai-chat") || anew.contains(line), "{line}\n{anew}");
        }
        return;
    }
    assert_eq!(anew, block.text, "run `cargo xtask gen`");
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_page_of_the_tutorial_is_what_a_newcomer_sees() {
    let file = repository().join(TUTORIAL);
    let mut page = parts(&fs::read_to_string(&file).unwrap()).unwrap();
    let mut walk = Walk::start();
    let folder = walk.folder.path().to_owned();
    for part in &mut page {
        let Part::Block(block) = part else { continue };
        match (block.language.as_str(), &block.note) {
            ("console", note) => {
                let anew = walk.commands(block);
                if note.is_some() && std::env::var_os("UPDATE_EXPECTED").is_some() {
                    block.text = anew;
                } else {
                    compare(block, &anew);
                }
            }
            ("diff", Some(file)) => change(&folder.join(file), &block.text).unwrap(),
            ("toml", Some(name)) if name == "enforcer.toml" => {
                expect_settings(&folder, &block.text)
            }
            ("toml" | "cedar" | "python", Some(name)) => {
                fs::write(folder.join(name), &block.text).unwrap();
            }
            ("sh", None) => walk.shell(&block.text),
            other => panic!("a block of {other:?} is not run"),
        }
    }
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(file, joined(&page)).unwrap();
    }
    let chats = walk.scene.chats();
    assert_eq!(chats.len(), 3, "the last long question did not reach the provider");
    walk.scene.finish();
}

/// The settings of the page are valid; those of this host name other places.
fn expect_settings(folder: &Path, text: &str) {
    let file = folder.join("enforcer.toml");
    fs::write(&file, text).unwrap();
    let settings = Config::load(&file).unwrap();
    assert!(settings.policies.folder.ends_with("policies/main"), "{settings:?}");
    fs::remove_file(file).unwrap();
}
