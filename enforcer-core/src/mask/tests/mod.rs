// SPDX-License-Identifier: Apache-2.0 OR MIT
mod builtin;
mod look;
mod parts;

use proptest::prelude::*;

use super::{Builtin, DetectorKind, DetectorSet, DetectorSpec, Error, Masker, Style};
use crate::model::DetectorName;

fn builtin(builtin: Builtin) -> DetectorSpec {
    DetectorSpec { name: DetectorName::new(builtin.name()), kind: DetectorKind::Builtin(builtin) }
}

fn pattern(name: &str, pattern: &str) -> DetectorSpec {
    DetectorSpec { name: DetectorName::new(name), kind: DetectorKind::Pattern(pattern.to_owned()) }
}

fn masker(style: Style) -> Masker {
    let layers = vec![
        (builtin(Builtin::EMAIL), style),
        (builtin(Builtin::CREDIT_CARD), style),
        (pattern("employee-id", r"EMP-\d{6}"), style),
    ];
    Masker::new(layers).unwrap()
}

fn check(text: &str, expect: &str) {
    let masked = masker(Style::Label).mask(text);
    assert_eq!(masked.text, expect, "{text}");
    assert_eq!(masked.count > 0, text != expect, "{text}");
}

#[test]
fn an_email_is_found_however_it_stands_in_the_text() {
    check("write to ann@example.com.", "write to [email].");
    check("<ann.lee+x@mail.example.co.uk>", "<[email]>");
    check("'ann@example.com', \"bob@example.org\"", "'[email]', \"[email]\"");
    check("email=ann@example.com&x=1", "email=[email]&x=1");
    check("?to=ann%40example.com", "?to=[email]");
    check("o'brien@example.com", "[email]");
    check("jürgen@müller.de", "[email]");
    check("请联系ann@example.com谢谢", "请联系[email]谢谢");
    check("{\"a\":\"x\\nann@example.com\"}", "{\"a\":\"x[email]\"}");
    check("{\"a\":\"ann\\u0040example.com\"}", "{\"a\":\"[email]\"}");
    check("j\\u00fcrgen@example.com", "[email]");
    check("ann@a.com@b.com", "[email]");
    check("git@github.com:x/y", "[email]:x/y");
}

#[test]
fn what_only_resembles_an_email_stays() {
    for text in ["@ann", "ann@", "ann@host", "a @ b.com", "ann@1.2.3.4", "@@@", "x@.com", "x@-a.b"]
    {
        check(text, text);
    }
}

#[test]
fn a_card_number_is_found_in_one_run_and_in_groups() {
    check("4111111111111111", "[credit-card]");
    check("card 4111 1111 1111 1111, thanks", "card [credit-card], thanks");
    check("4111-1111-1111-1111", "[credit-card]");
    check("3782 822463 10005", "[credit-card]");
    check("4111\u{a0}1111\u{a0}1111\u{a0}1111", "[credit-card]");
    check("4111 1111 1111 1111 12/27", "[credit-card] 12/27");
    check("4111111111111111 123", "[credit-card] 123");
    check("100 4111 1111 1111 1111", "100 [credit-card]");
    check("visa4111111111111111", "visa[credit-card]");
    check("5555555555554444 6011111111111117", "[credit-card] [credit-card]");
}

#[test]
fn what_only_resembles_a_card_number_stays() {
    for text in [
        "4111111111111112",
        "94111111111111111",
        "41111111111111111111",
        "1700000000000",
        "0.4111111111111111",
        "4111  1111  1111  1111",
        "411111111111",
        "2024-01-15 12:00:00",
    ] {
        check(text, text);
    }
}

#[test]
fn a_pattern_takes_the_longest_match() {
    check("id EMP-123456.", "id [employee-id].");
    let layers = vec![(pattern("p", "ab|abcd"), Style::Label)];
    assert_eq!(Masker::new(layers).unwrap().mask("xabcdx").text, "x[p]x");
}

#[test]
fn a_pattern_without_bound_or_sense_is_refused() {
    let compile = |text: &str| DetectorSet::compile(vec![pattern("p", text)]).unwrap_err();
    assert!(matches!(compile("a+"), Error::TooLong { .. }));
    assert!(matches!(compile("a{2000}"), Error::TooLong { .. }));
    assert!(matches!(compile("a?"), Error::Empty { .. }));
    assert!(matches!(compile("a("), Error::Syntax { .. }));
}

#[test]
fn the_styles_are_as_documented() {
    let text = "ann@example.com 4111 1111 1111 1111 EMP-123456";
    let partial = masker(Style::Partial).mask(text).text.into_owned();
    assert_eq!(partial, "[email:example.com] [credit-card:1111] [employee-id]");
    let hash = masker(Style::Hash).mask("ann@example.com ann@example.com").text.into_owned();
    let (first, second) = hash.split_once(' ').unwrap();
    assert_eq!(first, second);
    assert_eq!(first.len(), "[email:]".len() + 10);
}

#[test]
fn overlapping_matches_become_one_in_the_strictest_style() {
    let layers = vec![
        (builtin(Builtin::EMAIL), Style::Partial),
        (pattern("host", r"example\.com/\w{3}"), Style::Label),
    ];
    let masked = Masker::new(layers).unwrap().mask("to ann@example.com/abc now");
    assert_eq!((masked.text.as_ref(), masked.count), ("to [email] now", 1));
}

#[test]
fn the_strictest_style_wins_wherever_it_stands() {
    let email = |style| (builtin(Builtin::EMAIL), style);
    let host = |style| (pattern("host", r"example\.com"), style);
    for layers in
        [vec![email(Style::Hash), host(Style::Label)], vec![email(Style::Label), host(Style::Hash)]]
    {
        assert_eq!(Masker::new(layers).unwrap().mask("ann@example.com").text, "[email]");
    }
}

#[test]
fn a_stream_remembers_what_came_before() {
    let check = |pieces: &[&str], expect: &str| {
        let word = (pattern("word", r"\bAB\b"), Style::Label);
        let layers = vec![word, (builtin(Builtin::CREDIT_CARD), Style::Label)];
        let mut stream = Masker::new(layers).unwrap().stream();
        let mut out: String = pieces.iter().map(|piece| stream.push(piece)).collect();
        out.push_str(&stream.finish());
        assert_eq!(out, expect);
    };
    check(
        &["1234567890123456789012", "4111111111111111"],
        "12345678901234567890124111111111111111",
    );
    check(&["x1.", "4111111111111111"], "x1.4111111111111111");
    check(&["x", "AB", " AB"], "xAB [word]");
}

#[test]
fn detectors_say_what_they_found() {
    let specs = vec![builtin(Builtin::EMAIL), builtin(Builtin::CREDIT_CARD)];
    let set = DetectorSet::compile(specs).unwrap();
    assert!(set.detect("nothing").is_empty());
    let found = set.detect("4111111111111111");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [DetectorName::new("credit-card")]);
}

#[test]
fn a_stream_hands_on_what_cannot_become_a_match() {
    let mut stream = masker(Style::Label).stream();
    assert_eq!(stream.push("Hello, write to an"), "Hello, write to ");
    assert_eq!(stream.push("n@exam"), "");
    assert_eq!(stream.push("ple.com, "), "[email], ");
    assert_eq!(stream.push("EMP"), "");
    assert_eq!(stream.push("TY box "), "EMPTY box ");
    assert_eq!(stream.push("4111 1111"), "");
    assert_eq!(stream.finish(), "4111 1111");
    assert_eq!(stream.count(), 1);
}

#[test]
fn hostile_texts_are_masked_in_linear_time() {
    let masker = masker(Style::Label);
    for unit in
        ["@", "x@", "a@b.", "1", "1234 ", "4111 1111 1111 1111 ", "a.", "\\", "%40", "EMP-12345"]
    {
        let text = unit.repeat(1_000_000 / unit.len());
        let whole = masker.mask(&text);
        let mut stream = masker.stream();
        let mut out = String::new();
        for piece in text.as_bytes().chunks(4096) {
            out.push_str(&stream.push(std::str::from_utf8(piece).unwrap()));
            assert!(out.len() <= text.len() + 64);
        }
        out.push_str(&stream.finish());
        assert!(whole.text == out, "{unit}");
    }
}

fn check_text(text: &str, expect: &str) {
    let masked = masker(Style::Label).mask_text(text);
    assert_eq!(masked.text, expect, "{text}");
    assert_eq!(masked.count > 0, text != expect, "{text}");
}

#[test]
fn json_in_a_text_stays_json() {
    check_text(r#"{"to":"ann@example.com","n":1}"#, r#"{"to":"[email]","n":1}"#);
    check_text(r#"{"to":"x\nann\u0040example.com\u00e9"}"#, r#"{"to":"x\n[email]"}"#);
    check_text(
        r#"{"to":"ann@example.com \u00e9\/\ud83d\ude00"}"#,
        r#"{"to":"[email] \u00e9\/\ud83d\ude00"}"#,
    );
    check_text(
        r#"{"card": 4111111111111111, "b":[true]}"#,
        r#"{"card": "[credit-card]", "b":[true]}"#,
    );
    check_text(r#"{"card":"4111\u0020\u0031111 1111 1111"}"#, r#"{"card":"[credit-card]"}"#);
    check_text(r#"{"ann@example.com":null}"#, r#"{"[email]":null}"#);
    check_text(" [4111 1111 1111 1111]", " [\"[credit-card]\"]");
}

#[test]
fn what_only_begins_like_json_is_a_text() {
    check_text("[note] mail ann@example.com, now", "[note] mail [email], now");
    check_text("[1] card 4111 1111 1111 1111", "[1] card [credit-card]");
    check_text("{name}: 4111111111111111", "{name}: [credit-card]");
    check_text(r#"{"cut off": "ann@example.com"#, r#"{"cut off": "[email]"#);
    check_text(r#"{"half \ud83d\n \x ann@example.com\"#, r#"{"half \ud83d\n \x [email]\"#);
    check_text(r#"{"a": 1 and 4111111111111111"#, r#"{"a": 1 and [credit-card]"#);
    // What begins like a literal and is none.
    check_text("[n@example.com]", "[[email]]");
    check_text("[tru@example.com, null@example.com]", "[[email], [email]]");
    check_text("{false@example.com", "{[email]");
    check_text("[nu", "[nu");
    check_text(r#"[true1,"4111\u00201111 1111 1111"]"#, r#"[true1,"[credit-card]"]"#);
}

fn fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        4 => prop::sample::select(vec![
            "ann", "@", "example", ".", "com", ".com", "%40", "\\u0040", "\\", "n", "-", " ", "ü", "漢",
            "4111", "1111", "4111111111111111", "378282246310005", "5", "0.", "EMP-", "123456", "EMP-1234",
            "@example.com", "ann@", "\u{a0}", ",", "\n", "AB", "ABAB", "xyz",
        ]).prop_map(str::to_owned),
        1 => "\\PC{0,3}",
    ];
    prop::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
}

fn json_fragments() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        3 => prop::sample::select(vec![
            "{", "}", "[", "]", "\"", "\"", "\"", ":", ",", " ", "\\", "\\n", "\\u00e9", "\\ud83d", "\\ude00",
            "\\u0040", "true", "null", "nu", "12", "-1e3", "4111111111111111", "4111 1111 1111 1111",
            "ann@example.com", "ann", "@example.com", "é", "\n", "4.111111111111111e15", "4111\\u00201111",
            "\\u00201111\\u00201111", "\\t",
        ]).prop_map(str::to_owned),
        1 => fragments(),
    ];
    let opening = prop::sample::select(vec!["{\"", "[\"", "{", "", " [", "{\"a\":"]);
    (opening, prop::collection::vec(fragment, 0..16))
        .prop_map(|(o, parts)| o.to_owned() + &parts.concat())
}

/// Cuts a text into pieces of these lengths, over and over.
fn pieces<'t>(text: &'t str, lengths: &[usize]) -> Vec<&'t str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    for length in lengths.iter().cycle() {
        let at = rest.ceil_char_boundary((*length).min(rest.len()));
        let (piece, tail) = rest.split_at(at);
        pieces.push(piece);
        rest = tail;
        if rest.is_empty() {
            break;
        }
    }
    pieces
}

/// Fails unless a text in pieces is masked as the whole text is.
fn same_in_pieces(masker: &Masker, text: &str, cuts: &[usize]) -> Result<(), TestCaseError> {
    let whole = masker.mask(text);
    let mut stream = masker.stream();
    let mut out = String::new();
    for piece in pieces(text, cuts) {
        out.push_str(&stream.push(piece));
    }
    out.push_str(&stream.finish());
    prop_assert_eq!(&whole.text, &out);
    prop_assert_eq!(whole.count, stream.count());
    Ok(())
}

proptest! {
    #[test]
    fn every_chunking_of_json_in_a_text_gives_the_same_text(
        text in json_fragments(),
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let masker = masker(Style::Label);
        let whole = masker.mask_text(&text);
        let mut stream = masker.text_stream();
        let mut out = String::new();
        for piece in pieces(&text, &cuts) {
            out.push_str(&stream.push(piece));
        }
        out.push_str(&stream.finish());
        prop_assert_eq!(&whole.text, &out);
        prop_assert_eq!(whole.count, stream.count());
        let is_json = |text: &str| {
            let value = serde_json::from_str::<serde_json::Value>(text);
            value.is_ok_and(|value| value.is_object() || value.is_array())
        };
        prop_assert!(!is_json(&text) || is_json(&out), "{}", out);
    }

    #[test]
    fn every_chunking_gives_the_same_text(
        text in fragments(),
        cuts in prop::collection::vec(1_usize..7, 1..40),
        style in prop::sample::select(Style::ALL.to_vec()),
    ) {
        let layers = vec![
            (builtin(Builtin::EMAIL), style),
            (builtin(Builtin::CREDIT_CARD), Style::Hash),
            (pattern("employee-id", r"EMP-\d{6}"), style),
            (pattern("odd", r"\bAB{1,3}A?|xy?.\b|^5|1$"), Style::Label),
            (pattern("bytes", r"[^a-z]{3}z"), Style::Partial),
        ];
        let masker = Masker::new(layers).unwrap();
        same_in_pieces(&masker, &text, &cuts)?;
    }

    #[test]
    fn no_neighborhood_protects_a_match(
        before in fragments(),
        after in fragments(),
        secret in prop::sample::select(vec!["ann@example.com", "4111 1111 1111 1111", "EMP-123456"]),
    ) {
        let text = format!("{before}|{secret}|{after}");
        let masked = masker(Style::Label).mask(&text).text.into_owned();
        let around = before.matches(secret).count() + after.matches(secret).count();
        prop_assert!(around > 0 || !masked.contains(secret), "{}", masked);
    }
}
