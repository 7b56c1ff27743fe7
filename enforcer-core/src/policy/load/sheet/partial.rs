// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What can be read of a file that is not all TOML.
//!
//! One slip must not hide the other problems, and none may be invented because of it. A value that is no TOML leaves
//! everything around it readable. Anything else may have moved what follows into another table, so only tables
//! that end well before it are judged, and no name counts as missing.

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::diagnostic::Diagnostic;
use super::super::sources::SourceFile;

/// A file as TOML, as far as it could be read.
#[derive(Debug)]
pub struct Partial<'s> {
    /// Its tables.
    pub table: Spanned<DeTable<'s>>,
    /// How far they can be judged.
    pub trust: Trust,
    /// Where it is not TOML.
    pub errors: Vec<Diagnostic>,
}

/// How far what was read of a file can be judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Everything that is written was read, so that what is not there is missing.
    pub(super) is_whole: bool,
    /// No table was cut, so that a key that is not there is missing.
    pub(super) has_all_keys: bool,
    /// From this byte on nothing is judged.
    until: usize,
    /// Values that are no TOML.
    broken: Vec<Range<usize>>,
}

impl Trust {
    /// The whole file is TOML.
    pub const FULL: Self =
        Self { is_whole: true, has_all_keys: true, until: usize::MAX, broken: Vec::new() };

    /// Whether a problem is one of what is written.
    pub(super) fn can_judge(&self, found: &Diagnostic) -> bool {
        let Some(span) = &found.span else { return self.is_whole };
        span.end <= self.until && !self.is_broken(span)
    }

    /// Whether a value is no TOML.
    pub(super) fn is_broken(&self, span: &Range<usize>) -> bool {
        let overlaps = |broken: &Range<usize>| span.start < broken.end && broken.start < span.end;
        self.broken.iter().any(overlaps)
    }
}

/// Reads the file as TOML.
///
/// # Errors
/// All places where it is none.
pub fn parse(file: &SourceFile) -> Result<Spanned<DeTable<'_>>, Vec<Diagnostic>> {
    let Partial { table, errors, .. } = parse_partly(file);
    if errors.is_empty() { Ok(table) } else { Err(errors) }
}

/// Reads as much of the file as is TOML.
#[must_use]
pub fn parse_partly(file: &SourceFile) -> Partial<'_> {
    let (table, errors) = DeTable::parse_recoverable(&file.text);
    let mut values = Vec::new();
    scalars(table.get_ref(), &mut values);
    let mut trust = Trust::FULL;
    let errors = errors.iter().map(|error| {
        let span = error.span().unwrap_or(0..0);
        let value = values.iter().find(|value| holds(value, &span));
        // A string that goes on over the end of its line may have swallowed what follows.
        let is_line = |value: &&Range<usize>| {
            file.text.get((*value).clone()).is_some_and(|text| !text.contains('\n'))
        };
        match value.filter(is_line) {
            Some(value) => trust.broken.push(value.clone()),
            None => {
                trust.is_whole = false;
                trust.has_all_keys = false;
                if error.message() != DUPLICATE {
                    trust.until = trust.until.min(sound_until(&file.text, span.start));
                }
            }
        }
        let of_escape = || escape(file, value?, &span, error.message());
        of_escape().unwrap_or_else(|| {
            Diagnostic::error(file, span.clone(), error.message().to_owned())
                .label("not valid TOML")
        })
    });
    let errors = errors.collect();
    Partial { table, trust, errors }
}

/// What the parser says of a key that is written twice: the second one is left out, and nothing moves.
const DUPLICATE: &str = "duplicate key";

/// Whether an error is inside a value. At its edges something else is wrong.
const fn holds(value: &Range<usize>, span: &Range<usize>) -> bool {
    let is_inside = value.start <= span.start && span.end <= value.end;
    let is_at_an_edge =
        span.start == span.end && (span.start == value.start || span.end == value.end);
    is_inside && !is_at_an_edge
}

/// Places of all values that hold no others.
fn scalars(table: &DeTable<'_>, found: &mut Vec<Range<usize>>) {
    let mut open: Vec<&Spanned<DeValue<'_>>> = table.values().collect();
    while let Some(value) = open.pop() {
        match value.get_ref() {
            DeValue::Table(table) => open.extend(table.values()),
            DeValue::Array(items) => open.extend(items.iter()),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => found.push(value.span()),
        }
    }
}

/// The end of what an error at this byte cannot have changed: before the last table but one, since the last head may
/// itself have been read as a part of what is open before it.
fn sound_until(text: &str, error: usize) -> usize {
    let before = text.get(..error).unwrap_or(text);
    let head = |before: &str| before.rfind("\n[").map_or(0, |newline| newline + 1);
    // The line of the error may be the head of a table.
    let line = before.rfind('\n').map_or(0, |newline| newline + 1);
    let last = if text.get(line..).is_some_and(|line| line.starts_with('[')) {
        line
    } else {
        head(before)
    };
    head(text.get(..last.saturating_sub(1)).unwrap_or_default())
}

/// A backslash that begins no escape: nearly always of a pattern, which wants single quotes.
fn escape(
    file: &SourceFile,
    value: &Range<usize>,
    at: &Range<usize>,
    message: &str,
) -> Option<Diagnostic> {
    let written = file.text.get(value.clone())?;
    let inner = written.strip_prefix('"')?.strip_suffix('"')?;
    let begin = at.start.checked_sub(1).filter(|_| message.starts_with("missing escaped value"))?;
    let sign = file.text.get(at.start..)?.chars().next()?;
    let span = begin..at.start + sign.len_utf8();
    let found = Diagnostic::error(file, span, format!("`\\{sign}` is not an escape"));
    let found = found.label("in double quotes a backslash begins one");
    Some(if inner.contains('\'') {
        found.help("write each backslash twice")
    } else {
        found.help(format!("use single quotes: `'{inner}'`"))
    })
}
