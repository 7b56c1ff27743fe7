// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the demo shows: headings, pairs side by side, marks. Color on a terminal only.

use std::io::{IsTerminal as _, Write as _};

/// Width of the first column of a pair.
const NAME_WIDTH: usize = 16;

/// Where the demo writes.
#[derive(Debug)]
pub(crate) struct Screen {
    is_colored: bool,
}

impl Screen {
    pub(crate) fn new() -> Self {
        let is_colored = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        Self { is_colored }
    }

    /// Begins a part.
    pub(crate) fn heading(&self, text: &str) {
        self.line(&format!("\n{}", self.painted("1;36", text)));
    }

    /// One fact with its name.
    pub(crate) fn pair(&self, name: &str, text: &str) {
        self.line(&format!("  {name:<NAME_WIDTH$} {text}"));
    }

    /// A promise that was checked and held.
    pub(crate) fn held(&self, text: &str) {
        self.line(&format!("  {} {text}", self.painted("32", "ok")));
    }

    /// Something that another program wrote.
    pub(crate) fn quoted(&self, text: &str) {
        for line in text.trim_end().lines() {
            self.line(&format!("  {} {line}", self.painted("2", "|")));
        }
    }

    /// A failure, with everything that is known of it.
    pub(crate) fn failed(&self, text: &str) {
        self.line(&format!("\n{} {text}", self.painted("1;31", "FAILED")));
    }

    /// A plain line.
    pub(crate) fn line(&self, text: &str) {
        // A reader that went away must not keep the demo from cleaning up.
        writeln!(std::io::stdout(), "{text}").ok();
    }

    fn painted(&self, code: &str, text: &str) -> String {
        if self.is_colored { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Cuts a text to the width of a screen.
pub(crate) fn short(text: &str, width: usize) -> String {
    let one_line = text.replace('\n', " ");
    if one_line.chars().count() <= width {
        return one_line;
    }
    one_line.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}
