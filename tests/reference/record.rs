// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The record: each event and each of its fields.

use enforcer_core::record::{Event, Hook};
use serde_json::json;

use crate::page::{Page, Plain};
use crate::round::Round;
use crate::types::{self, Field, Shape, Variant};

/// Where the types of the record are.
pub(crate) const PLACES: &[&str] = &[
    "enforcer-core/src/model",
    "enforcer-core/src/record",
    "enforcer-core/src/budget.rs",
    "enforcer-core/src/budget/amount.rs",
];

/// Types that are a text or a number.
pub(crate) const PLAIN: &[Plain] = &[
    ("AgentName", "text: an agent of the bundle", r#""a""#),
    ("ApprovalName", "text: an approval of the bundle", r#""a""#),
    ("BudgetName", "text: a budget of the bundle", r#""a""#),
    ("CredentialName", "text: a credential of the bundle", r#""a""#),
    ("DetectorName", "text: a detector", r#""a""#),
    ("EndpointName", "text: an endpoint of the bundle", r#""a""#),
    ("ExchangeId", "text: an exchange", r#""0193f5a1b2c3d4e5-7""#),
    ("MaskName", "text: a mask of the bundle", r#""a""#),
    ("PolicyVersion", "text: a version of a bundle", r#""a""#),
    ("Recorded", "text, masked", r#""a""#),
    ("RuleId", "text: the `@id` of a rule", r#""a""#),
    ("SessionId", "text: a session", r#""0193f5a1b2c3d4e5""#),
    ("String", "text", r#""a""#),
    ("UnixMillis", "number: milliseconds since 1970, UTC", "7"),
    ("bool", "`true` or `false`", "true"),
    ("i64", "number", "7"),
    ("u16", "number", "7"),
    ("u32", "number", "7"),
    ("u64", "number", "7"),
];

const HEAD: &str = "\
# Record reference

<!-- Written by `cargo xtask gen` from the types that the program writes; a test compares. Change the sources. -->

The record is a sequence of events for each session. Each event is a JSON object. `enforcer session show ID --output json`
prints the events of a session, and the admin API returns them. [ADR 0003](adr/0003-what-is-stored.md) describes what is
masked before an event is stored; the [glossary](glossary.md) explains the terms.

A field marked *not always* is left out when it does not apply or when its value was not known. *Text, masked* is a text in
which everything that the masks and detectors name is replaced. Readers must ignore fields that they do not know, because
later versions add fields. The meaning of a field never changes.
";

fn variants(page: &Page<'_>) -> Vec<Variant> {
    match &page.named("EventBody").shape {
        Shape::OneOf { variants, .. } => variants.clone(),
        Shape::Object(_) | Shape::Same(_) => panic!("`EventBody` is one of several"),
    }
}

fn fields_of(page: &Page<'_>, name: &str) -> Vec<Field> {
    match &page.named(name).shape {
        Shape::Object(fields) => fields.clone(),
        Shape::OneOf { .. } | Shape::Same(_) => panic!("`{name}` is an object"),
    }
}

fn reference(page: &Page<'_>) -> String {
    let mut text = HEAD.to_owned();
    text += "\n## Every event\n";
    let envelope: Vec<Field> =
        fields_of(page, "Event").into_iter().filter(|field| !field.is_flat).collect();
    page.table(&envelope, &mut text);
    text += "| `event` | text | What happened: one of the events below. |\n";
    text += "\n## Events\n";
    let mut all = envelope;
    for variant in variants(page) {
        text += &format!("\n### {}\n\n{}\n", variant.word, variant.docs);
        page.variant(&variant, &mut text);
        all.extend(inner(page, &variant));
    }
    text += "\n## Objects and words in events\n";
    page.sections(&all, &mut text);
    for name in ["Hook", "Refusal"] {
        page.section(name, &mut text);
    }
    text
}

/// The fields of one event.
fn inner(page: &Page<'_>, variant: &Variant) -> Vec<Field> {
    use crate::types::{Content, Written};
    match &variant.content {
        Content::Nothing => Vec::new(),
        Content::Fields(fields) => fields.clone(),
        Content::Value(Written::Name(name)) => fields_of(page, name),
        Content::Value(_) => panic!("`{}` holds no object", variant.word),
    }
}

#[test]
fn the_page_of_the_record_is_what_the_program_writes() {
    let types = types::read(PLACES);
    let page = Page { types: &types, plain: PLAIN };
    crate::expect_page("docs/record-reference.md", &reference(&page));
}

/// Both ways: what the page names is read and written again, and nothing else is written.
#[test]
fn every_documented_field_is_written_and_no_other() {
    let types = types::read(PLACES);
    let page = Page { types: &types, plain: PLAIN };
    let mut round = Round::default();
    for variant in variants(&page) {
        for body in page.variants_values(Some("event"), &variant) {
            let mut sample = json!({"session": "0193f5a1b2c3d4e5", "sequence": 7, "at": 7});
            sample.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
            round.trip::<Event>(&variant.word, &sample);
        }
    }
    round.expect_all(200);
}

#[test]
fn every_word_of_a_hook_is_documented() {
    let types = types::read(PLACES);
    let Shape::OneOf { variants, .. } = &types["Hook"].shape else {
        panic!("`Hook` is one of several")
    };
    let documented: Vec<&str> = variants.iter().map(|variant| variant.word.as_str()).collect();
    let words: Vec<&str> = Hook::ALL.iter().map(|hook| hook.word()).collect();
    assert_eq!(documented, words);
}
