// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The secrets that the head of a request carries, for whoever looks for them in what is recorded of it.

use super::reader::Reader;
use super::{Place, basic, is_secret_name, places};

/// Headers that carry a credential and whose names do not say so.
const CREDENTIALS: [&str; 4] =
    ["authorization", "proxy-authorization", "x-amz-security-token", "x-goog-api-key"];
/// Bytes of the shortest item of a subprotocol that is taken for a secret.
const SUBPROTOCOL_BYTES_MIN: usize = 20;

/// The secrets in path, query and headers (names in lower case), as sent and as their readers decode them.
#[must_use]
pub fn secrets_of_head<'h>(
    path: &str,
    query: Option<&str>,
    headers: impl IntoIterator<Item = (&'h str, &'h [u8])>,
) -> Vec<String> {
    let mut secrets = Vec::new();
    for (text, place) in [(path, Place::Text), (query.unwrap_or_default(), Place::Query)] {
        for value in places(text, place) {
            add(&mut secrets, text.get(value).unwrap_or_default());
        }
    }
    for (name, value) in headers {
        let value = String::from_utf8_lossy(value);
        match name {
            "cookie" => value.split(';').for_each(|pair| {
                let value = pair.split_once('=').map_or("", |(_, value)| value);
                add(&mut secrets, value.trim().trim_matches('"'));
            }),
            "sec-websocket-protocol" => value.split(',').for_each(|item| {
                let item = item.trim();
                let key = super::SUBPROTOCOLS.iter().find_map(|known| item.strip_prefix(known));
                let has_digit = item.bytes().any(|byte| byte.is_ascii_digit());
                let is_token = item.len() >= SUBPROTOCOL_BYTES_MIN && has_digit;
                if let Some(secret) = key.or(is_token.then_some(item)) {
                    add(&mut secrets, secret);
                }
            }),
            _ if CREDENTIALS.contains(&name) || is_secret_name(name) => {
                credential(&mut secrets, &value);
            }
            _ => {}
        }
    }
    secrets
}

/// A value with or without a scheme in front; of a user and a password both are secrets, together and each.
fn credential(secrets: &mut Vec<String>, value: &str) {
    let value = value.trim();
    let (scheme, rest) = value.split_once(' ').unwrap_or(("", value));
    add(secrets, rest.trim());
    if scheme.eq_ignore_ascii_case("basic")
        && let Some(pair) = basic(rest.trim()).and_then(|pair| String::from_utf8(pair).ok())
    {
        add(secrets, &pair);
        pair.split(':').for_each(|part| add(secrets, part));
    }
    // Signatures and digests: `Signature=…`, `response="…"`.
    for (name, value) in rest.split(',').filter_map(|field| field.split_once('=')) {
        if is_secret_name(name.trim()) {
            add(secrets, value.trim().trim_matches('"'));
        }
    }
}

/// A secret as it stands, and as it reads behind percent signs.
fn add(secrets: &mut Vec<String>, value: &str) {
    secrets.push(value.to_owned());
    if value.contains('%') {
        secrets.push(Reader::whole(value).decoded());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_secrets_of_a_head_are_those_that_its_readers_find() {
        let headers: [(&str, &[u8]); 8] = [
            ("accept", b"*/*"),
            ("authorization", b"Bearer sk-1"),
            ("authorization", b"Basic dXNlcjpwYXNzd29yZA=="),
            ("cookie", b"a=1; sid=\"s-2\""),
            ("x-api-key", b"k-3"),
            ("sec-websocket-protocol", b"realtime, openai-insecure-api-key.sk-4"),
            ("x-goog-api-key", b"AIza5"),
            ("x-request-id", b"r"),
        ];
        let secrets = secrets_of_head("/bot1:abcdefghi/x", Some("a=b&key=a%2Bb"), headers);
        assert_eq!(
            secrets,
            [
                "1:abcdefghi",
                "a%2Bb",
                "a+b",
                "sk-1",
                "dXNlcjpwYXNzd29yZA==",
                "user:password",
                "user",
                "password",
                "1",
                "s-2",
                "k-3",
                "sk-4",
                "AIza5"
            ]
        );
    }
}
