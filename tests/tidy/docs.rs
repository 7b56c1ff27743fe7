// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the documents promise is there: reason codes, guarantees with their tests, bundles with cases.

use std::collections::BTreeSet;
use std::fs;

use enforcer_core::model::DenyReason;
use enforcer_tests::repository;

use crate::text::{Source, expect_none, quoted, read, sources, table};

const NOT_TESTED: &str = "not yet tested";
/// What can stop a way out (`docs/bypasses.md`).
const TIERS: &[&str] = &["kernel", "launcher", "lsm", "not stopped"];

#[test]
fn every_deny_reason_is_documented_with_the_step_and_the_advice_that_commands_show() {
    let cells = |reason: DenyReason| {
        let status = reason.http_status().to_string();
        let [code, step] = [reason.code(), reason.step().word()].map(str::to_owned);
        (format!("`{code}`"), status, step, reason.advice().to_owned())
    };
    let codes: Vec<_> = DenyReason::ALL.map(cells).into();
    let rows = table("docs/deny-reasons.md", "Why something was refused");
    let documented: Vec<_> = rows
        .iter()
        .map(|row| {
            let [code, status, step, _meaning, advice] = row.as_slice() else {
                panic!("five cells: {row:?}")
            };
            (code.clone(), status.clone(), step.clone(), advice.clone())
        })
        .collect();
    assert_eq!(codes, documented, "reasons in enforcer-core and in docs/deny-reasons.md");
}

#[test]
fn every_guarantee_names_a_test_that_exists_or_says_that_there_is_none() {
    let functions = test_functions();
    let mut problems = Vec::new();
    let mut numbers = BTreeSet::new();
    for line in read("docs/guarantees.md").lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, _, proof] = cells.as_slice() else { panic!("three cells: {line}") };
        if *number == "#" {
            continue;
        }
        if !numbers.insert((*number).to_owned()) {
            problems.push(format!("{number} stands twice"));
        }
        let names = quoted(proof);
        if names.is_empty() && !proof.contains(NOT_TESTED) {
            problems.push(format!("{number}: neither a test nor the words `{NOT_TESTED}`"));
        }
        for name in names.iter().filter(|name| !is_there(name, &functions)) {
            problems.push(format!("{number}: there is no test `{name}`"));
        }
    }
    assert!(numbers.len() > 10, "the guarantees were found: {numbers:?}");
    expect_none("docs/guarantees.md", &problems);
}

/// A test by its name, or a command of the project.
fn is_there(name: &str, functions: &BTreeSet<String>) -> bool {
    let command = name.strip_prefix("cargo xtask ").and_then(|rest| rest.split(' ').next());
    match command {
        Some(command) => repository().join(format!("xtask/src/{command}.rs")).exists(),
        None => functions.contains(name.rsplit("::").next().unwrap()),
    }
}

/// Names of the functions that stand below `#[test]` or `#[tokio::test]`, or in `proptest!`.
fn test_functions() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for source in sources(&[".rs"]) {
        let mut is_next = false;
        for (_, line) in source.code_lines() {
            let line = line.trim();
            is_next |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
            let declaration = line.strip_prefix("async ").unwrap_or(line).strip_prefix("fn ");
            if let Some(declaration) = declaration.filter(|_| is_next) {
                names.insert(declaration.split(['(', '<']).next().unwrap().to_owned());
                is_next = false;
            }
        }
    }
    names
}

#[test]
fn every_technique_of_the_escape_suite_has_a_row_and_every_row_a_test_or_a_reason() {
    let tests = test_functions();
    let mut problems = Vec::new();
    let mut named = BTreeSet::new();
    for row in table("docs/bypasses.md", "Tried by this suite") {
        let [_, _, tier, proof] = row.as_slice() else { panic!("four cells: {row:?}") };
        if !TIERS.contains(&tier.as_str()) {
            problems.push(format!("{proof}: `{tier}` is no tier"));
        }
        let names = quoted(proof);
        problems.extend(
            names.iter().filter(|name| !tests.contains(*name)).map(|name| format!("no `{name}`")),
        );
        named.extend(names);
    }
    for row in table("docs/bypasses.md", "Not tried by this suite") {
        let [_, _, tier, reason] = row.as_slice() else { panic!("four cells: {row:?}") };
        if !TIERS.contains(&tier.as_str()) || reason.is_empty() {
            problems.push(format!("`{tier}` is no tier, or there is no reason: {row:?}"));
        }
    }
    let is_technique = |source: &&Source| {
        source.path.matches('/').count() == 3 && !source.path.ends_with("/mod.rs")
    };
    let suite = sources(&[".rs"]).into_iter().filter(|source| source.is_below("tests/escape"));
    let suite: Vec<_> = suite.collect();
    let techniques: Vec<_> = suite.iter().filter(is_technique).collect();
    assert!(techniques.len() >= 60, "{} techniques", techniques.len());
    for source in techniques {
        let test = source.text.lines().find_map(|line| line.strip_prefix("fn ")?.split('(').next());
        if !test.is_some_and(|test| named.contains(test)) {
            problems.push(format!("{}: no row names {test:?}", source.path));
        }
    }
    expect_none("docs/bypasses.md and tests/escape", &problems);
}

#[test]
fn every_bundle_has_an_inventory_rules_and_cases() {
    let mut problems = Vec::new();
    let mut bundles = 0;
    for entry in fs::read_dir(repository().join("policies")).unwrap() {
        let folder = entry.unwrap().path();
        if !folder.is_dir() {
            continue;
        }
        bundles += 1;
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let ends_in = |folder: &std::path::Path, ending: &str| {
            let entries = fs::read_dir(folder).into_iter().flatten();
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(ending))
        };
        if !folder.join("policy.toml").exists() {
            problems.push(format!("{name}: no policy.toml"));
        }
        if !ends_in(&folder, ".cedar") {
            problems.push(format!("{name}: no rules"));
        }
        if !ends_in(&folder.join("cases"), ".toml") {
            problems.push(format!("{name}: no cases"));
        }
        if !read("policies/README.md").contains(&format!("`{name}`")) {
            problems.push(format!("{name}: policies/README.md does not name it"));
        }
    }
    assert!(bundles > 0, "there are bundles");
    expect_none("policies", &problems);
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut problems = Vec::new();
    for source in sources(&[".md"]) {
        let folder = repository().join(&source.path);
        let folder = folder.parent().unwrap();
        for target in source.text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            if !folder.join(path).exists() {
                problems.push(format!("{}: {target}", source.path));
            }
        }
    }
    expect_none("links that lead nowhere", &problems);
}

#[test]
fn the_quick_start_is_the_two_commands() {
    let readme = read("README.md");
    let block = readme.split("```sh\n").nth(1).and_then(|rest| rest.split("```").next());
    assert_eq!(block, Some("cargo xtask demo\ncargo xtask test\n"), "README's first code block");
}
