// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Detectors written as regular expressions.
//!
//! Over bytes and without Unicode classes: fast, small, and it folds ASCII only. Matches are leftmost and
//! longest and do not overlap. A pattern needs a bounded longest match, so that a stream knows how much it
//! has to hold back; a lazy automaton tells exactly which bytes can still become a match.

use std::ops::Range;
use std::sync::Arc;

use regex::bytes::{Regex, RegexBuilder};
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, MatchKind};

use crate::model::limits::MASK_HOLD_BYTES_MAX;

use super::Error;
use super::window::Window;

/// What a pattern remembers from one window to the next; building it anew costs more than a search.
pub(super) type Memory = Option<Cache>;

#[derive(Clone, Debug)]
pub(super) struct Pattern {
    regex: Regex,
    /// Follows every alternative at once: it dies when no match can come any more.
    all: Arc<DFA>,
    /// Longest match, in bytes.
    longest: usize,
}

impl Pattern {
    pub(super) fn compile(detector: &str, pattern: &str) -> Result<Self, Error> {
        let of = || (detector.to_owned(), pattern.to_owned());
        let invalid = |reason: String| {
            let (detector, pattern) = of();
            Error::Syntax { detector, pattern, reason }
        };
        let syntax = syntax::Config::new().unicode(false).utf8(false);
        let hir = syntax::parse_with(pattern, &syntax).map_err(|err| invalid(err.to_string()))?;
        let longest = hir.properties().maximum_len().filter(|len| *len <= MASK_HOLD_BYTES_MAX);
        let Some(longest) = longest else {
            let (detector, pattern) = of();
            return Err(Error::TooLong { detector, pattern, limit: MASK_HOLD_BYTES_MAX });
        };
        if hir.properties().minimum_len().is_none_or(|len| len == 0) {
            let (detector, pattern) = of();
            return Err(Error::Empty { detector, pattern });
        }
        let regex = RegexBuilder::new(pattern).unicode(false).build();
        let regex = regex.map_err(|err| invalid(err.to_string()))?;
        let all = DFA::builder()
            .configure(DFA::config().match_kind(MatchKind::All).skip_cache_capacity_check(true))
            .syntax(syntax)
            .build(pattern)
            .map_err(|err| invalid(err.to_string()))?;
        Ok(Self { regex, all: Arc::new(all), longest })
    }

    pub(super) fn search(
        &self,
        window: Window<'_>,
        cache: &mut Memory,
        found: &mut Vec<Range<usize>>,
    ) -> usize {
        let undecided = self.undecided(window, cache);
        let mut from = window.from;
        while let Some(hit) = self.next(window.text, from, undecided, cache) {
            from = hit.end;
            found.push(hit);
        }
        from.max(undecided)
    }

    /// From where on a match may depend on text that is not there yet.
    pub(super) fn undecided(&self, window: Window<'_>, cache: &mut Memory) -> usize {
        let bytes = window.text.as_bytes();
        if window.is_end {
            return bytes.len();
        }
        // One byte more than the longest match, for what looks ahead.
        let first = window.from.max(bytes.len().saturating_sub(self.longest + 1));
        let cache = cache.get_or_insert_with(|| self.all.create_cache());
        (first..bytes.len()).find(|at| self.is_alive(cache, bytes, *at)).unwrap_or(bytes.len())
    }

    /// The first match from an offset on that starts before what is undecided.
    pub(super) fn next(
        &self,
        text: &str,
        from: usize,
        undecided: usize,
        cache: &mut Memory,
    ) -> Option<Range<usize>> {
        let bytes = text.as_bytes();
        if from >= undecided {
            return None;
        }
        let hit = self.regex.find_at(bytes, from).filter(|hit| hit.start() < undecided)?;
        let cache = cache.get_or_insert_with(|| self.all.create_cache());
        let end = self.longest_end(cache, bytes, hit.start()).unwrap_or(hit.end());
        Some(text.floor_char_boundary(hit.start())..text.ceil_char_boundary(end.max(hit.end())))
    }

    /// True if a match that starts at `at` may depend on bytes that are not there yet.
    fn is_alive(&self, cache: &mut Cache, bytes: &[u8], at: usize) -> bool {
        let input = Input::new(bytes).range(at..).anchored(Anchored::Yes);
        let Ok(mut state) = self.all.start_state_forward(cache, &input) else { return true };
        for byte in bytes.get(at..).unwrap_or_default() {
            match self.all.next_state(cache, state, *byte) {
                Ok(next) if next.is_dead() => return false,
                Ok(next) if next.is_quit() => return true,
                Ok(next) => state = next,
                Err(_) => return true,
            }
        }
        true
    }

    fn longest_end(&self, cache: &mut Cache, bytes: &[u8], at: usize) -> Option<usize> {
        let input = Input::new(bytes).range(at..).anchored(Anchored::Yes);
        self.all.try_search_fwd(cache, &input).ok().flatten().map(|half| half.offset())
    }
}
