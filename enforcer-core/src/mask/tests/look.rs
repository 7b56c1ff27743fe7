// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Detectors report what masks would change.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::super::{Builtin, DetectorSet, DetectorSpec, HashKey, Masker, Style, unescaped};
use super::{builtin, fragments, json_fragments, masker, pattern};
use crate::model::limits::MASK_HOLD_BYTES_MAX;

fn specs() -> Vec<DetectorSpec> {
    let employee = pattern("employee-id", r"EMP-\d{6}");
    vec![builtin(Builtin::EMAIL), builtin(Builtin::CREDIT_CARD), employee]
}

fn detected(text: &str) -> String {
    let names = DetectorSet::compile(specs()).unwrap().detect(text);
    names.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

#[test]
fn json_in_a_text_need_not_be_perfect_to_be_looked_into() {
    let card = r#"{"c":"4111\u00201111\u00201111\u00201111"}"#;
    assert_eq!(detected(card), "credit-card");
    assert_eq!(detected(&format!("{card} thanks")), "credit-card");
    assert_eq!(detected(r#"{"c":1,"c":"4111\u00201111\u00201111\u00201111"}"#), "credit-card");
    assert_eq!(detected(card.trim_end_matches('}')), "credit-card");
    assert_eq!(detected(card.trim_end_matches("\"}")), "credit-card");
    assert_eq!(detected(&(r#"{"a":"#.repeat(70) + card + &"}".repeat(70))), "credit-card");
    assert_eq!(detected(&("[".repeat(70) + card)), "credit-card");
    assert_eq!(detected(&card.replace("\"c\"", r#""\ud800""#)), "credit-card");
    assert_eq!(detected(r#"{"c":4.111111111111111e15"#), "credit-card");
    assert_eq!(detected(r#"{"c":4111111111111111e0, x"#), "credit-card");
    assert_eq!(detected(r#"{"4111\u00201111\u00201111\u00201111":1} x"#), "credit-card");
    assert_eq!(detected(r#"[{"to":"ann\u0040example.com"} and "4111\u0020"]"#), "email");
    assert_eq!(detected("[null@example.com]"), "email");
    assert_eq!(detected("nothing"), "");
}

#[test]
fn a_number_too_long_to_be_looked_at_is_reported_by_every_detector() {
    let number = format!("[{}]", "7".repeat(MASK_HOLD_BYTES_MAX + 1));
    assert_eq!(masker(Style::Label).mask_text(&number).text, r#"["[masked]"]"#);
    assert_eq!(detected(&number), "credit-card,email,employee-id");
    // Unless nothing is looked for at all.
    assert!(DetectorSet::default().detect(&number).is_empty());
    assert_eq!(Masker::default().mask_text(&number).count, 0);
    assert_eq!(Masker::default().text_stream().push(&number), number);
}

#[test]
fn a_pattern_may_ask_for_the_quotes_of_json() {
    let secret = pattern("secret", r#""password": ?"\w{8,16}""#);
    let set = DetectorSet::compile(vec![secret]).unwrap();
    assert!(!set.detect(r#"{"password":"hunter2hunter2"}"#).is_empty());
    assert!(set.detect(r#"{"password":"x"}"#).is_empty());
}

#[test]
fn escapes_of_json_are_read_wherever_they_stand() {
    assert_eq!(unescaped(r"a\u0020b\n\/\ud83d\ude00"), "a b\n/\u{1f600}");
    assert_eq!(unescaped(r"C:\x \u12 \ud83dx \"), "C:\\x \\u12 \u{fffd}x \\");
    assert_eq!(unescaped("plain"), "plain");
}

#[test]
fn hashes_have_a_key() {
    let (one, other) = (HashKey::new([1; 32]), HashKey::new([2; 32]));
    let hash = |key, text: &str| {
        masker(Style::Label).with_key(key).with_style(Style::Hash).mask(text).text.into_owned()
    };
    let card = "4111111111111111";
    assert_eq!(hash(one, card), hash(one, card));
    assert_ne!(hash(one, card), hash(other, card));
    let unkeyed = blake3::hash(card.as_bytes()).to_hex();
    assert!(!hash(HashKey::default(), card).contains(unkeyed.get(..10).unwrap()));
    assert_eq!(format!("{:?}", HashKey::new([65; 32])), "HashKey");
    let whole = masker(Style::Hash).with_key(one);
    let mut stream = whole.text_stream();
    let streamed = stream.push("{\"a\":\"ann@exa") + &stream.push("mple.com\"}");
    assert_eq!(streamed, whole.mask_text("{\"a\":\"ann@example.com\"}").text);
}

fn texts() -> impl Strategy<Value = String> {
    let deep = (60_usize..80, json_fragments()).prop_map(|(depth, text)| "[".repeat(depth) + &text);
    let long = json_fragments().prop_map(|text| text + &"1".repeat(MASK_HOLD_BYTES_MAX + 1) + ",");
    prop_oneof![8 => json_fragments(), 4 => fragments(), 1 => deep, 1 => long]
}

proptest! {
    #[test]
    fn what_a_mask_would_change_is_what_a_detector_reports(text in texts(), number in any::<f64>()) {
        let all = DetectorSet::compile(specs()).unwrap().detect(&text);
        let mut each = BTreeSet::new();
        for spec in specs() {
            let is_pattern = spec.name.as_str() == "employee-id";
            let set = DetectorSet::compile(vec![spec.clone()]).unwrap();
            let masker = Masker::new(vec![(spec, Style::Label)]).unwrap();
            let masked = masker.mask_text(&text);
            let is_changed = masked.text != text;
            prop_assert_eq!(is_changed, masked.count > 0);
            let detected = set.detect(&text);
            // A pattern may also match what stands around the strings of JSON.
            let is_plain = is_pattern && masker.mask(&text).count > 0;
            prop_assert_eq!(is_changed || is_plain, !detected.is_empty(), "{}", masked.text);
            each.extend(detected);
            for number in [number.to_string(), format!("{number:e}")] {
                let mut look = set.look();
                look.number(&number);
                prop_assert_eq!(masker.mask_number(&number).count > 0, !look.names().is_empty());
            }
        }
        prop_assert_eq!(all, each);
    }
}
