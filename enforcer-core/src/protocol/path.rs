// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Paths that mean the same to everybody: a rule judges the path that it sees, so it has to be the one that the
//! server will see.
//!
//! Errs to refusal: what a normalizing server could read as another path (RFC 3986 section 6.2.2, and what
//! servers do beyond it) is ambiguous, whatever this one does. It does not know which server folds letter
//! case or ignores a slash at the end; rules name such paths themselves.

/// Why a path is ambiguous; none when everybody reads it the same way.
#[must_use]
pub fn ambiguity(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') && path != "*" {
        return Some("the path does not begin with a slash");
    }
    let bytes = path.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        rest = after;
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                let Some(byte) = hex(*high, *low) else {
                    return Some("a percent sign encodes nothing");
                };
                if let Some(why) = wrongly_encoded(byte) {
                    return Some(why);
                }
                rest = after;
                byte
            }
            (b'%', _) => return Some("a percent sign encodes nothing"),
            (b'\\', _) => return Some("a backslash"),
            (byte, _) if byte.is_ascii_control() => return Some("a control character"),
            (byte, _) => *byte,
        };
        decoded.push(byte);
    }
    let segments = decoded.split(|byte| *byte == b'/').skip(1);
    let count = segments.clone().count();
    for (index, segment) in segments.enumerate() {
        // What follows a semicolon is a parameter to some servers (RFC 3986 section 3.3).
        let name = segment.split(|byte| *byte == b';').next().unwrap_or_default();
        if matches!(name, b"." | b"..") {
            return Some("a dot segment");
        }
        if name.is_empty() && index + 1 < count {
            return Some("an empty segment");
        }
    }
    None
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|value| u8::try_from(value).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn wrongly_encoded(byte: u8) -> Option<&'static str> {
    match byte {
        b'/' | b'\\' => Some("an encoded slash"),
        b'%' => Some("an encoded percent sign"),
        // RFC 3986 section 2.3: the same as the character itself to whoever normalizes.
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            Some("a character encoded that needs no encoding")
        }
        _ if byte.is_ascii_control() => Some("an encoded control character"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_everybody_reads_the_same_way_pass() {
        for path in [
            "/",
            "*",
            "/v1/chat/completions",
            "/v1/models/",
            "/v1/models/ft%3Agpt-4.1%3Aacme%3A%3A7p4lURel",
            "/v1/files/a%20b%C3%A4.txt",
            "/v1/x;version=1/y",
            "/v1/...",
            "/v1/.hidden/..x",
            "/@scope/name",
        ] {
            assert_eq!(ambiguity(path), None, "{path}");
        }
    }

    #[test]
    fn paths_that_somebody_could_read_otherwise_do_not() {
        for (path, why) in [
            ("v1/models", "the path does not begin with a slash"),
            ("", "the path does not begin with a slash"),
            ("/v1/models/../files", "a dot segment"),
            ("/v1/./files", "a dot segment"),
            ("/v1/files/..", "a dot segment"),
            ("/v1/..;x/files", "a dot segment"),
            ("/v1//files", "an empty segment"),
            ("//v1/files", "an empty segment"),
            ("/v1/;x/files", "an empty segment"),
            ("/v1/%2e%2E/files", "a character encoded that needs no encoding"),
            ("/v1/%66iles", "a character encoded that needs no encoding"),
            ("/v1/models%2f..%2ffiles", "an encoded slash"),
            ("/v1/models%5Cfiles", "an encoded slash"),
            ("/v1/%252e%252e/files", "an encoded percent sign"),
            ("/v1/models\\files", "a backslash"),
            ("/v1/files%00", "an encoded control character"),
            ("/v1/files%0d%0a", "an encoded control character"),
            ("/v1/files%", "a percent sign encodes nothing"),
            ("/v1/files%2", "a percent sign encodes nothing"),
            ("/v1/files%zz", "a percent sign encodes nothing"),
            ("/v1/files%+f", "a percent sign encodes nothing"),
        ] {
            assert_eq!(ambiguity(path), Some(why), "{path}");
        }
    }
}
