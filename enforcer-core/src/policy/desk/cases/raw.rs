// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A request as it stands on the wire: request line, headers, an empty line, and the body (RFC 9112 section 2.1).
//!
//! Lines may also end as editors end them. The body is what follows, as it is.

use super::request::{self, Request};

/// Why a text is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct NotARequest {
    /// Where, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: &'static str,
}

/// What a request line looks like.
const LINE_HELP: &str = "the first line is `METHOD PATH`, for example `POST /v1/chat/completions`";

impl Request {
    /// Reads a request.
    ///
    /// # Errors
    /// The first thing that is wrong with it.
    pub fn parse(raw: &[u8]) -> Result<Self, NotARequest> {
        let (head, body, lines) = split(raw)?;
        let wrong = |line: usize, message: &str, help| NotARequest {
            line,
            message: message.to_owned(),
            help,
        };
        let text = std::str::from_utf8(head)
            .map_err(|_not_utf8| wrong(1, "the head is not text", LINE_HELP))?;
        let mut all = text.lines();
        let mut words = all.next().unwrap_or_default().split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else {
            return Err(wrong(1, "there is no request line", LINE_HELP));
        };
        let at = |line: usize| {
            move |bad: request::Wrong| NotARequest { line, message: bad.message, help: bad.help }
        };
        request::check_method(method).map_err(at(1))?;
        let (path, query) = request::target(target).map_err(at(1))?;
        let mut headers = Vec::new();
        for (index, field) in all.enumerate() {
            let line = index + 2;
            let Some((name, value)) = field.split_once(':') else {
                let help = "between the headers and the body stands an empty line";
                return Err(wrong(line, "a header is `NAME: VALUE`", help));
            };
            request::check_header(name, value.trim()).map_err(at(line))?;
            headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
        let method = method.to_owned();
        let request = Self { method, path, query, headers, body: Vec::new() };
        let body = request.whole(body).map_err(|(message, help)| wrong(lines, message, help))?;
        Ok(Self { body: body.to_vec(), ..request })
    }

    /// The name and the port that it is sent to, by its `host` header (RFC 9110 section 7.2); 443 if that says none.
    #[must_use]
    pub fn host(&self) -> Option<(&str, u16)> {
        let (_, value) = self.headers.iter().find(|(name, _)| name == "host")?;
        match value.rsplit_once(':') {
            Some((name, port)) => Some((name, port.parse().ok()?)),
            None => Some((value, 443)),
        }
    }

    /// The body as its headers say that it is sent.
    fn whole<'b>(&self, body: &'b [u8]) -> Result<&'b [u8], (&'static str, &'static str)> {
        let value = |wanted: &str| {
            self.headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value)
        };
        if value("transfer-encoding").is_some() {
            return Err(("the body is in chunks", "write it as one, without `transfer-encoding`"));
        }
        let Some(length) = value("content-length") else { return Ok(body) };
        let help = "leave `content-length` out: the body is all that follows the empty line";
        let length: Option<usize> = length.parse().ok();
        let (Some(whole), Some(rest)) = (
            length.and_then(|length| body.get(..length)),
            length.and_then(|length| body.get(length..)),
        ) else {
            return Err(("the body is shorter than `content-length`", help));
        };
        // Editors end a file with a line end.
        if rest.iter().any(|byte| !matches!(byte, b'\r' | b'\n')) {
            return Err(("the body is longer than `content-length`", help));
        }
        Ok(whole)
    }
}

/// The head without the empty line behind it, the body, and the line in which that begins.
fn split(raw: &[u8]) -> Result<(&[u8], &[u8], usize), NotARequest> {
    let (mut from, mut lines) = (0, 1);
    while let Some(rest) = raw.get(from..).filter(|rest| !rest.is_empty()) {
        let length = rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
        let line = rest.get(..length).unwrap_or(rest);
        lines += 1;
        if matches!(line, b"\n" | b"\r\n") {
            let head = raw.get(..from).unwrap_or_default();
            return Ok((head, raw.get(from + length..).unwrap_or_default(), lines));
        }
        from += length;
    }
    if raw.is_empty() {
        let message = "there is nothing in it".to_owned();
        return Err(NotARequest { line: 1, message, help: LINE_HELP });
    }
    Ok((raw, &[], lines))
}

#[cfg(test)]
mod tests {
    use super::Request;

    #[test]
    fn a_request_is_read_with_either_kind_of_line_end() {
        for raw in [
            "POST /v1/x?a=b HTTP/1.1\r\nHost: api.openai.com\r\nX-Note:  hi \r\n\r\n{\"a\":\n1}",
            "POST /v1/x?a=b\nhost: api.openai.com\nx-note: hi\n\n{\"a\":\n1}",
        ] {
            let request = Request::parse(raw.as_bytes()).expect(raw);
            let head = request.head();
            assert_eq!((head.method, head.path, head.query), ("POST", "/v1/x", Some("a=b")));
            assert_eq!(head.headers[1], ("x-note", &b"hi"[..]));
            assert_eq!(request.body, b"{\"a\":\n1}");
            assert_eq!(request.host(), Some(("api.openai.com", 443)));
        }
        let bare = Request::parse(b"GET /").expect("a request");
        assert_eq!((bare.body.len(), bare.host()), (0, None));
        let port = Request::parse(b"GET /\nHost: a.example:8443\n").expect("a request");
        assert_eq!(port.host(), Some(("a.example", 8443)));
    }

    #[test]
    fn the_body_is_as_long_as_its_head_says() {
        let body = |raw: &str| Request::parse(raw.as_bytes()).map(|request| request.body);
        assert_eq!(body("POST /\ncontent-length: 2\n\n{}\n").expect("whole"), b"{}");
        assert!(body("POST /\ncontent-length: 3\n\n{}").is_err());
        assert!(body("POST /\ncontent-length: 1\n\n{}").is_err());
        assert!(body("POST /\ntransfer-encoding: chunked\n\n2\n{}\n0\n\n").is_err());
    }

    #[test]
    fn what_is_no_request_is_named_with_its_line() {
        let check = |raw: &[u8], expect: &str| {
            let found = Request::parse(raw).expect_err(expect);
            assert_eq!(found.to_string(), expect);
            assert!(!found.help.is_empty());
        };
        check(b"", "line 1: there is nothing in it");
        check(b"{}", "line 1: there is no request line");
        check(b"post / HTTP/1.1", "line 1: `post` is not a method");
        check(b"POST https://a/ HTTP/1.1", "line 1: `https://a/` is not a path");
        check(b"POST /\na: b\n{}", "line 3: a header is `NAME: VALUE`");
        check(b"POST /\na b: c\n\n", "line 2: `a b` is not the name of a header");
        check(b"POST /\na: \xff\n\n", "line 1: the head is not text");
    }
}
