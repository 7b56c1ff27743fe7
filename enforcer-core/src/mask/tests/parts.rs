// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts in several parts.

use proptest::prelude::*;

use super::super::{Builtin, DetectorSet, Masker, Style};
use super::{builtin, fragments, json_fragments, masker, pattern, pieces};

fn check(parts: &[&str], expect: &[&str]) {
    let masked = masker(Style::Label).mask_parts(parts);
    assert_eq!(masked.texts, expect, "{parts:?}");
    assert_eq!(masked.count > 0, parts != expect, "{parts:?}");
}

#[test]
fn a_match_across_parts_goes_and_the_rest_stays_in_its_part() {
    check(&["pay 4111 1111 ", "1111 1111, thanks"], &["pay [credit-card]", ", thanks"]);
    check(&["to ann@", "example.com now"], &["to [email]", " now"]);
    check(&["ann", "@", "", "example", ".com"], &["[email]", "", "", "", ""]);
    check(&["a@b.com", "c@d.com"], &["[email]", ""]);
    check(&["a@b.com ", "c@d.com"], &["[email] ", "[email]"]);
    check(&["nothing ", "here"], &["nothing ", "here"]);
    check(&["ann@example.com"], &["[email]"]);
    check(&[], &[]);
}

#[test]
fn a_part_is_also_read_for_itself() {
    // Together these are a longer number.
    check(&["9", "4111111111111111"], &["9", "[credit-card]"]);
    check(&["see ", r#"{"c":"4111\u00201111 1111 1111"}"#], &["see ", r#"{"c":"[credit-card]"}"#]);
    check(&["see ", r#"{"n":4111111111111111}"#], &["see ", r#"{"n":"[credit-card]"}"#]);
    check(&["see ", r#"{"a":"x\nann@example.com"}"#], &["see ", r#"{"a":"x[email]"}"#]);
    check(&["b.ann@x", ".de y@example.com"], &["[email]", " [email]"]);
}

#[test]
fn parts_of_json_are_followed_as_json() {
    check(&[r#"{"a":"ann\u00"#, r#"40example.com"}"#], &[r#"{"a":"[email]"#, r#""}"#]);
    check(
        &[r#"{"a":"\ud83d"#, r#"\ude00 ann@example.com"}"#],
        &[r#"{"a":"\ud83d"#, r#"\ude00 [email]"}"#],
    );
    check(&[r#"{"n":411111111111"#, "1111}"], &[r#"{"n":"[credit-card]""#, "}"]);
    check(
        &[r#"{"n":tr"#, r#"ue,"a":"4111\u0020"#, r#"1111 1111 1111"}"#],
        &[r#"{"n":tr"#, r#"ue,"a":"[credit-card]"#, r#""}"#],
    );
}

#[test]
fn parts_may_be_put_together_in_several_ways() {
    let masker = masker(Style::Label);
    let parts = ["4111 1111 ", "no", "1111 1111"];
    let masked = masker.mask_readings(&parts, &[vec![0, 1, 2], vec![0, 2], vec![1]]);
    assert_eq!(masked.texts, ["[credit-card]", "no", ""]);
    assert_eq!(masked.count, 1);
    // Two readings that hide the same name it once.
    let masked = masker.mask_readings(&["ann@", "example.com"], &[vec![0, 1], vec![0, 1], vec![0]]);
    assert_eq!((masked.texts.concat().as_str(), masked.count), ("[email]", 1));
    let set = DetectorSet::compile(vec![builtin(Builtin::CREDIT_CARD)]).unwrap();
    let mut look = set.look();
    look.parts(&parts, &[vec![0, 1, 2]]);
    assert!(look.names().is_empty());
    look.parts(&parts, &[vec![0, 2]]);
    assert_eq!(look.names().len(), 1);
}

proptest! {
    #[test]
    fn a_text_in_parts_is_masked_as_the_whole(
        text in prop_oneof![fragments(), json_fragments()],
        cuts in prop::collection::vec(0_usize..9, 1..40),
        style in prop::sample::select(Style::ALL.to_vec()),
    ) {
        prop_assume!(cuts.iter().any(|cut| *cut > 0));
        let masker = masker(style);
        let parts = pieces(&text, &cuts);
        let masked = masker.mask_parts(&parts);
        let whole = masker.mask_text(&text);
        let alone: Vec<_> = parts.iter().map(|part| masker.mask_text(part)).collect();
        prop_assert_eq!(masked.texts.len(), parts.len());
        if parts.len() == 1 || alone.iter().all(|part| part.count == 0) {
            prop_assert_eq!(masked.texts.concat(), whole.text);
            prop_assert_eq!(masked.count, whole.count);
        }
        let is_touched = whole.count > 0 || alone.iter().any(|part| part.count > 0);
        prop_assert_eq!(masked.count > 0, is_touched);
        for (part, text) in parts.iter().zip(&masked.texts) {
            prop_assert!(is_touched || part == text);
        }
    }

    #[test]
    fn what_parts_hide_is_what_detectors_report(
        parts in prop::collection::vec(prop_oneof![fragments(), json_fragments()], 0..5),
        reading in prop::collection::vec(any::<bool>(), 5),
    ) {
        let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
        let some = (0..parts.len()).filter(|index| reading[*index]).collect();
        let readings = [(0..parts.len()).collect(), some];
        for spec in [builtin(Builtin::EMAIL), builtin(Builtin::CREDIT_CARD)] {
            let set = DetectorSet::compile(vec![spec.clone()]).unwrap();
            let masker = Masker::new(vec![(spec, Style::Label)]).unwrap();
            let masked = masker.mask_readings(&parts, &readings);
            let mut look = set.look();
            look.parts(&parts, &readings);
            prop_assert_eq!(masked.count > 0, !look.names().is_empty());
            prop_assert_eq!(masked.count > 0, masked.texts != parts);
        }
    }

    #[test]
    fn no_cut_protects_a_match(
        before in fragments(),
        after in fragments(),
        secret in prop::sample::select(vec!["ann@example.com", "4111 1111 1111 1111", "EMP-123456"]),
        cuts in prop::collection::vec(1_usize..30, 1..40),
    ) {
        let text = format!("{before}|{secret}|{after}");
        let around = before.matches(secret).count() + after.matches(secret).count();
        prop_assume!(around == 0);
        let layers = vec![
            (builtin(Builtin::EMAIL), Style::Hash),
            (builtin(Builtin::CREDIT_CARD), Style::Label),
            (pattern("employee-id", r"EMP-\d{6}"), Style::Label),
        ];
        let masked = Masker::new(layers).unwrap().mask_parts(&pieces(&text, &cuts)).texts.concat();
        prop_assert!(!masked.contains(secret), "{}", masked);
    }
}
