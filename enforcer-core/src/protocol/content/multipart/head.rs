// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The headers of one part of a form (RFC 7578 section 4).

use std::ops::Range;

use super::boundary::is_utf8;
use super::fault::Fault;
use super::params::{self, Param};

/// What the headers of a part say. Ranges are of the bytes of the headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) name: String,
    pub(super) filename: Option<String>,
    /// Where the file name stands, if it is quoted: without its quotation marks.
    pub(super) filename_at: Option<Range<usize>>,
    pub(super) content_type: Option<String>,
    pub(super) length: Option<usize>,
    pub(super) length_at: Option<Range<usize>>,
}

const DISPOSITION: &str = "content-disposition";
const TYPE: &str = "content-type";
const LENGTH: &str = "content-length";
const TRANSFER_ENCODING: &str = "content-transfer-encoding";
/// RFC 7578 section 4.8 knows no others and lets readers ignore them. Content-Length is what some clients of
/// the JVM add.
const KNOWN: [&str; 4] = [DISPOSITION, TYPE, LENGTH, TRANSFER_ENCODING];

/// Reads the headers of a part, without the empty line.
pub(super) fn read(bytes: &[u8]) -> Result<Head, Fault> {
    let text = str::from_utf8(bytes).map_err(|_not_utf8| Fault::Header)?;
    let mut head = Head::default();
    let mut seen = Vec::new();
    let mut start = 0;
    for line in text.split("\r\n") {
        let (name, value) = header(line)?;
        let known = KNOWN.into_iter().find(|known| name.eq_ignore_ascii_case(known));
        let known = known.ok_or(Fault::UnknownHeader)?;
        if seen.contains(&known) {
            return Err(Fault::HeaderTwice);
        }
        seen.push(known);
        let trimmed = value.trim_start_matches([' ', '\t']);
        let at = start + line.len() - trimmed.len();
        let value = params::trim(trimmed);
        match known {
            DISPOSITION => disposition(value, at, &mut head)?,
            TYPE => head.content_type = Some(content_type(value)?),
            LENGTH => {
                head.length = Some(length(value)?);
                head.length_at = Some(at..at + value.len());
            }
            _ => transfer_encoding(value)?,
        }
        start += line.len() + "\r\n".len();
    }
    if seen.contains(&DISPOSITION) { Ok(head) } else { Err(Fault::Disposition) }
}

/// Name and value of one line.
fn header(line: &str) -> Result<(&str, &str), Fault> {
    if line.contains(['\r', '\n']) {
        return Err(Fault::LineEnd);
    }
    if line.starts_with([' ', '\t']) {
        return Err(Fault::Folded);
    }
    let (name, value) = line.split_once(':').ok_or(Fault::Header)?;
    let has_control = value.chars().any(|c| c.is_control() && c != '\t');
    if params::is_token(name) && !has_control { Ok((name, value)) } else { Err(Fault::Header) }
}

fn disposition(value: &str, at: usize, head: &mut Head) -> Result<(), Fault> {
    let (kind, params) = params::read(value)?;
    if kind != "form-data" {
        return Err(Fault::Disposition);
    }
    let mut name = None;
    for param in params {
        match param.name.as_str() {
            "name" => name = Some(field_name(param.value)?),
            "filename" => {
                head.filename = Some(filename(&param)?);
                let Range { start, end } = param.at;
                head.filename_at = param.is_quoted.then_some(at + start..at + end);
            }
            _ => return Err(Fault::Disposition),
        }
    }
    head.name = name.ok_or(Fault::Disposition)?;
    Ok(())
}

/// The name of a field, of the characters that the names of APIs have. Others are escapes for some readers
/// (`%6d`, `=?utf-8?q?…?=`) or end the name for others (`;`).
fn field_name(text: &str) -> Result<String, Fault> {
    let is_usual = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.[]".contains(&byte);
    if text.is_empty() || !text.bytes().all(is_usual) {
        return Err(Fault::Name);
    }
    // Says in which charset other parts are to be read.
    if text.eq_ignore_ascii_case("_charset_") { Err(Fault::Charset) } else { Ok(text.to_owned()) }
}

/// A file name as HTML's algorithm escapes it: `%22`, `%0D` and `%0A`, and no other escapes.
fn filename(param: &Param<'_>) -> Result<String, Fault> {
    if has_unusual(param.value) {
        return Err(Fault::FileName);
    }
    let mut name = String::with_capacity(param.value.len());
    let mut rest = param.value;
    while let Some((before, after)) = rest.split_once('%') {
        name.push_str(before);
        let escape = after.split_at_checked(2).and_then(|(code, rest)| {
            let c = match code {
                "22" => '"',
                "0D" | "0d" => '\r',
                "0A" | "0a" => '\n',
                _ => return None,
            };
            Some((c, rest))
        });
        let (c, after) = escape.unwrap_or(('%', after));
        name.push(c);
        rest = after;
    }
    name.push_str(rest);
    Ok(name)
}

/// The escaped form of a new file name, if there is one that all readers take for it.
pub(super) fn escape_filename(name: &str) -> Result<String, Fault> {
    let escaped = name.replace('"', "%22").replace('\r', "%0D").replace('\n', "%0A");
    if escaped.contains('\\') {
        return Err(Fault::Backslash);
    }
    let is_readable = !has_unusual(&escaped) && !escaped.contains(char::is_control);
    if is_readable { Ok(escaped) } else { Err(Fault::FileName) }
}

/// Whether a file name has a semicolon, at which some readers cut, or what begins an encoded word (RFC 2047),
/// which others decode.
fn has_unusual(filename: &str) -> bool {
    filename.contains(';') || filename.contains("=?")
}

fn content_type(value: &str) -> Result<String, Fault> {
    let (kind, params) = params::read(value)?;
    let (main, sub) = kind.split_once('/').ok_or(Fault::Header)?;
    if !params::is_token(main) || !params::is_token(sub) {
        return Err(Fault::Header);
    }
    if main == "multipart" {
        return Err(Fault::Nested);
    }
    let charset = params.iter().find(|param| param.name == "charset");
    if charset.is_some_and(|param| !is_utf8(param.value)) {
        return Err(Fault::Charset);
    }
    Ok(value.to_owned())
}

fn length(value: &str) -> Result<usize, Fault> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|_| is_plain).ok_or(Fault::Length)
}

fn transfer_encoding(value: &str) -> Result<(), Fault> {
    let is_known = ["binary", "8bit", "7bit"].iter().any(|known| value.eq_ignore_ascii_case(known));
    if is_known { Ok(()) } else { Err(Fault::TransferEncoding) }
}
