// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Problems of a bundle, each with its place.
//!
//! Values only: the command line draws them with source lines and carets, the daemon logs them as one line
//! each. The text of a source is not kept here, only the place in it.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::closest::suggestion;
use super::sources::{INVENTORY_FILE, SourceFile};

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The bundle is refused.
    Error,
    /// The bundle works, but something in it does nothing.
    Warning,
}

/// A line and a column, both counted from 1; columns count characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

impl Place {
    /// The place of a byte offset in a text. An offset behind the end is the end.
    #[must_use]
    pub fn of(text: &str, offset: usize) -> Self {
        let before: &str = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
        Self { line, column }
    }
}

/// One problem of a bundle.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
    /// The file, relative to the bundle.
    pub file: String,
    /// Bytes of the file that are wrong; none if the file itself is missing.
    pub span: Option<Range<usize>>,
    /// Where `span` begins.
    pub place: Option<Place>,
    /// What to write beside the caret; may be empty.
    pub label: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// An error at a place in a file.
    #[must_use]
    pub fn error(file: &SourceFile, span: Range<usize>, message: impl Into<String>) -> Self {
        let place = Some(Place::of(&file.text, span.start));
        let file = file.path.clone();
        let (message, span) = (message.into(), Some(span));
        let severity = Severity::Error;
        Self { severity, message, file, span, place, label: String::new(), help: None }
    }

    /// An error without a place, such as a missing file.
    #[must_use]
    pub fn without_place(file: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: message.into(),
            file: file.into(),
            span: None,
            place: None,
            label: String::new(),
            help: None,
        }
    }

    /// The same problem as a warning.
    #[must_use]
    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Sets what stands beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Sets what to do about it.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Sets the help to the known word that was probably meant, or to all there are.
    #[must_use]
    pub fn suggest<'a>(
        mut self,
        written: &str,
        known: impl IntoIterator<Item = &'a str> + Clone,
    ) -> Self {
        self.help = suggestion(written, known);
        self
    }
}

impl Diagnostic {
    /// The text without its severity, for a log, whose lines have a level of their own.
    #[must_use]
    pub fn log_text(&self) -> String {
        self.with_word("")
    }

    fn with_word(&self, word: &str) -> String {
        let place = self.place.map(|place| format!("{}:{}:", place.line, place.column));
        let help = self.help.as_ref().map(|help| format!(" ({help})"));
        let (place, help) = (place.unwrap_or_default(), help.unwrap_or_default());
        format!("{}:{place} {word}{}{help}", self.file, self.message)
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "",
            Severity::Warning => "warning: ",
        };
        f.write_str(&self.with_word(word))
    }
}

/// All problems that made a bundle unusable, in the order of files and places.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// How many of them are errors.
    #[must_use]
    pub fn error_count(&self) -> usize {
        self.0.iter().filter(|found| found.severity == Severity::Error).count()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, found) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            found.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Diagnostics {}

/// Sorts by place and drops what was found twice.
pub(in crate::policy) fn in_order(mut found: Vec<Diagnostic>) -> Vec<Diagnostic> {
    found.sort_by(|left, right| {
        let key = |d: &Diagnostic| (d.file != INVENTORY_FILE, d.file.clone());
        let place = |d: &Diagnostic| d.span.as_ref().map(|span| (span.start, span.end));
        (key(left), place(left), &left.message).cmp(&(key(right), place(right), &right.message))
    });
    found.dedup_by(|left, right| {
        left.file == right.file && left.span == right.span && left.message == right.message
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_says_so_once_and_not_in_a_log_that_says_so_itself() {
        let found = Diagnostic::without_place("policy.toml", "nobody").as_warning().help("add one");
        assert_eq!(found.to_string(), "policy.toml: warning: nobody (add one)");
        assert_eq!(found.log_text(), "policy.toml: nobody (add one)");
        let found = Diagnostic { place: Some(Place { line: 3, column: 1 }), ..found };
        assert_eq!(found.to_string(), "policy.toml:3:1: warning: nobody (add one)");
        assert_eq!(found.log_text(), "policy.toml:3:1: nobody (add one)");
        let error = Diagnostic { severity: Severity::Error, ..found };
        assert_eq!(error.to_string(), error.log_text());
    }
}
