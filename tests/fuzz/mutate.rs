// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bundles that are nearly right.

use enforcer_core::policy::{SourceFile, Sources};

/// Most changes of one bundle.
const CHANGES_MAX: usize = 8;
/// What the two languages are made of, and what readers stumble over.
const WORDS: &[&str] = &[
    "permit",
    "forbid",
    "when",
    "unless",
    "principal",
    "action",
    "resource",
    "context",
    "in",
    "is",
    "has",
    "like",
    "if",
    "then",
    "else",
    "true",
    "false",
    "==",
    "!=",
    "<=",
    "&&",
    "||",
    "!",
    "-",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ";",
    ",",
    ".",
    "::",
    "@",
    "\"",
    "\\",
    "//",
    "*",
    "\n",
    "'",
    "#",
    "[[case]]",
    "[agents.x]",
    "[endpoints.x]",
    "[masks.x]",
    "[detectors.x]",
    "[budgets.x]",
    "match = [{}]",
    "hosts = []",
    "pattern = '(?i)\\w+'",
    "pattern = '[[:alpha:]]{1,9}$'",
    "Agent::\"support\"",
    "Group::\"\"",
    "Action::\"chat\"",
    "Endpoint::\"openai\"",
    "@id(\"x\")",
    "@mask(\"pii\")",
    "@mode(\"observe\")",
    "@budget(\"x\")",
    "?principal",
    "context.model",
    "context.input_tokens",
    "context.detected.contains(\"email\")",
    ".isEmpty()",
    "9223372036854775807",
    "-9223372036854775808",
    "0x10",
    "1e999",
    "nan",
    "1979-05-27",
    "\u{202e}",
    "\u{0}",
    "\u{feff}",
    "ä",
    "漢",
    "𝄞",
    "\u{301}",
    "\r",
    "\t",
    "ip(\"1.2.3.4\")",
];

/// Numbers that a seed and a round determine (splitmix64).
pub(crate) struct Random {
    state: u64,
}

impl Random {
    pub(crate) const fn new(seed: u64, round: u64) -> Self {
        Self { state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ round.rotate_left(32) }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, or 0.
    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        all.get(self.below(all.len())).expect("something to pick from")
    }
}

/// A bundle with a few changes: of `valid` ones half the time, which then mostly stay so.
pub(crate) fn bundle(valid: &[Sources], corpus: &[Sources], random: &mut Random) -> Sources {
    let is_valid = random.below(2) == 0;
    let mut sources = random.pick(if is_valid { valid } else { corpus }).clone();
    for _ in 0..=random.below(if is_valid { 2 } else { CHANGES_MAX }) {
        let files = &random.pick(corpus).files;
        let other = random.pick(files).clone();
        let index = random.below(sources.files.len());
        let Some(file) = sources.files.get_mut(index) else { break };
        change(file, &other, random);
    }
    sources
}

/// A place in a text where a character begins.
fn place(text: &str, random: &mut Random) -> usize {
    let mut at = random.below(text.len() + 1);
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// The two ends of a part of a text, mostly a short one.
fn part(text: &str, random: &mut Random) -> (usize, usize) {
    let from = place(text, random);
    let length = if random.below(4) == 0 { random.below(text.len()) } else { random.below(12) };
    let mut to = (from + length).min(text.len());
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    (from, to.max(from))
}

fn change(file: &mut SourceFile, other: &SourceFile, random: &mut Random) {
    let text = &mut file.text;
    match random.below(9) {
        0 => {
            let (from, to) = part(text, random);
            text.replace_range(from..to, "");
        }
        1 => {
            let (from, to) = part(text, random);
            let again = text.get(from..to).unwrap_or_default().repeat(1 + random.below(3));
            text.insert_str(to, &again);
        }
        2 | 3 => {
            let at = place(text, random);
            let word = random.pick(WORDS);
            text.insert_str(at, &format!(" {word} "));
        }
        4 => {
            let (from, to) = part(text, random);
            let word = random.pick(WORDS);
            text.replace_range(from..to, word);
        }
        5 => {
            let (from, to) = part(&other.text, random);
            let at = place(text, random);
            text.insert_str(at, other.text.get(from..to).unwrap_or_default());
        }
        6 => {
            let at = place(text, random);
            text.truncate(at);
        }
        7 => {
            let at = place(text, random);
            let (open, close) = *random.pick(&[("(", ")"), ("[", "]"), ("!(", ")"), ("{", "}")]);
            let depth = 1 + random.below(200);
            text.insert_str(at, &format!("{}{}", open.repeat(depth), close.repeat(depth)));
        }
        _ => line(text, random),
    }
}

/// Moves, repeats or drops a whole line, which keeps most of a bundle valid.
fn line(text: &mut String, random: &mut Random) {
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.is_empty() {
        return;
    }
    let from = random.below(lines.len());
    let moved = lines.remove(from);
    match random.below(3) {
        0 => {}
        1 => lines.insert(random.below(lines.len() + 1), moved),
        _ => lines.extend([moved, moved]),
    }
    *text = lines.join("\n");
}
