// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Problems of a bundle, drawn with the lines they are in.

use std::fmt;
use std::io;

use enforcer_core::policy::{Diagnostic, Severity, Sources};
use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, SourceCode};

use super::Streams;

/// A problem as it is drawn: with the lines of its file.
#[derive(Debug)]
struct Drawing<'d> {
    found: &'d Diagnostic,
    source: Option<NamedSource<String>>,
}

impl fmt::Display for Drawing<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&visible(&self.found.message))
    }
}

impl std::error::Error for Drawing<'_> {}

impl miette::Diagnostic for Drawing<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.found.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help(&self) -> Option<Box<dyn fmt::Display + '_>> {
        let help = self.found.help.as_ref()?;
        Some(Box::new(visible(help)))
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        let span = self.found.span.clone()?;
        let label = (!self.found.label.is_empty()).then(|| visible(&self.found.label));
        Some(Box::new(std::iter::once(LabeledSpan::new_with_span(label, span))))
    }
}

/// Draws problems with source lines and carets.
///
/// # Errors
/// Only if writing fails.
pub fn draw(found: &[Diagnostic], sources: &Sources, streams: &mut Streams<'_>) -> io::Result<()> {
    let theme =
        if streams.colors { GraphicalTheme::unicode() } else { GraphicalTheme::unicode_nocolor() };
    let handler = GraphicalReportHandler::new_themed(theme).with_links(false).with_width(100);
    for found in found {
        let file = sources.file(&found.file);
        let source = file.map(|file| NamedSource::new(visible(&file.path), visible(&file.text)));
        let mut text = String::new();
        let drawing = Drawing { found, source };
        if handler.render_report(&mut text, &drawing).is_err() {
            text = visible(&format!("{found}\n"));
        }
        writeln!(streams.err, "{}", text.trim_end())?;
    }
    Ok(())
}

/// The same text with signs that a terminal would obey made visible. Of the same length in bytes, so that
/// places stay where they are.
fn visible(text: &str) -> String {
    let show = |c: char| match c {
        '\n' | '\t' => c,
        '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        '\u{61c}' | '\u{80}'..='\u{9f}' => '\u{b7}',
        c if c.is_control() => '?',
        c => c,
    };
    text.chars().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn what_a_terminal_would_obey_is_shown_in_as_many_bytes() {
        let text = "a\u{1b}[31m\u{202e}b\u{61c}\u{9b}\r\u{2069}\n\tä";
        let shown = visible(text);
        assert_eq!(shown, "a?[31m\u{fffd}b··?\u{fffd}\n\tä");
        assert_eq!(shown.len(), text.len());
    }
}
