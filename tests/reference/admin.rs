// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The admin API: every route, who may use it, and what its requests and answers hold.

use std::fmt::Write as _;

use enforcer_user::admin::{self, Needs, ROUTES};
use enforcer_user::store;

use crate::page::{Page, Plain};
use crate::record;
use crate::round::Round;
use crate::types::{self, Field, Written};

/// Where the types are, besides those of the record.
const PLACES: &[&str] = &[
    "enforcer-core/src/policy/decide/environment.rs",
    "enforcer-user/src/admin",
    "enforcer-user/src/approval",
    "enforcer-user/src/store",
];

/// Types that are a text or a number, besides those of the record.
const PLAIN: &[Plain] = &[
    ("Event", "an event: see the [record reference](record-reference.md)", "{}"),
    ("NamePattern", "text: a variable, or the beginning of several with `*`", r#""AWS_*""#),
    ("PathBuf", "text: a path", r#""/a""#),
    ("QuestionId", "number: a question", "7"),
    ("str", "text", r#""a""#),
    ("usize", "number", "7"),
];

const HEAD: &str = "\
# Admin API reference

<!-- Written by `cargo xtask gen` from the routes and types of the program; a test compares. Change the sources. -->

The daemon answers HTTP/1.1 on the Unix socket of the settings (`/run/enforcer/enforcer.sock`). Requests and answers are JSON unless
the table says otherwise. Every `enforcer` command that needs the daemon uses this API, so that another program can do
everything that the command line does:

```sh
curl --silent --unix-socket /run/enforcer/enforcer.sock http://localhost/v1/status
```

The kernel tells the daemon who is asking: the user and the groups of the process that connected. A guarded process is
refused everything, whatever it runs as. The column *who* says what a route needs; root may use every route.

| who | meaning |
|---|---|
| use | a member of the group `enforcer` |
| own | a member of the group `enforcer`, for what belongs to the asking user; a member of the group `enforcer-audit`, for everything |
| audit | a member of the group `enforcer-audit` |
| root | root only |

If a route below refuses a request, the answer holds a [Problem](#problem): 400 for a request that is not valid, 403 if you may
not do it, 404 if there is no such thing, 409 if what you answer is not what you were shown, 500 if something failed inside
Enforcer, 503 if the daemon cannot do it now. What no route takes is answered without such an object, with plain text or nothing:
an unknown path (404), another method (405), or a path, query or body of another form or content type (400, 413, 415, 422).

A field marked *not always* is left out, or is `null`, when it does not apply or when its value is not known. *Text, masked* is a
text in which everything that the masks and detectors name is replaced.

## Routes

| request | who | body | answer | what it does |
|---|---|---|---|---|
";

const fn who(needs: Needs) -> &'static str {
    match needs {
        Needs::Use => "use",
        Needs::Own => "own",
        Needs::Audit => "audit",
        Needs::Change => "root",
    }
}

/// The type that the words of a route name, if they name one.
fn named(words: &str) -> Option<&str> {
    let name = words.strip_prefix("array of ").unwrap_or(words);
    name.starts_with(char::is_uppercase).then_some(name)
}

/// The words of a route for readers.
fn linked(words: &str) -> String {
    match named(words) {
        Some(name) => words.replace(name, &format!("[{name}](#{})", name.to_lowercase())),
        None => words.to_owned(),
    }
}

/// The names of all types that routes name, and of errors.
fn roots() -> Vec<Field> {
    let words = ROUTES.iter().flat_map(|route| route.request.into_iter().chain([route.answer]));
    let names = words.filter_map(named).chain(["Problem"]);
    names
        .map(|name| Field {
            name: name.to_owned(),
            docs: String::new(),
            written: Written::Name(name.to_owned()),
            is_optional: false,
            is_flat: false,
        })
        .collect()
}

fn reference(page: &Page<'_>) -> String {
    let mut text = HEAD.to_owned();
    for route in ROUTES {
        writeln!(
            text,
            "| `{} {}` | {} | {} | {} | {} |",
            route.method.word(),
            route.path,
            who(route.needs),
            route.request.map_or_else(|| "none".to_owned(), linked),
            linked(route.answer),
            route.help,
        )
        .unwrap();
    }
    text += "\n## Objects\n";
    page.sections(&roots(), &mut text);
    text
}

fn all_places() -> Vec<&'static str> {
    record::PLACES.iter().chain(PLACES).copied().collect()
}

fn all_plain() -> Vec<Plain> {
    record::PLAIN.iter().chain(PLAIN).copied().collect()
}

#[test]
fn the_page_of_the_admin_api_is_what_the_program_serves() {
    let (types, plain) = (types::read(&all_places()), all_plain());
    let page = Page { types: &types, plain: &plain };
    crate::expect_page("docs/admin-api-reference.md", &reference(&page));
}

/// Both ways: what the page names is read and written again, and nothing else is written.
#[test]
fn every_documented_field_of_the_admin_api_is_written_and_no_other() {
    let (types, plain) = (types::read(&all_places()), all_plain());
    let page = Page { types: &types, plain: &plain };
    let mut round = Round::default();
    for root in roots() {
        for sample in page.values(&root.written) {
            let name = root.name.as_str();
            match name {
                "AccountStatus" => round.trip::<admin::AccountStatus>(name, &sample),
                "Amount" => round.trip::<enforcer_core::budget::Amount>(name, &sample),
                "Answer" => round.trip::<admin::Answer>(name, &sample),
                "Answered" => round.trip::<admin::Answered>(name, &sample),
                "OpenQuestion" => round.trip::<admin::OpenQuestion>(name, &sample),
                "Problem" => round.trip::<admin::Problem>(name, &sample),
                "SessionSummary" => round.trip::<store::SessionSummary>(name, &sample),
                "ShownQuestion" => round.trip::<admin::ShownQuestion>(name, &sample),
                "StartSession" => round.trip::<admin::StartSession>(name, &sample),
                "StartedSession" => round.trip::<admin::StartedSession>(name, &sample),
                "Status" => round.trip::<admin::Status>(name, &sample),
                "VerifyReport" => round.trip::<store::VerifyReport>(name, &sample),
                // Its events are those of the record, which has a test of its own.
                "EventPage" => {}
                other => panic!("`{other}` is not tried"),
            }
        }
    }
    round.expect_all(100);
}
