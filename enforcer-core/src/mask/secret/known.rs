// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets that a request was sent with, looked for in everything that is recorded of it: a server may quote them
//! anywhere, without their name.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use crate::model::limits::{KNOWN_SECRET_BYTES_MAX, KNOWN_SECRET_BYTES_MIN, KNOWN_SECRETS_MAX};

use super::super::window::Window;

/// Secrets to be looked for.
#[derive(Clone)]
pub(in super::super) struct Known(Arc<[Needle]>);

impl std::fmt::Debug for Known {
    /// Without the secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}

/// One text, searched for as by Knuth, Morris and Pratt: in linear time whatever it is, and every match is found.
struct Needle {
    bytes: Vec<u8>,
    /// For each number of bytes that match: how many of them begin the text anew.
    shorter: Vec<usize>,
}

impl Known {
    /// The secrets that are long enough, without duplicates; none if there are none.
    pub(in super::super) fn of(secrets: Vec<String>) -> Option<Self> {
        let mut pieces = BTreeSet::new();
        for secret in &secrets {
            let mut rest = secret.as_str();
            while rest.len() >= KNOWN_SECRET_BYTES_MIN && pieces.len() < KNOWN_SECRETS_MAX {
                let end = rest.floor_char_boundary(KNOWN_SECRET_BYTES_MAX.min(rest.len()));
                let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
                pieces.insert(piece);
                rest = after;
            }
        }
        let needles: Arc<[Needle]> = pieces.into_iter().map(Needle::new).collect();
        (!needles.is_empty()).then_some(Self(needles))
    }

    pub(in super::super) fn search(
        &self,
        window: Window<'_>,
        found: &mut Vec<Range<usize>>,
    ) -> usize {
        let next = self.0.iter().map(|needle| needle.search(window, found)).min();
        next.filter(|_| !window.is_end).unwrap_or(window.text.len())
    }
}

impl Needle {
    fn new(text: &str) -> Self {
        let bytes = text.as_bytes().to_vec();
        let mut needle = Self { bytes, shorter: vec![0, 0] };
        let mut length = 0;
        for byte in text.bytes().skip(1) {
            length = needle.after(length, byte);
            needle.shorter.push(length);
        }
        needle
    }

    /// How many bytes match behind one more byte.
    fn after(&self, mut length: usize, byte: u8) -> usize {
        loop {
            if self.bytes.get(length) == Some(&byte) {
                return length + 1;
            }
            if length == 0 {
                return 0;
            }
            length = self.shorter.get(length).copied().unwrap_or(0);
        }
    }

    /// Adds every match, and returns where one may begin whose end is not there yet.
    fn search(&self, window: Window<'_>, found: &mut Vec<Range<usize>>) -> usize {
        let bytes = window.text.as_bytes();
        let (mut at, mut length) = (window.from, 0);
        while let Some(byte) = bytes.get(at) {
            length = self.after(length, *byte);
            at += 1;
            if length == self.bytes.len() {
                found.push(at - length..at);
                length = self.shorter.get(length).copied().unwrap_or(0);
            }
        }
        at - length
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(secret: &str, text: &str) -> Vec<(usize, usize)> {
        let known = Known::of(vec![secret.to_owned()]).unwrap();
        let mut found = Vec::new();
        known.search(Window { text, from: 0, is_end: true }, &mut found);
        found.into_iter().map(|range| (range.start, range.end)).collect()
    }

    #[test]
    fn every_match_is_found_also_where_several_overlap() {
        assert_eq!(places("abababab", "xababababab"), [(1, 9), (3, 11)]);
        assert_eq!(places("aaaaaaab", "aaaaaaaaab"), [(2, 10)]);
        assert_eq!(places("s3cr3t-é", "a s3cr3t-é"), [(2, 11)]);
    }

    #[test]
    fn what_is_short_is_left_out_and_what_is_long_is_found_in_pieces() {
        assert!(Known::of(vec!["1234567".to_owned(), String::new()]).is_none());
        let long: String = (b'a'..=b'w').cycle().take(3000).map(char::from).collect();
        let hidden: usize = places(&long, &long).iter().map(|(from, to)| to - from).sum();
        assert!(hidden >= long.len(), "{hidden}");
    }
}
