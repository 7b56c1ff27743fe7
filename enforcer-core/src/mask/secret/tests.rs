// SPDX-License-Identifier: Apache-2.0 OR MIT

use proptest::prelude::*;

use super::*;
use crate::mask::Masker;

fn masker() -> Masker {
    Masker::default().with_placed_secrets()
}

fn masked(text: &str) -> String {
    masker().mask(text).text.into_owned()
}

#[test]
fn of_a_query_the_secrets_are_hidden_and_names_and_the_rest_stay() {
    for (query, expect) in [
        ("", ""),
        ("alt=sse&model=m", "alt=sse&model=m"),
        ("key=AIzaX", "key=[secret]"),
        ("alt=sse&key=AIzaX&a=b", "alt=sse&key=[secret]&a=b"),
        ("KEY=a&Api_Key=b&apiKey=c", "KEY=[secret]&Api_Key=[secret]&apiKey=[secret]"),
        ("key=a&key=b", "key=[secret]&key=[secret]"),
        ("key=", "key="),
        ("key", "key"),
        ("key==a=", "key=[secret]"),
        ("%6bey=a", "%6bey=[secret]"),
        ("%256Bey=a", "%256Bey=[secret]"),
        ("k%65y%3Da", "k%65y%3D[secret]"),
        ("+key=a", "+key=[secret]"),
        ("%20key+=a", "%20key+=[secret]"),
        ("a=1;key=x;y=z", "a=1;key=[secret]"),
        ("key=a%26b%3dc&d=e", "key=[secret]&d=e"),
        ("key=a\"b{c}'d&e=f", "key=[secret]&e=f"),
        ("auth[token]=a&page_token=b", "auth[token]=[secret]&page_token=b"),
        ("code=a&state=b&grant_type=c", "code=[secret]&state=b&grant_type=c"),
        (
            "sv=2020-08-04&se=2022-06-04T21%3A35%3A54Z&sr=b&sig=wX4%2BQ%3D",
            "sv=2020-08-04&se=2022-06-04T21%3A35%3A54Z&sr=b&sig=[secret]",
        ),
        (
            "X-Amz-Date=20130524T000000Z&X-Amz-Credential=AK%2F1&X-Amz-Security-Token=t&X-Amz-Signature=ae",
            "X-Amz-Date=20130524T000000Z&X-Amz-Credential=[secret]&X-Amz-Security-Token=[secret]&X-Amz-Signature=[secret]",
        ),
        (
            "redirect_uri=https%3A%2F%2Fx%2F%3Faccess_token%3Dabc%26a%3Db&c=d",
            "redirect_uri=https%3A%2F%2Fx%2F%3Faccess_token%3D[secret]%26a%3Db&c=d",
        ),
        (
            "u=https%253A%252F%252Fx%253Fa%253Db%2526key%253Dabc%2526c%253Dd",
            "u=https%253A%252F%252Fx%253Fa%253Db%2526key%253D[secret]%2526c%253Dd",
        ),
        ("u=https://x/?key=abc", "u=https://x/?key=[secret]"),
        ("u=https%3A%2F%2Fann%3Apw%40x%2Fp", "u=https%3A%2F%2F[secret]%40x%2Fp"),
        ("u=https://x/%23access_token=abc", "u=https://x/%23access_token=[secret]"),
    ] {
        assert_eq!(hide_in_query(query), expect, "{query}");
        assert_eq!(hide_in_query(expect), expect, "again");
    }
}

#[test]
fn in_a_text_the_secrets_of_urls_and_headers_are_hidden() {
    for (text, expect) in [
        ("GET /v1?key=a HTTP/1.1", "GET /v1?key=[secret] HTTP/1.1"),
        (r#"{"u":"/x?key=a","n":1}"#, r#"{"u":"/x?key=[secret]","n":1}"#),
        (r#"{\"u\":\"/x?key=a\"}"#, r#"{\"u\":\"/x?key=[secret]\"}"#),
        ("<a href=\"/?a=b&amp;token=c\">", "<a href=\"/?a=b&amp;token=[secret]\">"),
        ("https://x/#access_token=a&b=c", "https://x/#access_token=[secret]&b=c"),
        ("postgres://ann:p@ss@db/x", "postgres://[secret]@db/x"),
        ("https://host/@user", "https://host/@user"),
        ("https://host?mail=a@b.example", "https://host?mail=a@b.example"),
        ("curl --api-key=abc --model=m", "curl --api-key=[secret] --model=m"),
        ("Authorization: Bearer abc-12345", "Authorization: Bearer [secret]"),
        ("bearer%20abc-12345", "bearer%20[secret]"),
        ("a bearer of responsibilities", "a bearer of responsibilities"),
        ("Proxy: Basic dXNlcjpwYXNz.", "Proxy: Basic dXNlcjpwYXNz."),
        ("Proxy: Basic dXNlcjpwYXNz", "Proxy: Basic [secret]"),
        ("basic understanding", "basic understanding"),
        ("Set-Cookie: sid=a; Path=/\nDate: b", "Set-Cookie: [secret]\nDate: b"),
        ("a cookie: with sugar", "a cookie: with sugar"),
        (
            "realtime, openai-insecure-api-key.sk-x, openai-beta.realtime-v1",
            "realtime, openai-insecure-api-key.[secret], openai-beta.realtime-v1",
        ),
        ("sorted(xs, key=name)", "sorted(xs, key=name)"),
        ("token = next(tokens)", "token = next(tokens)"),
    ] {
        assert_eq!(masked(text), expect, "{text}");
        assert_eq!(masked(expect), expect, "again");
    }
}

#[test]
fn in_a_path_the_segments_that_are_secrets_are_hidden() {
    for (path, expect) in [
        ("/bot110201543:AAHdqTcvCH1vGWJxf/sendMessage", "/bot[secret]/sendMessage"),
        ("/file/bot110201543%3AAAHdqTcvCH1vGWJxf/a.jpg", "/file/bot[secret]/a.jpg"),
        ("/bots/110201543", "/bots/110201543"),
        ("/services/T00000000/B00000000/XXXXXXXXXXXX", "/services/T00000000/B00000000/[secret]"),
        ("/services/list/all/XXXXXXXXXXXX", "/services/list/all/XXXXXXXXXXXX"),
        ("/workflows/T01/A02/123/abcdefghijkl", "/workflows/T01/A02/123/[secret]"),
        ("/triggers/T01/123/abcdefghijkl", "/triggers/T01/123/[secret]"),
        ("/api/webhooks/123/abcdefghijklmnopqrstuvwx", "/api/webhooks/123/[secret]"),
        ("/v1/webhooks/123/events", "/v1/webhooks/123/events"),
        ("/x/IncomingWebhook/0123456789abcdef0123/y", "/x/IncomingWebhook/[secret]/y"),
        ("/hooks/catch/123/abcdef/", "/hooks/catch/123/[secret]/"),
    ] {
        assert_eq!(masked(path), expect, "{path}");
        assert_eq!(masked(expect), expect, "again");
    }
}

#[test]
fn hostile_texts_are_searched_in_linear_time() {
    for piece in ["&", "?key", "bearer+", "://a", "/services/T1", "%25", "basic ", "cookie:", "--"]
    {
        let text = piece.repeat(200_000 / piece.len());
        assert!(masked(&text).len() <= text.len() + 1_000_000, "{piece}");
    }
}

/// A text percent-encoded so often, but for letters and digits.
fn encoded(text: &str, times: usize) -> String {
    let once = |text: String| {
        let byte = |byte: u8| match byte {
            b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        };
        text.bytes().map(byte).collect()
    };
    (0..times).fold(text.to_owned(), |text, _| once(text))
}

/// Names of secrets, in the ways in which somebody may write them.
fn names() -> impl Strategy<Value = String> {
    let plain = prop::sample::select(vec![
        "key",
        "api_key",
        "apikey",
        "access_token",
        "token",
        "sig",
        "Signature",
        "code",
        "client_secret",
        "X-Amz-Signature",
        "X-Goog-Signature",
        "password",
        "auth[token]",
    ]);
    let encode = |(name, which): (&str, Vec<bool>)| {
        let letter = |(index, byte): (usize, u8)| match which.get(index) {
            Some(true) => format!("%{byte:02x}"),
            _ => char::from(byte).to_string(),
        };
        name.bytes().enumerate().map(letter).collect()
    };
    (plain, prop::collection::vec(any::<bool>(), 0..6)).prop_map(encode)
}

proptest! {
    #[test]
    fn no_secret_survives_in_a_query_wherever_it_stands(
        name in names(),
        secret in "[A-Za-z0-9_.~+/-]{12,60}",
        before in "([a-z]{1,5}=[a-zA-Z0-9%._-]{0,9}[&;]){0,4}",
        after in "(&[a-z]{1,5}=[a-zA-Z0-9._-]{0,9}){0,4}",
        times in 0_usize..4,
        is_nested: bool,
    ) {
        let pair = format!("{name}={secret}");
        let pair = if is_nested {
            format!("u={}", encoded(&format!("https://h.example/p?a=b&{pair}&c=d"), times))
        } else {
            pair
        };
        let query = format!("{before}{pair}{after}");
        let shown = hide_in_query(&query).into_owned();
        for depth in 0..4 {
            prop_assert!(!shown.contains(&encoded(&secret, depth)), "{} of {}", shown, query);
        }
        prop_assert!(shown.contains("[secret]"), "{}", shown);
        prop_assert!(shown.ends_with(&after), "{}", shown);
        let again = hide_in_query(&shown);
        prop_assert_eq!(again.as_ref(), shown.as_str());
    }

    #[test]
    fn every_chunking_hides_the_same_secrets(
        parts in prop::collection::vec(prop::sample::select(vec![
            "?", "&", ";", "#", "=", "%3D", "%253d", "%26", "%", "2", "5", "key", "token", "%6bey", "a", "0123456789",
            "://", "@", "/", "/bot", "123:", "abcdefghijkl", "/services/T1/B2/", "Bearer ", "Basic ", "dXNlcjpwYXNz",
            "Cookie: ", "a=b", "\n", " ", "\"", "é", "openai-insecure-api-key.", "--", "[secret]",
        ]), 0..24),
        cuts in prop::collection::vec(1_usize..7, 1..20),
        known in "(key|token|0123456789){1,3}",
    ) {
        let masker = masker().with_known_secrets(vec![known]);
        let text = parts.concat();
        let (mut rest, mut out, mut stream) = (text.as_str(), String::new(), masker.stream());
        for cut in cuts.iter().cycle() {
            let (piece, tail) = rest.split_at(rest.ceil_char_boundary(rest.len().min(*cut)));
            out += &stream.push(piece);
            rest = tail;
            if rest.is_empty() {
                break;
            }
        }
        out += &stream.finish();
        prop_assert_eq!(out, masker.mask(&text).text);
    }

    #[test]
    fn a_known_secret_is_found_wherever_it_stands(
        secret in "[a-z0-9é]{8,40}", before in "[a-z0-9é \"]{0,60}", after in "[a-z0-9é \"]{0,60}",
    ) {
        let masker = Masker::default().with_known_secrets(vec![secret.clone()]);
        let text = format!("{before}{secret}{after}");
        prop_assert!(!masker.mask(&text).text.contains(&secret));
    }
}
