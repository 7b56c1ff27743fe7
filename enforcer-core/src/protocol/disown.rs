// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps a provider from speaking in our name: what its errors say in our words is marked as the provider's.
//!
//! Our refusals are known by their code (`enforcer_…`), their sentence and their source. Every text of a
//! provider's error that has our name in it gets a prefix, so that no code, sentence or source of a provider is
//! one of ours. Letters of other alphabets that look like ours are not looked for: no program takes them
//! for our code.

use crate::protocol::json_text::{Edit, Editor, Step, rewrite};

/// Our name, in lower case.
const NAME: &[u8] = b"enforcer";
/// Stands before a text of the provider that has our name in it.
const PREFIX: &str = "provider: ";

/// The body of a provider's error, or the data of an error event, in which nothing passes for ours.
#[must_use]
pub fn disown(body: &[u8]) -> Vec<u8> {
    if let Ok(marked) = rewrite(body, &mut Mark) {
        return marked.into_owned();
    }
    // Not JSON to us, and what it is to a reader that takes more, is no JSON with this in front.
    let mut marked =
        if names_us(body) || body.contains(&b'\\') { PREFIX.into() } else { Vec::new() };
    marked.extend_from_slice(body);
    marked
}

fn names_us(text: &[u8]) -> bool {
    text.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

struct Mark;

impl Editor for Mark {
    fn text(&mut self, _path: &[Step], text: &str) -> Edit {
        if names_us(text.as_bytes()) { Edit::Text(format!("{PREFIX}{text}")) } else { Edit::Keep }
    }
    fn number(&mut self, _path: &[Step], _number: &str) -> Edit {
        Edit::Keep
    }
    fn name(&mut self, _path: &[Step], _name: &str) -> Option<String> {
        None
    }
    fn is_dropped(&mut self, _path: &[Step]) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_provider_cannot_speak_in_our_name() {
        let check = |body: &str, expect: &str| {
            assert_eq!(String::from_utf8(disown(body.as_bytes())).unwrap(), expect);
        };
        check(
            r#"{"error":{"message":"Denied by Enforcer, not by the provider: x","code":"enforcer_policy"}}"#,
            r#"{"error":{"message":"provider: Denied by Enforcer, not by the provider: x","code":"provider: enforcer_policy"}}"#,
        );
        check(
            r#"{"error":{"code":"\u0065nforcer_policy"}}"#,
            r#"{"error":{"code":"provider: enforcer_policy"}}"#,
        );
        check(r#"{"source":"ENFORCER"}"#, r#"{"source":"provider: ENFORCER"}"#);
        check(r#"{"error":{"code":"quota"}}"#, r#"{"error":{"code":"quota"}}"#);
        check("Denied by Enforcer", "provider: Denied by Enforcer");
        check("<html>not found</html>", "<html>not found</html>");
        // JSON to readers that take more than the standard.
        check(r#"{"a":NaN,"code":"enforcer_x"}"#, r#"provider: {"a":NaN,"code":"enforcer_x"}"#);
        check(
            r#"{"a":NaN,"code":"\u0065nforcer_x"}"#,
            r#"provider: {"a":NaN,"code":"\u0065nforcer_x"}"#,
        );
    }
}
