// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.toml` against `policy.toml`, key by key.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;
use toml::de::DeTable;

use super::super::super::load::sheet;
use super::super::super::load::sources::INVENTORY_FILE;
use super::super::super::load::sources::Sources;
use super::super::cases::request::json;

/// A key that is new, gone, or says something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InventoryChange {
    /// Where: `endpoints.openai.hosts`, or `agents.support` for all of a new or gone entry.
    pub key: String,
    /// What the old bundle says; nothing if it has no such entry, or leaves it at the default.
    pub old: Option<Value>,
    /// What the new one says.
    pub new: Option<Value>,
}

/// What a key says that is not there.
const DEFAULTS: &[(&str, &str)] = &[
    ("mode", "\"enforce\""),
    ("record", "\"full\""),
    ("agents.capture", "\"all\""),
    ("agents.env", "[]"),
    ("agents.env_exclude", "[]"),
    ("agents.launch", "\"confined\""),
    ("budgets.answer_tokens", "16384"),
    ("endpoints.ports", "[443]"),
    ("endpoints.protocol", "\"http\""),
    ("endpoints.tls", "\"inspect\""),
    ("masks.style", "\"label\""),
];

/// Entries by name, each a table of keys; under `""` what stands outside of all sections.
type Entries = BTreeMap<(String, String), BTreeMap<String, Value>>;

pub(super) fn compare(old: &Sources, new: &Sources) -> Vec<InventoryChange> {
    let (old, new) = (read(old), read(new));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    names.into_iter().flat_map(|name| entry(name, old.get(name), new.get(name))).collect()
}

fn entry(
    (section, name): &(String, String),
    old: Option<&BTreeMap<String, Value>>,
    new: Option<&BTreeMap<String, Value>>,
) -> Vec<InventoryChange> {
    let place = if section.is_empty() { String::new() } else { format!("{section}.{name}") };
    let (Some(old), Some(new)) = (old, new) else {
        let all = |entry: Option<&BTreeMap<String, Value>>| {
            entry.map(|entry| Value::Object(entry.clone().into_iter().collect()))
        };
        return vec![InventoryChange { key: place, old: all(old), new: all(new) }];
    };
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
    let change = |key: &String| InventoryChange {
        key: if place.is_empty() { key.clone() } else { format!("{place}.{key}") },
        old: old.get(key).cloned(),
        new: new.get(key).cloned(),
    };
    changed.map(change).collect()
}

fn read(sources: &Sources) -> Entries {
    let mut entries = Entries::from([((String::new(), String::new()), BTreeMap::new())]);
    let Some(file) = sources.file(INVENTORY_FILE) else { return entries };
    let Ok(table) = sheet::parse(file) else { return entries };
    for (key, value) in table.get_ref() {
        let section = key.get_ref().to_string();
        match value.get_ref().as_table() {
            Some(named) => read_section(&section, named, &mut entries),
            None => put(&mut entries, ("", ""), &section, json(value.get_ref())),
        }
    }
    entries
}

fn read_section(section: &str, named: &DeTable<'_>, entries: &mut Entries) {
    for (name, value) in named {
        let name = name.get_ref().to_string();
        entries.entry((section.to_owned(), name.clone())).or_default();
        for (key, value) in value.get_ref().as_table().into_iter().flatten() {
            // Which rules a group is named by is told where they apply.
            if key.get_ref() != "groups" {
                put(entries, (section, &name), key.get_ref(), json(value.get_ref()));
            }
        }
    }
}

/// Lists are sets here: the order of hosts, entries and detectors means nothing.
fn put(entries: &mut Entries, (section, name): (&str, &str), key: &str, mut value: Value) {
    if let Value::Array(items) = &mut value {
        items.sort_by_key(ToString::to_string);
        items.dedup();
    }
    let place = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
    let text = value.to_string();
    let is_default = DEFAULTS.iter().any(|(key, default)| *key == place && *default == text);
    if !is_default {
        let entry = entries.entry((section.to_owned(), name.to_owned())).or_default();
        entry.insert(key.to_owned(), value);
    }
}
