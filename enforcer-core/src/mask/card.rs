// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The detector `credit-card`.
//!
//! Finds 13 to 19 digits that start like a card of that length and satisfy the Luhn check: in one run, or in
//! groups of at least three digits with one space or dash between them. A run of digits counts whole, so a
//! card number inside a longer number is none; neighboring groups do not protect it. The digits after a
//! decimal point are a fraction, not a card.

use std::ops::Range;

use super::window::Window;

const DIGITS_MIN: usize = 13;
const DIGITS_MAX: usize = 19;
const GROUP_DIGITS_MIN: usize = 3;

pub(super) fn search(window: Window<'_>, found: &mut Vec<Range<usize>>) -> usize {
    let Window { text, from, is_end } = window;
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let mut at = from;
    // The window may begin inside a run that is known to be too long.
    if from > 0 && is_digit(from - 1) {
        at = run_end(bytes, from);
    }
    while let Some(skipped) = bytes.get(at..).and_then(|r| r.iter().position(u8::is_ascii_digit)) {
        let start = at + skipped;
        let is_fraction = start >= 2 && bytes.get(start - 1) == Some(&b'.') && is_digit(start - 2);
        let is_decided = is_fraction || walk(text, start, is_end, found);
        if !is_decided {
            return start;
        }
        at = run_end(bytes, start);
    }
    text.len()
}

fn run_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    from + rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len())
}

/// Adds every card number that starts with the group at `start`. False if more text could change that.
fn walk(text: &str, start: usize, is_end: bool, found: &mut Vec<Range<usize>>) -> bool {
    let mut digits = Vec::with_capacity(DIGITS_MAX);
    let mut group = 0;
    let mut at = start;
    let rest = |at: usize| text.get(at..).unwrap_or_default();
    let before = found.len();
    loop {
        match rest(at).bytes().next().filter(u8::is_ascii_digit) {
            Some(_) if digits.len() == DIGITS_MAX => return true,
            Some(digit) => {
                digits.push(digit - b'0');
                group += 1;
                at += 1;
                continue;
            }
            None if at == text.len() && !is_end => {
                found.truncate(before);
                return false;
            }
            None => {}
        }
        if group < GROUP_DIGITS_MIN {
            return true;
        }
        if is_card(&digits) {
            found.push(start..at);
        }
        let Some(separator) = rest(at).chars().next().filter(|c| is_separator(*c)) else {
            return true;
        };
        at += separator.len_utf8();
        group = 0;
        match rest(at).bytes().next() {
            Some(next) if next.is_ascii_digit() => {}
            None if !is_end => {
                found.truncate(before);
                return false;
            }
            Some(_) | None => return true,
        }
    }
}

fn is_separator(c: char) -> bool {
    matches!(c, ' ' | '-' | '\u{a0}' | '\u{202f}' | '\u{2010}'..='\u{2014}')
}

fn is_card(digits: &[u8]) -> bool {
    digits.len() >= DIGITS_MIN && has_issuer(digits) && has_luhn(digits)
}

/// The ranges that issuers use, by the first digits (ISO/IEC 7812), with the lengths they use them for.
fn has_issuer(digits: &[u8]) -> bool {
    let prefix = digits.iter().take(4).fold(0_u32, |number, digit| number * 10 + u32::from(*digit));
    let length = digits.len();
    match prefix {
        4000..=4999 => matches!(length, 13 | 16 | 18 | 19),
        2200..=2204 | 3528..=3589 | 6011 | 6440..=6599 | 8100..=8199 => length >= 16,
        2221..=2720 | 5100..=5599 => length == 16,
        3400..=3499 | 3700..=3799 => length == 15,
        3000..=3059 | 3095 | 3600..=3699 | 3800..=3999 => length >= 14,
        6200..=6299 => length >= 16,
        // Maestro and its kin.
        5000..=5099 | 5600..=5899 | 6304 | 6390 | 6700..=6799 => true,
        _ => false,
    }
}

fn has_luhn(digits: &[u8]) -> bool {
    let doubled = |digit: u32| if digit > 4 { digit * 2 - 9 } else { digit * 2 };
    let weigh = |(index, digit): (usize, &u8)| {
        let digit = u32::from(*digit);
        if index % 2 == 1 { doubled(digit) } else { digit }
    };
    digits.iter().rev().enumerate().map(weigh).sum::<u32>() % 10 == 0
}
