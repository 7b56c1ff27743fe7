// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Strict reading of a TOML file: every problem is collected, each with its place, and nothing that is not
//! asked for is accepted.
//!
//! Serde would stop at the first problem; a person who writes a bundle wants all of them at once.

mod partial;

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use crate::model::limits::NAME_BYTES_MAX;

use super::closest::closest;
use super::diagnostic::Diagnostic;
use super::sources::SourceFile;

pub use partial::{Partial, Trust, parse, parse_partly};

/// A text and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Word {
    /// The text.
    pub text: String,
    /// Its bytes in the file.
    pub span: Range<usize>,
}

/// One table and where its head stands.
#[derive(Clone, Debug)]
pub struct Section<'s> {
    /// Its keys and values.
    pub table: &'s DeTable<'s>,
    /// The bytes of its name, to point at when a key is missing.
    pub head: Range<usize>,
}

/// The file being read and what was found wrong with it.
#[derive(Debug)]
pub struct Sheet<'s> {
    /// The file.
    pub file: &'s SourceFile,
    /// Its problems so far.
    pub found: Vec<Diagnostic>,
    /// How far what was read of it can be judged.
    trust: Trust,
    /// Keys below which something was not read that may have been meant.
    gaps: BTreeSet<String>,
}

impl<'s> Sheet<'s> {
    /// A file without known problems.
    pub const fn new(file: &'s SourceFile) -> Self {
        Self { file, found: Vec::new(), trust: Trust::FULL, gaps: BTreeSet::new() }
    }

    /// A file of which a part could not be read.
    pub const fn partly(file: &'s SourceFile, trust: Trust) -> Self {
        Self { file, found: Vec::new(), trust, gaps: BTreeSet::new() }
    }

    /// Whether everything was read that is written, or may have been meant, under this key, wherever it stands.
    pub fn has_all(&self, key: &str) -> bool {
        self.trust.is_whole && !self.gaps.contains(key)
    }

    /// The problems that can be judged.
    pub fn finish(self) -> Vec<Diagnostic> {
        let Self { mut found, trust, .. } = self;
        found.retain(|found| trust.can_judge(found));
        found
    }

    /// Reports a problem; the caller may add a label and help.
    pub fn error(&mut self, span: Range<usize>, message: impl Into<String>) -> &mut Diagnostic {
        self.found.push(Diagnostic::error(self.file, span, message));
        let last = self.found.len() - 1;
        #[expect(clippy::indexing_slicing, reason = "one was just pushed")]
        &mut self.found[last]
    }

    /// Reports a problem that is described already.
    pub fn push(&mut self, found: Diagnostic) {
        self.found.push(found);
    }

    /// Reports every key that is not known.
    pub fn only(&mut self, section: &Section<'_>, known: &[&str]) {
        for key in section.table.keys() {
            if !known.contains(&key.get_ref().as_ref()) {
                let meant = closest(key.get_ref(), known.iter().copied());
                self.gaps.extend(meant.map(str::to_owned));
                let found = Diagnostic::error(
                    self.file,
                    key.span(),
                    format!("unknown key `{}`", key.get_ref()),
                )
                .label("not a key of this table")
                .suggest(key.get_ref(), known.iter().copied());
                self.push(found);
            }
        }
    }

    fn wrong(&mut self, value: &Spanned<DeValue<'_>>, expected: &str) {
        let found = kind(value.get_ref());
        let message = format!("expected {expected}, found {found}");
        self.push(
            Diagnostic::error(self.file, value.span(), message).label(format!("{found} here")),
        );
    }

    /// Reports a key that must be there.
    pub fn missing(&mut self, section: &Section<'_>, key: &str) {
        if !self.trust.has_all_keys {
            return;
        }
        let message = format!("missing key `{key}`");
        self.push(
            Diagnostic::error(self.file, section.head.clone(), message)
                .label(format!("needs `{key} = ...`")),
        );
    }

    /// The string under a key; none if it is absent or, reported, something else. The same goes for
    /// the functions below.
    pub fn text(&mut self, section: &Section<'_>, key: &str) -> Option<Word> {
        let value = section.table.get(key)?;
        self.word(value, "a string")
    }

    fn word(&mut self, value: &Spanned<DeValue<'_>>, expected: &str) -> Option<Word> {
        if self.trust.is_broken(&value.span()) {
            return None;
        }
        if let DeValue::String(text) = value.get_ref() {
            return Some(Word { text: text.to_string(), span: value.span() });
        }
        self.wrong(value, expected);
        None
    }

    /// The strings of an array under a key.
    pub fn texts(&mut self, section: &Section<'_>, key: &str) -> Option<Vec<Word>> {
        let array = self.array(section, key, "an array of strings")?;
        let words: Vec<Word> =
            array.iter().filter_map(|value| self.word(value, "a string")).collect();
        if words.len() < array.len() {
            self.gaps.insert(key.to_owned());
        }
        Some(words)
    }

    /// The place of an array under a key that holds nothing.
    pub fn empty_array(&self, section: &Section<'_>, key: &str) -> Option<Range<usize>> {
        let value = section.table.get(key)?;
        let is_empty = matches!(value.get_ref(), DeValue::Array(array) if array.is_empty());
        is_empty.then(|| value.span())
    }

    /// The place of the value under a key.
    pub fn value_span(&self, section: &Section<'_>, key: &str) -> Option<Range<usize>> {
        section.table.get(key).map(Spanned::span)
    }

    fn array<'v>(
        &mut self,
        section: &Section<'v>,
        key: &str,
        expected: &str,
    ) -> Option<&'v DeArray<'v>> {
        let value = section.table.get(key)?;
        if let DeValue::Array(array) = value.get_ref() {
            return Some(array);
        }
        self.gaps.insert(key.to_owned());
        self.wrong(value, expected);
        None
    }

    /// The integer under a key.
    pub fn integer(&mut self, section: &Section<'_>, key: &str) -> Option<(i64, Range<usize>)> {
        let value = section.table.get(key)?;
        self.number(value)
    }

    fn number(&mut self, value: &Spanned<DeValue<'_>>) -> Option<(i64, Range<usize>)> {
        let DeValue::Integer(integer) = value.get_ref() else {
            self.wrong(value, "an integer");
            return None;
        };
        let number = i64::from_str_radix(integer.as_str(), integer.radix()).ok();
        if number.is_none() {
            self.error(value.span(), "integer does not fit in 64 bits");
        }
        number.map(|number| (number, value.span()))
    }

    /// The integers of an array under a key.
    pub fn integers(
        &mut self,
        section: &Section<'_>,
        key: &str,
    ) -> Option<Vec<(i64, Range<usize>)>> {
        let array = self.array(section, key, "an array of integers")?;
        Some(array.iter().filter_map(|value| self.number(value)).collect())
    }

    /// The boolean under a key.
    pub fn boolean(&mut self, section: &Section<'_>, key: &str) -> Option<bool> {
        let value = section.table.get(key)?;
        if let DeValue::Boolean(boolean) = value.get_ref() {
            return Some(*boolean);
        }
        self.wrong(value, "true or false");
        None
    }

    /// The table under a key.
    pub fn section<'v>(&mut self, section: &Section<'v>, key: &str) -> Option<Section<'v>> {
        let (name, value) = section.table.get_key_value(key)?;
        self.as_section(value, name.span())
    }

    fn as_section<'v>(
        &mut self,
        value: &'v Spanned<DeValue<'v>>,
        head: Range<usize>,
    ) -> Option<Section<'v>> {
        if let DeValue::Table(table) = value.get_ref() {
            return Some(Section { table, head });
        }
        self.wrong(value, "a table");
        None
    }

    /// The named tables under a key: `[key.NAME]`.
    pub fn named<'v>(&mut self, section: &Section<'v>, key: &str) -> Vec<(Word, Section<'v>)> {
        let Some(group) = self.section(section, key) else {
            if section.table.contains_key(key) {
                self.gaps.insert(key.to_owned());
            }
            return Vec::new();
        };
        let mut named = Vec::new();
        for (name, value) in group.table {
            let word = Word { text: name.get_ref().to_string(), span: name.span() };
            self.check_name(&word);
            match self.as_section(value, name.span()) {
                Some(section) => named.push((word, section)),
                None => drop(self.gaps.insert(key.to_owned())),
            }
        }
        named.sort_by_key(|(word, _)| word.span.start);
        named
    }

    /// The tables of an array under a key: `[[key]]` or `key = [{..}]`.
    pub fn listed<'v>(&mut self, section: &Section<'v>, key: &str) -> Vec<Section<'v>> {
        let Some(array) = self.array(section, key, "an array of tables") else { return Vec::new() };
        array.iter().filter_map(|value| self.as_section(value, value.span())).collect()
    }

    /// Names end in cgroup folders, headers and records; this set is safe in all of them.
    pub fn check_name(&mut self, word: &Word) {
        if !is_name(&word.text) {
            let message = format!("`{}` is not a name", word.text);
            let found = Diagnostic::error(self.file, word.span.clone(), message);
            self.push(found.help(name_help()));
        }
    }
}

/// What [`is_name`] asks for, in words.
pub fn name_help() -> String {
    format!(
        "1 to {NAME_BYTES_MAX} letters, digits, `.`, `_` or `-`, the first one a letter or digit"
    )
}

/// Whether a text may name something of the bundle.
pub fn is_name(text: &str) -> bool {
    let first_is_plain = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    first_is_plain && text.len() <= NAME_BYTES_MAX && text.bytes().all(is_plain)
}

const fn kind(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "a boolean",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}
