// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The reference names everything that the loader knows, and says something of each.

use std::collections::BTreeSet;

use crate::protocol::codec::FAMILIES;

use super::super::compile::compile;
use super::super::desk::cases;
use super::super::desk::reference::CASE_KEYS;
use super::super::desk::reference::actions::declared;
use super::super::desk::reference::reference;
use super::super::load::annotations::ANNOTATIONS;
use super::super::load::schema::{ACTION_GROUPS, ACTIONS, action_names, schema_text};
use super::{INVENTORY, sources};

#[test]
fn every_action_and_every_fact_of_it_stands_in_the_reference_with_what_it_is() {
    let text = reference();
    for action in ACTIONS {
        let head = format!("\n### `{}`\n\n", action.name);
        let (_, rest) = text.split_once(&head).unwrap_or_else(|| panic!("no {}", action.name));
        let part = rest.split("\n#").next().unwrap_or_default();
        assert!(!part.starts_with(" In"), "{}: nothing is said of it", action.name);
        for name in action.facts.iter().map(|fact| fact.name).chain(["detected"]) {
            let row = part.lines().find(|line| line.starts_with(&format!("| `context.{name}` |")));
            let row = row.unwrap_or_else(|| panic!("{}: no row for {name}", action.name));
            assert!(row.split('|').all(|cell| cell.is_empty() || !cell.trim().is_empty()), "{row}");
        }
    }
    for (group, _) in ACTION_GROUPS {
        assert!(text.contains(&format!("\n| `{group}` |")), "{group}");
    }
    for annotation in ANNOTATIONS {
        assert!(text.contains(&format!("\n| `@{}` |", annotation.name)), "{}", annotation.name);
    }
}

#[test]
fn the_schema_declares_exactly_the_actions_and_groups_of_the_tables() {
    let declared: BTreeSet<&str> =
        declared(schema_text()).iter().map(|declared| declared.name).collect();
    assert_eq!(declared, action_names().collect());
}

#[test]
fn every_action_has_a_door_and_every_door_an_action() {
    let doors = FAMILIES.iter().flat_map(|family| family.doors);
    let named: BTreeSet<&str> = doors.map(|door| door.action).collect();
    // Without a door: what is judged on the wire, and what stands in answers.
    let on_the_wire = ["connect", "http", "opaque", "tool_call"];
    let all: BTreeSet<&str> = ACTIONS
        .iter()
        .map(|action| action.name)
        .filter(|name| !on_the_wire.contains(name))
        .collect();
    assert_eq!(named, all);
}

#[test]
fn the_keys_of_cases_in_the_reference_are_those_that_are_read() {
    let case = "[[case]]\nzzzzzzzz = 1\nname = \"x\"\nagent = \"support\"\nendpoint = \"openai\"\n\
        request = { zzzzzzzz = 1, method = \"GET\", path = \"/\" }\nexpect = { zzzzzzzz = 1, effect = \"deny\" }\n";
    let bundle = sources(&[("policy.toml", INVENTORY), ("cases/a.toml", case)]);
    let policy = compile(&bundle).expect("valid").policy;
    let found = cases::run(&policy, &bundle).expect_err("unknown keys").0;
    let help = found.iter().filter(|found| found.message == "unknown key `zzzzzzzz`");
    let known: BTreeSet<BTreeSet<&str>> = help
        .map(|found| found.help.as_deref().and_then(|help| help.strip_prefix("known: ")))
        .map(|help| help.expect("a list").split(", ").map(|key| key.trim_matches('`')).collect())
        .collect();
    let documented = CASE_KEYS.map(|(_, keys)| keys.iter().map(|(key, _)| *key).collect());
    assert_eq!(known, documented.into_iter().collect());
}
