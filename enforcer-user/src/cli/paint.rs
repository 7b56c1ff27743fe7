// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How recorded things are shown to people: colors, widths, times, and texts that a terminal must not obey.

use std::io::{self, IsTerminal};

use enforcer_core::model::{SessionId, UnixMillis};
use nix::unistd::{Uid, User};
use terminal_size::{Width, terminal_size};

/// What stands where the end of a text has no room.
const CUT: char = '…';

/// How things are shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct Paint {
    /// True where there is a terminal to show colors.
    pub colors: bool,
}

impl Paint {
    /// As it fits stdout.
    #[must_use]
    pub fn stdout() -> Self {
        Self { colors: io::stdout().is_terminal() }
    }

    pub(super) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(super) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(super) fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Ways around, apart from ordinary denials.
    pub(super) fn alarm(self, text: &str) -> String {
        self.paint("1;35", text)
    }

    pub(super) fn strong(self, text: &str) -> String {
        self.paint("1", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.colors { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    /// A text as it fits behind so many columns of its line; whole where there is no terminal.
    pub(super) fn fitted(self, text: &str, before: usize) -> String {
        let columns = terminal_size().filter(|_| self.colors).map(|(Width(columns), _)| columns);
        match columns {
            Some(columns) => cut(text, usize::from(columns).saturating_sub(before)),
            None => text.to_owned(),
        }
    }
}

/// At most so many characters of a text, and one at least.
fn cut(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    text.chars().take(room.saturating_sub(1)).chain([CUT]).collect()
}

/// Text without anything that a terminal obeys or that hides what stands there.
pub(super) fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        // SECURITY: escape sequences rewrite the screen, direction marks and joiners rewrite the eye.
        let is_direction = matches!(char, '\u{061c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{2069}' | '\u{feff}');
        if char == '\t' {
            out.push(' ');
        } else if char.is_control() || is_direction {
            out.extend(char.escape_unicode());
        } else {
            out.push(char);
        }
    }
    out
}

/// The session's id, and `host` for the daemon's own.
pub(super) fn session(id: SessionId) -> String {
    if id == SessionId::HOST { "host".to_owned() } else { id.to_string() }
}

/// Name and number of a user of this host; the number alone where the host has no name for it.
pub(super) fn user(uid: u32) -> String {
    match user_name(uid) {
        Some(name) => format!("{} ({uid})", visible(&name)),
        None => uid.to_string(),
    }
}

/// Name of a user of this host.
pub(super) fn user_name(uid: u32) -> Option<String> {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map(|user| user.name)
}

/// A number of things, in words.
pub(super) fn count(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Day and time, UTC.
pub(super) fn moment(at: UnixMillis) -> String {
    crate::runtime::moment(at)
}

/// Time of the day, UTC.
pub(super) fn time(at: UnixMillis) -> String {
    timestamp(at).strftime("%H:%M:%S%.3f").to_string()
}

fn timestamp(at: UnixMillis) -> jiff::Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).unwrap_or(jiff::Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_obeys_nothing_that_was_recorded() {
        assert_eq!(visible("a\x1b[2Jb\tc\u{202e}d\u{85}"), "a\\u{1b}[2Jb c\\u{202e}d\\u{85}");
        assert_eq!(visible("a\u{2028}b\u{2029}c\u{61c}"), "a\\u{2028}b\\u{2029}c\\u{61c}");
    }

    #[test]
    fn a_text_that_does_not_fit_the_terminal_is_cut_and_shows_it() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdefg", 6), "abcde…");
        assert_eq!((cut("äöüß", 1), cut("äöüß", 0)), ("…".into(), "…".into()));
        assert_eq!(Paint { colors: false }.fitted("abcdefg", 1000), "abcdefg");
    }
}
