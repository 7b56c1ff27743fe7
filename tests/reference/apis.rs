// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The APIs: every door of every family, from the tables by which the program finds them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use enforcer_core::protocol::codec::{Door, FAMILIES, Family, Reads};
use enforcer_tests::repository;

const HEAD: &str = "\
# APIs that are understood

<!-- Written by `cargo xtask gen` from the tables by which the program finds the action of a request; a test compares. -->

An endpoint with `protocol = \"…\"` speaks one of these families. Each *door* is one method and path; `{}` is one segment. A request that
no door fits is `http`.

What is read of a request:

- **JSON**: the whole body. Facts come from it, detectors look at every text in it, and masks change them.
- **form**: a multipart form. It passes unread: only its length is known, what it names is no fact, and its texts cannot be masked.
- **head**: method and path; such a request has no body that means anything.

Answers in JSON and streams of events are read in the same way, and can be masked where the
[table of actions](policy-reference.md#actions) says so. An answer of another type passes, and is refused where it would have to be masked.
";

/// What an SDK can send, one request a line.
fn listed(family: &Family) -> Vec<(String, String)> {
    let path = repository().join(format!("tests/fixtures/apis/{}.txt", family.name));
    let text = fs::read_to_string(path).unwrap();
    let line = |line: &str| line.split_once(' ').map(|(method, path)| (method.into(), path.into()));
    text.lines().map(|one| line(one).unwrap()).collect()
}

fn reads(door: &Door) -> &'static str {
    match door.reads {
        Reads::Form => "form",
        Reads::Head => "head",
        Reads::Json(_) => "JSON",
    }
}

#[test]
fn every_request_that_the_sdks_can_send_has_an_action() {
    for (family, count) in [("anthropic", 285), ("openai", 380)] {
        let family = FAMILIES.into_iter().find(|it| it.name == family).unwrap();
        let listed = listed(family);
        assert_eq!(listed.len(), count);
        for (method, path) in listed {
            let filled = path.replace("{}", "id-1");
            let route = family.route(&method, &filled);
            assert!(route.is_some_and(|it| it.action() != "http"), "{method} {path}");
            let door = family.doors.iter().find(|door| door.method == method && door.path == path);
            assert_eq!(route.map(|it| it.door()), door, "{method} {path}");
        }
    }
}

#[test]
fn no_door_stands_twice() {
    for family in FAMILIES {
        let all: BTreeSet<_> = family.doors.iter().map(|door| (door.method, door.path)).collect();
        assert_eq!(all.len(), family.doors.len(), "{}", family.name);
    }
}

#[test]
fn the_page_of_apis_is_the_tables_of_the_program() {
    let mut page = HEAD.to_owned();
    writeln!(page, "\n| family | doors | whose body is read |\n|---|---|---|").unwrap();
    for family in FAMILIES {
        let is_read = |door: &&Door| matches!(door.reads, Reads::Json(_));
        let read = family.doors.iter().filter(is_read).count();
        let (name, doors) = (family.name, family.doors.len());
        writeln!(page, "| [`{name}`](#{name}) | {doors} | {read} |").unwrap();
    }
    for family in FAMILIES {
        writeln!(page, "\n## {}\n", family.name).unwrap();
        writeln!(page, "| request | action | what is read |\n|---|---|---|").unwrap();
        for door in family.doors {
            let (method, path, action) = (door.method, door.path, door.action);
            writeln!(page, "| `{method} {path}` | `{action}` | {} |", reads(door)).unwrap();
        }
    }
    crate::expect_page("docs/apis.md", &page);
}
