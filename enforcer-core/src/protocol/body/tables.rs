// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Which strings and numbers of an API are no text. Everything else is.
//!
//! A place is a way from the root of a body, its steps joined by `/`: the name of a member, `*` for any item
//! of a list, `**` for any steps or none.

use crate::protocol::json_text::Step;

/// Longest number that is exempt, in digits: seconds since 1970 have ten, a card number thirteen.
const NUMBER_BYTES_MAX: usize = 10;

/// The words, ids, payloads and numbers of an API.
#[derive(Debug)]
pub struct Tables {
    /// Where words stand that the API and its SDKs dispatch on.
    pub word_places: &'static [&'static str],
    /// These words. Another one in such a place is text.
    pub words: &'static [&'static str],
    /// Where ids and names stand that must still fit together after masking. They are masked by hash, whatever the
    /// style of the mask, so that what belonged together still does: the answer of a tool to its call.
    pub name_places: &'static [&'static str],
    /// Where payloads in base64 stand.
    pub payload_places: &'static [&'static str],
    /// Where numbers stand that SDKs dispatch on or account with.
    pub number_places: &'static [&'static str],
    /// Where the provider repeats the answer token by token, in pieces that no detector can join.
    pub token_lists: &'static [&'static str],
}

impl Tables {
    /// Of a body that nobody knows anything about.
    pub const NONE: Self = Self {
        word_places: &[],
        words: &[],
        name_places: &[],
        payload_places: &[],
        number_places: &[],
        token_lists: &[],
    };

    /// Whether a text is a word that is never masked, whatever detectors say.
    #[must_use]
    pub fn is_word(&self, path: &[Step], text: &str) -> bool {
        self.words.contains(&text) && is_one_of(path, self.word_places)
    }

    /// Whether ids or names stand here.
    #[must_use]
    pub fn is_name_place(&self, path: &[Step]) -> bool {
        is_one_of(path, self.name_places)
    }

    /// Whether the API has a payload at this place.
    #[must_use]
    pub fn is_payload_place(&self, path: &[Step]) -> bool {
        is_one_of(path, self.payload_places)
    }

    /// Whether a number is one that SDKs count or time with, and too short for what a detector is there for.
    #[must_use]
    pub fn is_plain_number(&self, path: &[Step], number: &str) -> bool {
        let is_short =
            number.len() <= NUMBER_BYTES_MAX && number.bytes().all(|byte| byte.is_ascii_digit());
        is_short && is_one_of(path, self.number_places)
    }

    /// Where the provider repeats the answer token by token.
    #[must_use]
    pub fn is_token_list(&self, path: &[Step]) -> bool {
        is_one_of(path, self.token_lists)
    }
}

fn is_one_of(path: &[Step], places: &[&str]) -> bool {
    places.iter().any(|place| matches(path, place))
}

fn matches(path: &[Step], place: &str) -> bool {
    let (first, rest) = place.split_once('/').unwrap_or((place, ""));
    match (first, path) {
        ("", []) => true,
        ("**", _) if rest.is_empty() => true,
        ("**", _) => {
            (0..=path.len()).any(|skipped| matches(path.get(skipped..).unwrap_or_default(), rest))
        }
        (name, [Step::Key(key), after @ ..]) => name == key && name != "*" && matches(after, rest),
        (name, [Step::Item(_), after @ ..]) => name == "*" && matches(after, rest),
        (_, []) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_found_by_its_steps() {
        let key = |name: &str| Step::Key(name.to_owned());
        let path = [key("a"), Step::Item(3), key("b")];
        for place in ["a/*/b", "**/b", "**/*/b", "a/**", "**", "a/**/b", "a/*/**/b", "**/a/*/b"] {
            assert!(matches(&path, place), "{place}");
        }
        for place in ["a/*", "*/b", "b", "a/*/b/*", "**/a", "a/b", "", "a/*/b/c", "**/c/**"] {
            assert!(!matches(&path, place), "{place}");
        }
        // What an agent calls `*` is no item.
        assert!(!matches(&[key("a"), key("*"), key("b")], "a/*/b"));
        assert!(matches(&[], "") && !matches(&[], "a"));
    }
}
