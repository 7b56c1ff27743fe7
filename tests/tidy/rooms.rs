// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may know whom, and only X says Y; both tables stand in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};

use enforcer_core::policy::providers::PROVIDERS;
use enforcer_tests::repository;

use crate::text::{Source, expect_none, quoted, read, sources, table};

const FILE: &str = "ARCHITECTURE.md";
const USER: &str = "enforcer-user/src";

/// The levels of the rooms, and the edges allowed within a level.
#[derive(Debug, Default)]
struct Levels {
    of: BTreeMap<String, u32>,
    beside: BTreeSet<(String, String)>,
}

impl Levels {
    fn read() -> Self {
        let mut levels = Self::default();
        for row in table(FILE, "Who may know whom") {
            let [level, rooms, beside] = row.as_slice() else { panic!("three cells: {row:?}") };
            let level = level.parse().unwrap();
            levels.of.extend(rooms.split(", ").map(|room| (room.to_owned(), level)));
            levels.beside.extend(
                beside
                    .split(", ")
                    .filter_map(|edge| edge.split_once(" → "))
                    .map(|(from, to)| (from.to_owned(), to.to_owned())),
            );
        }
        levels
    }

    fn allow(&self, from: &str, to: &str) -> bool {
        let (Some(from_level), Some(to_level)) = (self.of.get(from), self.of.get(to)) else {
            return false;
        };
        from == to
            || to_level < from_level
            || self.beside.contains(&(from.to_owned(), to.to_owned()))
    }
}

/// The room a file of the daemon belongs to; none for `lib.rs` and `main.rs`.
fn room_of(source: &Source) -> Option<&str> {
    let (room, _) = source.path.strip_prefix(USER)?.strip_prefix('/')?.split_once('/')?;
    Some(room)
}

/// Rooms that a line names as `crate::room` or `crate::{room, other::Thing}`.
fn named_rooms(line: &str) -> impl Iterator<Item = &str> {
    line.match_indices("crate::").flat_map(|(at, prefix)| {
        let rest = line.get(at + prefix.len()..).unwrap_or_default();
        let several = rest.strip_prefix('{').map(|rest| rest.split('}').next().unwrap());
        several
            .unwrap_or(rest)
            .split(", ")
            .take(several.map_or(1, |_| usize::MAX))
            .map(|name| name.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap())
    })
}

#[test]
fn lower_rooms_never_name_higher_ones_and_leaves_do_not_know_each_other() {
    let levels = Levels::read();
    let mut problems = Vec::new();
    for source in sources(&[".rs"]).iter().filter(|source| source.is_below(USER)) {
        let Some(room) = room_of(source) else { continue };
        for (number, line) in source.code_lines() {
            for named in named_rooms(line).filter(|name| !name.is_empty()) {
                if !levels.allow(room, named) {
                    problems.push(format!("{}:{number}: {room} → {named}", source.path));
                }
            }
        }
    }
    expect_none("edges that ARCHITECTURE.md does not have", &problems);
}

#[test]
fn rooms_are_found_alone_and_in_braces() {
    let found = |line| named_rooms(line).collect::<Vec<_>>();
    assert_eq!(found("use crate::tls;"), ["tls"]);
    assert_eq!(found("use crate::{tls, store::Error};"), ["tls", "store"]);
    assert_eq!(found("f(crate::dns::Memory::new(), crate::tls::A)"), ["dns", "tls"]);
}

#[test]
fn every_room_has_a_level_and_every_level_has_its_rooms() {
    let named: BTreeSet<String> = Levels::read().of.into_keys().collect();
    let lib = read("enforcer-user/src/lib.rs");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod "));
    let there: BTreeSet<String> =
        modules.map(|line| line.trim_end_matches(';').to_owned()).collect();
    assert_eq!(named, there, "rooms of ARCHITECTURE.md and modules of enforcer-user");
}

#[test]
fn only_the_rooms_of_the_table_say_these_words() {
    let rows = table(FILE, "Only X says Y");
    let mut problems = Vec::new();
    for source in sources(&[".rs"]) {
        if source.is_below("tests/tidy") {
            continue;
        }
        for row in &rows {
            let [word, rooms] = row.as_slice() else { panic!("two cells: {row:?}") };
            if rooms.split(", ").any(|room| source.is_below(room)) {
                continue;
            }
            let word = word.trim_matches('`');
            for (number, line) in source.code_lines() {
                if says(line, word) {
                    problems.push(format!("{}:{number}: `{word}`", source.path));
                }
            }
        }
    }
    expect_none("words outside their rooms", &problems);
}

/// True if a line uses a path or a crate, as a whole word.
fn says(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).and_then(|text| text.chars().next_back());
        let after = line.get(at + word.len()..).unwrap_or_default();
        // A crate shows as `word::`; a path is complete in itself.
        let is_used =
            if word.contains("::") { !after.starts_with(is_part) } else { after.starts_with("::") };
        is_used && !before.is_some_and(is_part)
    })
}

#[test]
fn every_room_and_file_that_the_architecture_names_exists() {
    let mut problems = Vec::new();
    for row in table(FILE, "The walk of one request") {
        for path in row.iter().flat_map(|cell| quoted(cell)).filter(|path| path.contains('/')) {
            if !repository().join(&path).exists() {
                problems.push(path);
            }
        }
    }
    for path in quoted(&read(FILE)).into_iter().filter(|path| path.contains("/src/")) {
        if !repository().join(&path).exists() {
            problems.push(path);
        }
    }
    expect_none("paths that ARCHITECTURE.md names and nobody has", &problems);
}

#[test]
fn the_architecture_stays_short() {
    let lines = read(FILE).lines().count();
    assert!(lines <= 250, "ARCHITECTURE.md has {lines} lines, at most 250");
}

#[test]
fn the_core_repeats_the_common_clippy_settings() {
    let core = read("enforcer-core/clippy.toml");
    let common = read("clippy.toml");
    let is_setting = |line: &&str| line.contains('=') && !line.starts_with("disallowed");
    // What is not of the standard library cannot be reached from the core.
    let reaches_core = |line: &&str| !line.contains("path = ") || line.contains("\"std::");
    let missing: Vec<String> = common
        .lines()
        .filter(is_setting)
        .filter(reaches_core)
        .filter(|line| !core.contains(line))
        .map(str::to_owned)
        .collect();
    expect_none("settings that enforcer-core/clippy.toml does not repeat", &missing);
}

#[test]
fn the_exchange_page_names_no_provider() {
    // A provider whose name is an everyday word.
    const WORDS: [&str; 1] = ["together"];
    let names: Vec<&str> = PROVIDERS
        .iter()
        .flat_map(|provider| provider.name.split('-'))
        .filter(|name| !WORDS.contains(name))
        .chain(["claude", "codex", "gpt"])
        .collect();
    assert!(names.contains(&"openai") && names.contains(&"azure"), "{names:?}");
    let mut problems = Vec::new();
    let page = format!("{USER}/enforce");
    for source in sources(&[".rs"]).iter().filter(|source| source.is_below(&page)) {
        for (number, line) in source.code_lines() {
            let line = line.to_ascii_lowercase();
            if names.iter().any(|name| line.contains(name)) {
                problems.push(format!("{}:{number}: {line}", source.path));
            }
        }
    }
    expect_none("providers that only a codec may name", &problems);
}

#[test]
fn a_route_of_the_admin_api_comes_from_the_table_that_says_what_it_needs() {
    let mut problems = Vec::new();
    let (table, mut found) = (format!("{USER}/admin/api.rs"), 0);
    for source in sources(&[".rs"]).iter().filter(|source| source.is_below(USER)) {
        for (number, line) in source.code_lines().filter(|(_, line)| line.contains(".route(")) {
            found += 1;
            if source.path != table || !line.contains(".route(route.path, ") {
                problems.push(format!("{}:{number}: {}", source.path, line.trim()));
            }
        }
    }
    assert_eq!(found, 1, "the line that builds the router");
    expect_none("routes beside the table", &problems);
}
