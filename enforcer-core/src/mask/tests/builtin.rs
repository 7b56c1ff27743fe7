// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The table of built-in detectors: each finds its kind, and not what only resembles it.

use proptest::prelude::*;

use super::super::{Builtin, DetectorSet, Masker, Style};
use super::{builtin, fragments, same_in_pieces};
use crate::model::limits::MASK_LONG_BYTES_MAX;

/// One example of each kind that is a secret, as its provider writes it; none of them was ever valid.
const EXAMPLES: [(&str, &str); 16] = [
    ("anthropic-key", "sk-ant-api03-R2D2c3poR2D2c3poR2D2c3poR2D2c3po_R2D2c3po-R2D2AA"),
    ("aws-access-key", "AKIAIOSFODNN7EXAMPLE"),
    ("aws-access-key", "ASIAIOSFODNN7EXAMPLE"),
    ("github-token", "ghp_0123456789abcdefghijABCDEFGHIJ012345"),
    ("github-token", "ghs_0123456789abcdefghijABCDEFGHIJ012345"),
    (
        "github-token",
        "github_pat_11ABCDEFG0aBcDeFgHiJkL_0123456789abcdefghijABCDEFGHIJ0123456789abcdefghijABCDEFGHI",
    ),
    ("google-api-key", "AIzaSyA0123456789abcdefghijABCDEFGHIJ01"),
    ("jwt", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.c2lnbmF0dXJlLW9mLW5vYm9keQ"),
    ("openai-key", "sk-0123456789abcdefghijT3BlbkFJ0123456789abcdefghij"),
    ("openai-key", "sk-proj-0123456789_abcdefghij-ABCDEFGHIJ0123T3BlbkFJabcdefghij-ABCDEFGHIJ"),
    ("openai-key", "sk-svcacct-0123456789_abcdefghij-ABCDEFGHIJ"),
    ("slack-token", "xoxb-123456789012-1234567890123-0123456789abcdefghijABCD"),
    ("slack-token", "xoxe.xoxp-1-0123456789abcdefghij"),
    ("stripe-key", "sk_live_0123456789abcdefghijABCD"),
    ("stripe-key", "rk_live_0123456789abcdefghijABCD"),
    (
        "private-key",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEogIBAAKCAQEA0123\n-----END RSA PRIVATE KEY-----",
    ),
];

fn secrets() -> Masker {
    let layers = Builtin::ALL.into_iter().filter(|it| it.is_secret());
    Masker::new(layers.map(|it| (builtin(it), Style::Label)).collect()).unwrap()
}

fn check(text: &str, expect: &str) {
    assert_eq!(secrets().mask_text(text).text, expect, "{text}");
}

#[test]
fn the_table_is_in_order_and_every_secret_has_an_example() {
    assert!(Builtin::ALL.is_sorted_by_key(|it| it.name()));
    for it in Builtin::ALL.into_iter().filter(|it| it.is_secret()) {
        assert!(EXAMPLES.iter().any(|(name, _)| *name == it.name()), "{}", it.name());
    }
    let set = DetectorSet::compile(Builtin::ALL.map(builtin).to_vec()).unwrap();
    for (name, example) in EXAMPLES {
        let found: Vec<String> = set.detect(example).iter().map(ToString::to_string).collect();
        assert_eq!(found, [name], "{example}");
    }
}

#[test]
fn a_secret_is_found_wherever_it_stands_in_a_text() {
    for (name, secret) in EXAMPLES {
        check(&format!("key: {secret}, and so on"), &format!("key: [{name}], and so on"));
        check(&format!("KEY={secret}\nX=1"), &format!("KEY=[{name}]\nX=1"));
        check(&format!("\"{secret}\""), &format!("\"[{name}]\""));
        let json = serde_json::json!({ "a": format!("x\n{secret}\ty") }).to_string();
        let masked = serde_json::json!({ "a": format!("x\n[{name}]\ty") }).to_string();
        check(&json, &masked);
        // JSON in a text, where the letter of an escape stands before the secret.
        let escaped = format!("see {json}");
        let left = secrets().mask_text(&escaped).text.into_owned();
        assert!(!left.contains(secret.get(4..).unwrap()) && left.contains(name), "{left}");
        check(
            &format!("_{secret}"),
            &if secret.starts_with("sk-0") { format!("[{name}]") } else { format!("_[{name}]") },
        );
    }
}

#[test]
fn neither_a_digit_nor_an_escape_in_front_protects_a_key() {
    const KEY: &str = "sk-0123456789abcdefghijT3BlbkFJ0123456789abcdefghij";
    for before in ["9", "\u{1b}[31m", "\\x0a", "?token%3D", "key%0a"] {
        let masked = secrets().mask_text(&format!("{before}{KEY} b")).text.into_owned();
        assert!(masked.ends_with("[openai-key] b"), "{masked}");
    }
    check("xsk-ant-api03-0123456789abcdefghij", "x[anthropic-key]");
    check("xsk-proj-0123456789abcdefghij", "x[openai-key]");
}

#[test]
fn a_private_key_is_found_where_its_blanks_are_encoded() {
    for blank in ["+", "%20", "%2520"] {
        let (begin, end) = ("-----BEGIN RSA PRIVATE KEY-----", "-----END RSA PRIVATE KEY-----");
        let block = format!("{begin}%0ATUlJTUlJ%0A{end}").replace(' ', blank);
        check(&format!("key={block} b"), "key=[private-key] b");
    }
}

#[test]
fn what_only_resembles_a_secret_stays() {
    for text in [
        "AKIAIOSFODNN7EXAMPL",
        "AKIAiosfodnn7example",
        "akiaiosfodnn7example0",
        "ghp_0123456789abcdefghijABCDEFGHIJ01234",
        "ghx_0123456789abcdefghijABCDEFGHIJ012345",
        "github_pat_short",
        "-----BEGIN PUBLIC KEY-----\nMIIEogIBAAKCAQEA0123\n-----END PUBLIC KEY-----",
        "-----BEGIN CERTIFICATE-----\nMIIEogIBAAKCAQEA0123\n-----END CERTIFICATE-----",
        "-----BEGIN private key-----",
        "the line BEGIN PRIVATE KEY begins it",
        "sk-learn, sk-SK, sk-test and task-management-for-everybody-at-work",
        "risk-0123456789abcdefghijABCDEFGHIJ0123456789abcdefgh",
        "sk-project-management-for-everybody-at-work",
        "sk-ant-",
        "xoxb-short",
        "xoxc-123456789012-1234567890123-0123456789abcdefghijABCD",
        "AIza0123456789",
        "sk_test_0123456789abcdefghijABCD",
        "pk_live_0123456789abcdefghijABCD",
        "eyJhbGciOiJIUzI1NiJ9",
        "eyJhbGciOiJIUzI1NiJ9.notjson.c2lnbmF0dXJl",
        "eyJ.eyJ.eyJ",
    ] {
        check(text, text);
    }
}

#[test]
fn of_a_private_key_the_whole_block_goes() {
    let block =
        |label: &str, body: &str| format!("-----BEGIN {label}-----{body}-----END {label}-----");
    for label in ["PRIVATE KEY", "EC PRIVATE KEY", "OPENSSH PRIVATE KEY", "PGP PRIVATE KEY BLOCK"] {
        check(&format!("a {} b", block(label, "\nTUlJ\nTUlJ\n")), "a [private-key] b");
        check(&format!("a {} b", block(label, "\\nTUlJ\\nTUlJ\\n")), "a [private-key] b");
        check(
            &format!("a {} b", block(label, "\r\nProc-Type: 4,ENCRYPTED\r\nTUlJ")),
            "a [private-key] b",
        );
        let json = serde_json::json!([block(label, "\nTUlJ\n"), "b"]).to_string();
        check(&json, "[\"[private-key]\",\"b\"]");
        let twice = format!("x {json} y");
        check(&twice, "x [\"[private-key]\",\"b\"] y");
    }
    let two = format!("{0} and {0}", block("PRIVATE KEY", "\nTUlJ\n"));
    check(&two, "[private-key] and [private-key]");
    // The largest that is in use is less than the bound.
    let large = block("RSA PRIVATE KEY", &"TUlJ".repeat(3200));
    check(&format!("{large} b"), "[private-key] b");
}

#[test]
fn of_a_private_key_without_an_end_all_that_may_belong_to_it_goes() {
    let head = "-----BEGIN PRIVATE KEY-----";
    check(&format!("a {head}\nTUlJTUlJ"), "a [private-key]");
    check(&format!("a {head}"), "a [private-key]");
    check(&format!("a {head}\nTUlJ\n-----END PRIVATE"), "a [private-key]");
    let rest = "é".repeat(MASK_LONG_BYTES_MAX);
    let masked = secrets().mask_text(&format!("{head}{rest}")).text.into_owned();
    let left = masked.strip_prefix("[private-key]").unwrap();
    let hidden = head.len() + rest.len() - left.len();
    assert!((MASK_LONG_BYTES_MAX - 1..=MASK_LONG_BYTES_MAX).contains(&hidden), "{hidden}");
    check(r#"{"a":"-----BEGIN PRIVATE KEY-----\nTUlJ","b":1}"#, r#"{"a":"[private-key]","b":1}"#);
}

#[test]
fn hostile_texts_are_searched_for_secrets_in_linear_time() {
    let masker = secrets();
    for unit in
        ["eyJ", "eyJa.eyJ", "sk-", "sk-ant-", "-----BEGIN ", "PRIVATE KEY-----", "ghp_", "xoxb-"]
    {
        let text = unit.repeat(200_000 / unit.len());
        let mut stream = masker.stream();
        let mut out = String::new();
        for piece in text.as_bytes().chunks(4096) {
            out.push_str(&stream.push(std::str::from_utf8(piece).unwrap()));
        }
        out.push_str(&stream.finish());
        assert!(masker.mask(&text).text == out, "{unit}");
    }
}

fn secret_fragments() -> impl Strategy<Value = String> {
    let parts = [
        "AKIA",
        "IOSFODNN7EXAMPLE",
        "sk-",
        "ant-",
        "proj-",
        "0123456789abcdefghij",
        "ghp_",
        "github_pat_",
        "eyJhbGciOiJIUzI1NiJ9",
        ".",
        "-----BEGIN ",
        "RSA ",
        "PRIVATE KEY-----",
        "-----END ",
        " BLOCK",
        "\n",
        "\\n",
        "xoxb-",
        "AIza",
        "sk_live_",
        "_",
        "é",
        " ",
        "-----",
    ];
    let fragment = prop_oneof![
        6 => prop::sample::select(parts.to_vec()).prop_map(str::to_owned),
        1 => fragments(),
    ];
    prop::collection::vec(fragment, 0..24).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn every_chunking_gives_the_same_text_for_every_built_in_detector(
        text in secret_fragments(),
        filler in prop::sample::select(vec![0, 5, MASK_LONG_BYTES_MAX - 40, MASK_LONG_BYTES_MAX]),
        rest in secret_fragments(),
        cuts in prop::collection::vec(1_usize..9, 1..40),
    ) {
        let masker = Masker::new(Builtin::ALL.map(|it| (builtin(it), Style::Hash)).to_vec()).unwrap();
        let text = format!("{text}{}{rest}", "x".repeat(filler));
        // Long fillers in large pieces, or it would take long.
        let scale = if filler > 5 { 700 } else { 1 };
        let cuts: Vec<usize> = cuts.iter().map(|cut| cut * scale).collect();
        same_in_pieces(&masker, &text, &cuts)?;
    }

    #[test]
    fn no_neighborhood_protects_a_secret(
        before in secret_fragments(), after in secret_fragments(), which in 0..EXAMPLES.len(),
    ) {
        let (_, secret) = EXAMPLES[which];
        let masked = secrets().mask(&format!("{before}|{secret}|{after}")).text.into_owned();
        prop_assert!(!masked.contains(secret), "{}", masked);
    }
}
