// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads a text character by character, also behind percent signs, however often they were encoded.

use std::ops::Range;

use super::super::window::Window;

/// How often a character may have been percent-encoded; one that was encoded more often stands for itself.
const DEPTH_MAX: usize = 8;

/// What follows is not there yet, and could change the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wait;

/// One character as a reader behind percent signs sees it; of one beyond ASCII one byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) byte: u8,
    /// How often it was encoded: `&` is 0, `%26` is 1, `%2526` is 2.
    pub(super) depth: usize,
    /// Bytes that stand for it.
    pub(super) len: usize,
}

/// A text, of which more may come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'t> {
    pub(super) window: Window<'t>,
}

impl<'t> Reader<'t> {
    /// A text that is there completely.
    pub(super) const fn whole(text: &'t str) -> Self {
        Self { window: Window { text, from: 0, is_end: true } }
    }

    /// The text as it reads behind all percent signs.
    pub(super) fn decoded(&self) -> String {
        let (mut at, mut bytes) = (0, Vec::new());
        while let Ok(Some(unit)) = self.unit(at) {
            bytes.push(unit.byte);
            at += unit.len;
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The bytes of a range; nothing if it is none of characters.
    pub(super) fn text(&self, range: Range<usize>) -> &'t str {
        self.window.text.get(range).unwrap_or_default()
    }

    /// A byte; none at the end.
    pub(super) fn byte(&self, at: usize) -> Result<Option<u8>, Wait> {
        let byte = self.window.text.as_bytes().get(at).copied();
        if byte.is_some() || self.window.is_end { Ok(byte) } else { Err(Wait) }
    }

    /// Whether this word stands there; large and small letters are the same.
    pub(super) fn has(&self, at: usize, word: &str) -> Result<bool, Wait> {
        for (index, letter) in word.bytes().enumerate() {
            let byte = self.byte(at + index)?;
            if !byte.is_some_and(|byte| byte.eq_ignore_ascii_case(&letter)) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The character there; none at the end.
    pub(super) fn unit(&self, at: usize) -> Result<Option<Unit>, Wait> {
        let Some(first) = self.byte(at)? else { return Ok(None) };
        let plain = Unit { byte: first, depth: 0, len: 1 };
        if first != b'%' {
            return Ok(Some(plain));
        }
        let mut digits = at + 1;
        for depth in 1..=DEPTH_MAX {
            let Some(byte) = self.escape(digits)? else { return Ok(Some(plain)) };
            if byte != b'%' || self.escape(digits + 2)?.is_none() {
                return Ok(Some(Unit { byte, depth, len: digits + 2 - at }));
            }
            digits += 2;
        }
        Ok(Some(plain))
    }

    /// The byte that two hexadecimal digits stand for.
    fn escape(&self, at: usize) -> Result<Option<u8>, Wait> {
        let mut value = 0;
        for index in 0..2 {
            let digit = self.byte(at + index)?.and_then(|byte| char::from(byte).to_digit(16));
            let Some(digit) = digit.and_then(|digit| u8::try_from(digit).ok()) else {
                return Ok(None);
            };
            value = value * 16 + digit;
        }
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn units(text: &str) -> Vec<(char, usize, usize)> {
        let reader = Reader::whole(text);
        let (mut at, mut all) = (0, Vec::new());
        while let Ok(Some(unit)) = reader.unit(at) {
            all.push((char::from(unit.byte), unit.depth, unit.len));
            at += unit.len;
        }
        all
    }

    #[test]
    fn a_character_is_read_however_often_it_was_encoded() {
        assert_eq!(units("a%26%2526"), [('a', 0, 1), ('&', 1, 3), ('&', 2, 5)]);
        assert_eq!(units("%25%3d%2525"), [('%', 1, 3), ('=', 1, 3), ('%', 2, 5)]);
        assert_eq!(units("%%3D%2"), [('%', 0, 1), ('=', 1, 3), ('%', 0, 1), ('2', 0, 1)]);
    }
}
