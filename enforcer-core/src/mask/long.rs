// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What is longer than a pattern may be, and is known by how it begins: private keys, tokens with a content.
//!
//! It goes on to its end, and never further than [`MASK_LONG_BYTES_MAX`]; what has no end counts up to there, because a
//! key that was cut off is most of a key. Errs to masking.

use regex::bytes::{Regex, RegexBuilder};

use std::ops::Range;

use crate::model::limits::MASK_LONG_BYTES_MAX;

use super::Error;
use super::builtin::Rest;
use super::pattern::{Memory, Pattern};
use super::window::Window;

#[derive(Clone, Debug)]
pub(super) struct Long {
    begin: Pattern,
    /// What ends it; none if it goes on as far as a token does.
    end: Option<Regex>,
}

impl Long {
    pub(super) fn compile(name: &str, begin: &str, rest: Rest) -> Result<Self, Error> {
        let end = match rest {
            Rest::Token => None,
            Rest::Through(pattern) => {
                let regex = RegexBuilder::new(pattern).unicode(false).build();
                Some(regex.map_err(|error| Error::Syntax {
                    detector: name.to_owned(),
                    pattern: pattern.to_owned(),
                    reason: error.to_string(),
                })?)
            }
        };
        Ok(Self { begin: Pattern::compile(name, begin)?, end })
    }

    pub(super) fn search(
        &self,
        window: Window<'_>,
        memory: &mut Memory,
        found: &mut Vec<Range<usize>>,
    ) -> usize {
        let undecided = self.begin.undecided(window, memory);
        let mut from = window.from;
        while let Some(begin) = self.begin.next(window.text, from, undecided, memory) {
            let Some(end) = self.end(window, &begin) else { return begin.start };
            found.push(begin.start..end);
            from = end;
        }
        from.max(undecided)
    }

    /// Where it ends; nothing as long as more text could change that.
    fn end(&self, window: Window<'_>, begin: &Range<usize>) -> Option<usize> {
        let Window { text, is_end, .. } = window;
        let most = begin.start.saturating_add(MASK_LONG_BYTES_MAX);
        let is_all = is_end || text.len() >= most;
        let most = text.floor_char_boundary(most.min(text.len()));
        let rest = text.get(begin.end..most).unwrap_or_default().as_bytes();
        let end = match &self.end {
            Some(end) => end.find(rest).map(|end| end.end()),
            None => rest.iter().position(|byte| !is_token(*byte)),
        };
        match end {
            Some(end) => Some(begin.end + end),
            None => is_all.then_some(most.max(begin.end)),
        }
    }
}

const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')
}
