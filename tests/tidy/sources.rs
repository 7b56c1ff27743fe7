// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Rules for every file: size, licence line, words.

use enforcer_tests::repository;

use crate::text::{expect_none, read, sources};

/// Lines that a source file may have.
const LINES_MAX: usize = 600;
/// A file that says this in its first lines is a table and may be longer.
const TABLE_MARK: &str = "tidy: table";
const LICENCE: &str = "SPDX-License-Identifier: Apache-2.0 OR MIT";
/// The kernel requires a licence that it knows for some helpers.
const EBPF_LICENCE: &str = "SPDX-License-Identifier: MIT OR GPL-2.0";
/// Synonyms that the glossary does not know, in two halves so that this file passes.
const FORBIDDEN_WORDS: &[(&str, &str, &str)] = &[
    ("redac", "t", "mask"),
    ("scru", "b", "mask"),
    ("white", "list", "allow-list"),
    ("black", "list", "deny-list"),
];

#[test]
fn no_source_file_is_longer_than_the_limit() {
    let problems: Vec<String> = sources(&[".rs", ".py", ".mjs"])
        .iter()
        .filter(|source| !source.text.lines().take(5).any(|line| line.contains(TABLE_MARK)))
        .map(|source| (source, source.text.lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(source, lines)| format!("{}: {lines} lines", source.path))
        .collect();
    expect_none(&format!("files above {LINES_MAX} lines"), &problems);
}

#[test]
fn every_source_file_begins_with_its_licence() {
    let problems: Vec<String> = sources(&[".rs", ".py", ".mjs", "policy.toml", ".cedar"])
        .into_iter()
        // Fixtures are inputs; their bytes and line numbers belong to the tests.
        .filter(|source| !source.is_below("tests/fixtures/policy"))
        .filter(|source| {
            let first = source.text.lines().next().unwrap_or_default();
            let is_ebpf = source.is_below("enforcer-ebpf") && first.contains(EBPF_LICENCE);
            !first.contains(LICENCE) && !is_ebpf
        })
        .map(|source| source.path)
        .collect();
    expect_none("files without the licence line", &problems);
}

#[test]
fn nobody_uses_a_synonym_of_a_word_in_the_glossary() {
    let mut problems = Vec::new();
    for source in sources(&[".rs", ".md", ".toml", ".cedar", ".py", ".mjs"]) {
        // The paths and types of a provider's API are its own words.
        let is_ours = |line: &str| !line.contains("/v1/") && !line.contains("redacted_");
        let lines = source.text.lines().enumerate().filter(|(_, line)| is_ours(line));
        for (number, line) in lines {
            let line = line.to_lowercase();
            for (head, tail, instead) in FORBIDDEN_WORDS {
                if line.contains(&format!("{head}{tail}")) {
                    let place = format!("{}:{}", source.path, number + 1);
                    problems.push(format!("{place}: `{head}{tail}`, say `{instead}`"));
                }
            }
        }
    }
    expect_none("words that the glossary does not know", &problems);
}

/// Texts of events that are no `Recorded`, and why no agent chooses them.
const UNMASKED_TEXTS: &[(&str, &str)] = &[
    ("account", "a name of the bundle, and who it is counted for"),
    ("by", "a user of this host"),
    ("detail", "the journal about itself: files of it and errors of the disk"),
    ("digest", "a hash"),
    ("hash", "a hash"),
];

#[test]
fn every_text_of_an_event_that_an_agent_may_choose_is_a_recorded_one() {
    let event = read("enforcer-core/src/record/event.rs");
    let fields = event.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    let texts = fields.filter_map(|line| {
        let (name, kind) = line.trim_start_matches("pub ").split_once(": ")?;
        kind.contains("String").then_some(name)
    });
    let mut found: Vec<&str> = texts.collect();
    found.sort_unstable();
    found.dedup();
    let named: Vec<&str> = UNMASKED_TEXTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(found, named, "fields of enforcer-core/src/record/event.rs");
    let once = event.lines().filter(|line| line.trim() == "detail: String,").count();
    assert_eq!(once, 1, "of all details only the one about the journal");
}

#[test]
fn a_todo_names_its_issue() {
    let mut problems = Vec::new();
    for source in sources(&[".rs"]) {
        for (number, line) in source.text.lines().enumerate() {
            let mark = concat!("TO", "DO");
            if line.contains(mark) && !line.contains(&format!("{mark}(#")) {
                problems.push(format!("{}:{}", source.path, number + 1));
            }
        }
    }
    expect_none("open work without an issue number", &problems);
}

/// Files of the top folder; a new one is added here by somebody who thought about it.
const TOP_FILES: &[&str] = &[
    ".gitattributes",
    ".gitignore",
    "ARCHITECTURE.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "SECURITY.md",
    "clippy.toml",
    "rust-toolchain.toml",
    "rustfmt.toml",
];

#[test]
fn the_top_folder_holds_what_belongs_there() {
    let problems: Vec<String> = std::fs::read_dir(repository())
        .unwrap()
        .map(|entry| entry.unwrap())
        // A worktree has a file `.git` where a clone has a folder.
        .filter(|entry| entry.path().is_file() && entry.file_name() != ".git")
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !TOP_FILES.contains(&name.as_str()))
        .collect();
    expect_none("files in the top folder that nobody expects", &problems);
}
