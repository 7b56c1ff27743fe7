// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Forms as `multipart/form-data` (RFC 7578, RFC 2046 section 5.1): reads a whole body, and rewrites it with new
//! contents for some of its parts.
//!
//! Errs to refusing: whatever two readers could read differently is an error with a name. The common clients
//! (curl, browsers, httpx, undici, reqwest and others) send nothing of that kind.

use std::borrow::Cow;
use std::ops::Range;

use memchr::memmem::{self, Finder};

use crate::model::limits::{FORM_PART_HEAD_BYTES_MAX, FORM_PARTS_MAX};

use super::splice::{Edit, splice};

mod boundary;
mod fault;
mod head;
mod params;
#[cfg(test)]
mod tests;

pub use boundary::Boundary;
pub use fault::{Error, Fault};

/// Stands before each boundary, and behind the last one.
const HYPHENS: &[u8] = b"--";
const LINE_END: &[u8] = b"\r\n";
/// Between the headers of a part and its content.
const HEAD_END: &[u8] = b"\r\n\r\n";

/// One part of a form. Ranges are of bytes of the whole body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// The name of its field.
    pub name: String,
    /// The name of the file, with the escapes of HTML undone; none of a plain field.
    pub filename: Option<String>,
    /// What its Content-Type says, with its parameters.
    pub content_type: Option<String>,
    /// Where its content stands.
    pub content: Range<usize>,
    filename_at: Option<Range<usize>>,
    length_at: Option<Range<usize>>,
}

/// New contents for one part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// The index of the part, from 0.
    pub part: usize,
    /// The new content.
    pub content: Option<Vec<u8>>,
    /// The new name of the file, without escapes.
    pub filename: Option<String>,
}

/// A place of the body and what is to stand there.
type Replacement<'c> = (Range<usize>, Cow<'c, [u8]>);

/// A form that was read.
#[derive(Clone, Debug)]
pub struct Form<'b> {
    body: &'b [u8],
    boundary: Boundary,
    parts: Vec<Part>,
}

impl<'b> Form<'b> {
    /// Reads a whole body. Takes time in proportion to its length.
    ///
    /// # Errors
    /// When another reader could find other parts in it, or a bound is passed.
    pub fn read(boundary: Boundary, body: &'b [u8]) -> Result<Self, Error> {
        let mut parts = Vec::new();
        for (index, at) in segments(boundary.as_bytes(), body)?.into_iter().enumerate() {
            let error = |fault| Error::Part { part: index + 1, fault };
            parts.push(Part::read(body, at).map_err(error)?);
        }
        Ok(Self { body, boundary, parts })
    }

    /// The parts in their order.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The content of a part.
    #[must_use]
    pub fn content(&self, part: &Part) -> &'b [u8] {
        self.body.get(part.content.clone()).unwrap_or_default()
    }

    /// The text of a field from which a fact is made; none if the form does not have it.
    ///
    /// # Errors
    /// When the form has it twice, or has a name that only some readers take for it (`Model`, `model[]`); when
    /// it is a file; when it is not UTF-8.
    pub fn field(&self, name: &str) -> Result<Option<&'b str>, Error> {
        let error = |fault| Error::Field { name: name.to_owned(), fault };
        let mut alike = self.parts.iter().filter(|part| is_alike(&part.name, name));
        let Some(part) = alike.next() else { return Ok(None) };
        if alike.next().is_some() || part.name != name {
            return Err(error(Fault::Twice));
        }
        if part.filename.is_some() {
            return Err(error(Fault::IsFile));
        }
        let text = str::from_utf8(self.content(part)).map_err(|_not_utf8| error(Fault::NotText))?;
        Ok(Some(text))
    }

    /// The body with new contents and file names for some of its parts. Everything else stays the same to the
    /// byte, except the Content-Length of a part that has one and gets a new content.
    ///
    /// # Errors
    /// When a change contains the boundary, has no place, or is a file name that readers read differently.
    pub fn with(&self, changes: &[Change]) -> Result<Vec<u8>, Error> {
        let finder = Finder::new(self.boundary.as_bytes());
        let mut texts = Vec::with_capacity(changes.len());
        for change in changes {
            let error = |fault| Error::Change { part: change.part.saturating_add(1), fault };
            let part = self.parts.get(change.part).ok_or(error(Fault::NoPlace))?;
            for (at, text) in part.edits(change).map_err(error)? {
                if finder.find(&text).is_some() {
                    return Err(error(Fault::HasBoundary));
                }
                texts.push((at, text));
            }
        }
        let edits = texts.iter().map(|(at, by)| Edit { at: at.clone(), by }).collect();
        splice(self.body, edits).ok_or(Error::Form(Fault::NoPlace))
    }
}

impl Part {
    /// Reads what stands between two boundaries.
    fn read(body: &[u8], at: Range<usize>) -> Result<Self, Fault> {
        let segment = body.get(at.clone()).unwrap_or_default();
        let longest = FORM_PART_HEAD_BYTES_MAX + HEAD_END.len();
        let window = segment.get(..longest).unwrap_or(segment);
        let Some(length) = memmem::find(window, HEAD_END) else {
            let is_cut = window.len() < segment.len();
            let has_feed = window.windows(2).any(|pair| pair == b"\n\n");
            return Err(match (has_feed, is_cut) {
                (true, _) => Fault::LineEnd,
                (false, true) => Fault::HeadTooLarge,
                (false, false) => Fault::HeadUnfinished,
            });
        };
        let head = head::read(window.get(..length).unwrap_or_default())?;
        let content = at.start + length + HEAD_END.len()..at.end;
        if head.length.is_some_and(|length| length != content.len()) {
            return Err(Fault::Length);
        }
        let shift = |range: Range<usize>| at.start + range.start..at.start + range.end;
        Ok(Self {
            name: head.name,
            filename: head.filename,
            content_type: head.content_type,
            content,
            filename_at: head.filename_at.map(shift),
            length_at: head.length_at.map(shift),
        })
    }

    /// The places of the body that a change of this part changes.
    fn edits<'c>(&self, change: &'c Change) -> Result<Vec<Replacement<'c>>, Fault> {
        let mut edits = Vec::new();
        if let Some(content) = &change.content {
            if let Some(at) = &self.length_at {
                edits.push((at.clone(), Cow::Owned(content.len().to_string().into_bytes())));
            }
            edits.push((self.content.clone(), Cow::Borrowed(content.as_slice())));
        }
        if let Some(name) = &change.filename {
            let at = self.filename_at.clone().ok_or(Fault::NoPlace)?;
            edits.push((at, Cow::Owned(head::escape_filename(name)?.into_bytes())));
        }
        Ok(edits)
    }
}

/// The parts, headers and content: what stands between each boundary and the next.
///
/// SECURITY: readers look for a boundary in different ways: at the beginning of a line that ends with CRLF, LF
/// or CR, with or without the hyphens, or anywhere. So its bytes must stand nowhere but where all find it.
fn segments(boundary: &[u8], body: &[u8]) -> Result<Vec<Range<usize>>, Error> {
    let finder = Finder::new(boundary);
    let after = |start: usize| body.get(start..).unwrap_or_default();
    let first = body.strip_prefix(HYPHENS).and_then(|rest| rest.strip_prefix(boundary));
    let mut rest = first.ok_or(Error::Form(Fault::Preamble))?;
    let mut segments = Vec::new();
    loop {
        if let Some(epilogue) = rest.strip_prefix(HYPHENS) {
            // Some encoders end with an empty line.
            let is_end = [b"".as_slice(), LINE_END, HEAD_END].contains(&epilogue);
            return if is_end { Ok(segments) } else { Err(Error::Form(Fault::Epilogue)) };
        }
        let Some(segment) = rest.strip_prefix(LINE_END) else {
            let is_cut = [b"".as_slice(), b"-", b"\r"].contains(&rest);
            let fault = if is_cut { Fault::Unfinished } else { Fault::BoundaryInside };
            return Err(Error::Form(fault));
        };
        let start = body.len() - segment.len();
        let length = finder.find(segment).ok_or(Error::Form(Fault::Unfinished))?;
        let text = segment.get(..length).unwrap_or_default();
        let text = text.strip_suffix(HYPHENS).and_then(|text| text.strip_suffix(LINE_END));
        let text = text.ok_or(Error::Form(Fault::BoundaryInside))?;
        if segments.len() == FORM_PARTS_MAX {
            return Err(Error::Form(Fault::TooManyParts));
        }
        segments.push(start..start + text.len());
        rest = after(start + length + boundary.len());
    }
}

/// Whether a reader that folds case, or makes objects and lists of names with brackets and dots, could take
/// the part of one name for the field of the other.
fn is_alike(part: &str, field: &str) -> bool {
    let (part, field) = (part.to_ascii_lowercase(), field.to_ascii_lowercase());
    let stem = |name: &str| name.split(['[', '.']).next().unwrap_or_default().to_owned();
    if stem(&field) == field {
        return stem(&part) == field;
    }
    // `a[b]` and `a.b` are the same to some, and `a` alone is the object that has both.
    let plain = |name: &str| {
        name.strip_suffix("[]").unwrap_or(name).replace(['[', '.'], "/").replace(']', "")
    };
    part == stem(&field) || plain(&part) == plain(&field)
}
