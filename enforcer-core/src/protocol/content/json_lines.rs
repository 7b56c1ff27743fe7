// SPDX-License-Identifier: Apache-2.0 OR MIT
//! JSON lines: one JSON text on each line of a whole body, as the files of batches and of fine-tuning have
//! them (<https://jsonlines.org>, NDJSON).
//!
//! Only the framing: whether a line is JSON is its reader's business. Errs to refusing: what another reader
//! would cut into other lines is an error.

use std::ops::Range;

use memchr::memchr;

use crate::model::limits::{JSON_LINE_BYTES_MAX, JSON_LINES_MAX};

use super::splice::{Edit, splice};

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Why a body cannot be read as JSON lines, or cannot be rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read line {line} of JSON lines: {fault}")]
pub struct Error {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub fault: Fault,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Some readers take the mark for a part of the first text.
    #[error("the body begins with a byte order mark")]
    ByteOrderMark,
    /// Some readers end a line at a carriage return, others only at a line feed.
    #[error("a carriage return is not followed by a line feed")]
    CarriageReturn,
    /// JSON is UTF-8 (RFC 8259 section 8.1).
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Above the bound of one line.
    #[error("it is longer than {JSON_LINE_BYTES_MAX} bytes")]
    TooLong,
    /// Above the bound of one body.
    #[error("there are more than {JSON_LINES_MAX} lines")]
    TooMany,
    /// The new text would be several lines, or none.
    #[error("its new text is not one line")]
    NotOneLine,
    /// The line is from another body, or the changes are not in the order of the lines.
    #[error("its new text has no place in the body")]
    NoPlace,
}

/// One line that is not blank, without its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'b> {
    /// Its number, from 1; blank lines count too.
    pub number: usize,
    /// Its text.
    pub text: &'b str,
    /// The bytes of the body that hold its text.
    pub range: Range<usize>,
}

/// The lines of a whole body that are not blank, in order. A line ends with LF or CRLF, the last one also
/// with the body. After the first error nothing follows.
#[derive(Clone, Debug)]
pub struct Lines<'b> {
    body: &'b [u8],
    /// Where the next line begins.
    next: usize,
    /// The lines that were read.
    count: usize,
    is_over: bool,
}

impl<'b> Lines<'b> {
    /// Reads a whole body; nothing is looked at before the first line is asked for.
    #[must_use]
    pub const fn new(body: &'b [u8]) -> Self {
        Self { body, next: 0, count: 0, is_over: false }
    }

    /// The next line, a blank one too.
    fn line(&mut self) -> Result<Option<Line<'b>>, Error> {
        let rest = self.body.get(self.next..).unwrap_or_default();
        if rest.is_empty() {
            return Ok(None);
        }
        let number = self.count + 1;
        let error = |fault| Error { line: number, fault };
        if number > JSON_LINES_MAX {
            return Err(error(Fault::TooMany));
        }
        if number == 1 && rest.starts_with(BYTE_ORDER_MARK) {
            return Err(error(Fault::ByteOrderMark));
        }
        let feed = memchr(b'\n', rest);
        let whole = rest.get(..feed.unwrap_or(rest.len())).unwrap_or_default();
        // At the end of the body no line feed follows, so that a carriage return there is refused below.
        let text = if feed.is_some() { whole.strip_suffix(b"\r").unwrap_or(whole) } else { whole };
        if text.len() > JSON_LINE_BYTES_MAX {
            return Err(error(Fault::TooLong));
        }
        if memchr(b'\r', text).is_some() {
            return Err(error(Fault::CarriageReturn));
        }
        let range = self.next..self.next + text.len();
        let text = str::from_utf8(text).map_err(|_not_utf8| error(Fault::NotUtf8))?;
        self.next += whole.len() + usize::from(feed.is_some());
        self.count = number;
        Ok(Some(Line { number, text, range }))
    }
}

impl<'b> Iterator for Lines<'b> {
    type Item = Result<Line<'b>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.is_over {
            match self.line() {
                Ok(Some(line)) if is_blank(line.text) => {}
                Ok(Some(line)) => return Some(Ok(line)),
                Ok(None) => self.is_over = true,
                Err(error) => {
                    self.is_over = true;
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

fn is_blank(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b' ' | b'\t'))
}

/// The body with new texts for some of its lines, in their order. Everything else stays the same to the byte:
/// line ends, blank lines, and whether the last line has an end.
///
/// # Errors
/// When a new text is not exactly one line within the bounds, or a line is not from this body, named twice, or
/// out of order.
pub fn replace(body: &[u8], changes: &[(Line<'_>, String)]) -> Result<Vec<u8>, Error> {
    let mut edits = Vec::with_capacity(changes.len());
    let mut last = 0;
    for (line, text) in changes {
        let error = |fault| Error { line: line.number, fault };
        if is_blank(text) || text.contains(['\r', '\n']) || text.starts_with('\u{feff}') {
            return Err(error(Fault::NotOneLine));
        }
        if text.len() > JSON_LINE_BYTES_MAX {
            return Err(error(Fault::TooLong));
        }
        if line.number <= last || body.get(line.range.clone()) != Some(line.text.as_bytes()) {
            return Err(error(Fault::NoPlace));
        }
        last = line.number;
        edits.push(Edit { at: line.range.clone(), by: text.as_bytes() });
    }
    splice(body, edits).ok_or(Error { line: last, fault: Fault::NoPlace })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &[u8]) -> Result<Vec<(usize, String)>, Error> {
        Lines::new(body)
            .map(|line| {
                line.map(|line| {
                    assert_eq!(body.get(line.range.clone()), Some(line.text.as_bytes()));
                    (line.number, line.text.to_owned())
                })
            })
            .collect()
    }

    fn check(body: &str, expect: &[(usize, &str)]) {
        let expect: Vec<_> = expect.iter().map(|(at, text)| (*at, (*text).to_owned())).collect();
        assert_eq!(read(body.as_bytes()), Ok(expect), "{body:?}");
    }

    fn check_fault(body: &[u8], line: usize, fault: Fault) {
        assert_eq!(read(body), Err(Error { line, fault }), "{:?}", String::from_utf8_lossy(body));
    }

    #[test]
    fn a_line_ends_with_a_line_feed_or_with_the_body() {
        check("", &[]);
        check("{}", &[(1, "{}")]);
        check("{}\n", &[(1, "{}")]);
        check("{\"a\":1}\r\n[2]\n3", &[(1, "{\"a\":1}"), (2, "[2]"), (3, "3")]);
    }

    #[test]
    fn blank_lines_are_counted_and_left_out() {
        check("\n\r\n  \t\n{}\n\n", &[(4, "{}")]);
    }

    #[test]
    fn what_only_some_readers_take_for_a_line_end_is_none() {
        check("\"a\u{2028}b\u{85}c\u{b}\"\n", &[(1, "\"a\u{2028}b\u{85}c\u{b}\"")]);
    }

    #[test]
    fn what_another_reader_cuts_into_other_lines_is_refused() {
        check_fault("\u{feff}{}\n".as_bytes(), 1, Fault::ByteOrderMark);
        check_fault(b"{}\n{}\r{}\n", 2, Fault::CarriageReturn);
        check_fault(b"{}\r\r\n", 1, Fault::CarriageReturn);
        check_fault(b"{}\n{}\r", 2, Fault::CarriageReturn);
        check_fault(b"{}\n\"\xff\"\n", 2, Fault::NotUtf8);
    }

    #[test]
    fn lines_beyond_the_bounds_are_refused() {
        let longest = vec![b'1'; JSON_LINE_BYTES_MAX];
        assert_eq!(read(&longest).map(|lines| lines.len()), Ok(1));
        check_fault(&[longest, b"1\n".to_vec()].concat(), 1, Fault::TooLong);
        assert_eq!(read(&b"\n".repeat(JSON_LINES_MAX)), Ok(Vec::new()));
        check_fault(&b"\n".repeat(JSON_LINES_MAX + 1), JSON_LINES_MAX + 1, Fault::TooMany);
    }

    #[test]
    fn nothing_follows_an_error() {
        let mut lines = Lines::new(b"{}\r{}\n{}\n");
        assert!(lines.next().unwrap().is_err());
        assert_eq!(lines.next(), None);
    }

    #[test]
    fn only_the_text_of_a_replaced_line_changes() {
        let body = b"\r\n{\"a\":1}\r\n \n{\"b\":2}";
        let lines: Vec<_> = Lines::new(body).collect::<Result<_, _>>().unwrap();
        let [first, second] = lines.as_slice() else { panic!("{lines:?}") };
        let change = |line: &Line<'static>, text: &str| (line.clone(), text.to_owned());
        assert_eq!(
            replace(body, &[change(first, "{}"), change(second, "[\"longer\"]")]).unwrap(),
            b"\r\n{}\r\n \n[\"longer\"]"
        );
        let fault = |changes: &[_]| replace(body, changes).unwrap_err().fault;
        for text in ["", " ", "{}\n{}", "{\r}", "\u{feff}{}"] {
            assert_eq!(fault(&[change(first, text)]), Fault::NotOneLine, "{text:?}");
        }
        assert_eq!(fault(&[change(first, "1"), change(first, "2")]), Fault::NoPlace);
        assert_eq!(replace(b"{}", &[change(second, "1")]).unwrap_err().fault, Fault::NoPlace);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            lines in prop::collection::vec(("[ \t]{0,2}|[^\r\n\u{feff}]{1,8}", prop::bool::ANY), 0..12),
            has_end in prop::bool::ANY,
        ) {
            let mut body = String::new();
            for (text, is_crlf) in &lines {
                body.push_str(text);
                body.push_str(if *is_crlf { "\r\n" } else { "\n" });
            }
            if !has_end {
                let text = body.trim_end_matches(['\r', '\n']).len();
                body.truncate(text);
            }
            let expect: Vec<(usize, String)> = lines
                .iter()
                .enumerate()
                .filter(|(_, (text, _))| !is_blank(text))
                .map(|(index, (text, _))| (index + 1, text.clone()))
                .collect();
            prop_assert_eq!(read(body.as_bytes()).unwrap(), expect);
            let same: Vec<_> = Lines::new(body.as_bytes())
                .map(|line| line.map(|line| (line.clone(), line.text.to_owned())))
                .collect::<Result<_, _>>()
                .unwrap();
            prop_assert_eq!(replace(body.as_bytes(), &same).unwrap(), body.as_bytes());
        }

        #[test]
        fn a_replaced_line_is_read_back_and_the_others_stay(
            body in "([a\u{e9} ]{0,3}\r?\n){0,8}[a ]{0,3}",
            which in prop::collection::vec(prop::bool::ANY, 9),
            text in "[b\u{e9}\u{2028}]{1,6}",
        ) {
            let lines: Vec<_> = Lines::new(body.as_bytes()).collect::<Result<_, _>>().unwrap();
            let changes: Vec<_> = lines
                .iter()
                .zip(&which)
                .filter(|(_, is_changed)| **is_changed)
                .map(|(line, _)| (line.clone(), text.clone()))
                .collect();
            let out = replace(body.as_bytes(), &changes).unwrap();
            let found = read(&out).unwrap();
            prop_assert_eq!(found.len(), lines.len());
            for (((number, found), line), is_changed) in found.iter().zip(&lines).zip(&which) {
                prop_assert_eq!(*number, line.number);
                let expect = if *is_changed { text.as_str() } else { line.text };
                prop_assert_eq!(found, expect);
            }
        }

        #[test]
        fn no_bytes_make_it_panic(parts in prop::collection::vec(prop::sample::select(vec![
            b"{}".as_slice(), b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b"\xff", b" ",
        ]), 0..16)) {
            let body = parts.concat();
            let mut end = 0;
            for line in Lines::new(&body).flatten() {
                prop_assert!(line.range.start >= end && !is_blank(line.text));
                end = line.range.end;
            }
        }
    }
}
