// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The boundary of a form, from its Content-Type.

use crate::model::limits::FORM_BOUNDARY_BYTES_MAX;

use super::fault::{Error, Fault};
use super::params;

/// What separates the parts of a form (RFC 2046 section 5.1.1), without the hyphens before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boundary(String);

impl Boundary {
    /// Reads the only value of a Content-Type.
    ///
    /// # Errors
    /// When it is not `multipart/form-data` with exactly one boundary, and at most the charset UTF-8 besides.
    pub fn read(content_type: &str) -> Result<Self, Error> {
        let (kind, params) = params::read(content_type).map_err(Error::Form)?;
        if kind != "multipart/form-data" {
            return Err(Error::Form(Fault::NotForm));
        }
        let mut boundary = None;
        for param in params {
            match param.name.as_str() {
                "boundary" => boundary = Some(param.value),
                "charset" if is_utf8(param.value) => {}
                "charset" => return Err(Error::Form(Fault::Charset)),
                _ => return Err(Error::Form(Fault::NoBoundary)),
            }
        }
        let boundary = boundary.ok_or(Error::Form(Fault::NoBoundary))?;
        let is_sign = |byte| b"'()+_,-./:=?".contains(&byte);
        let is_fit = (1..=FORM_BOUNDARY_BYTES_MAX).contains(&boundary.len())
            && boundary.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte));
        if is_fit { Ok(Self(boundary.to_owned())) } else { Err(Error::Form(Fault::BoundaryUnfit)) }
    }

    /// Its bytes, without the hyphens before it.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// Whether a charset is the one that forms have.
pub(super) fn is_utf8(charset: &str) -> bool {
    charset.eq_ignore_ascii_case("utf-8") || charset.eq_ignore_ascii_case("utf8")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, expect: Result<&str, Fault>) {
        let expect = expect.map(|text| Boundary(text.to_owned())).map_err(Error::Form);
        assert_eq!(Boundary::read(content_type), expect, "{content_type:?}");
    }

    #[test]
    fn a_boundary_is_a_token_or_quoted() {
        check("multipart/form-data; boundary=0f1e2d", Ok("0f1e2d"));
        check("Multipart/Form-Data;BOUNDARY=\"a:b/c=d\"", Ok("a:b/c=d"));
        check("multipart/form-data; boundary=x; charset=UTF-8", Ok("x"));
        let longest = "x".repeat(FORM_BOUNDARY_BYTES_MAX);
        check(&format!("multipart/form-data; boundary={longest}"), Ok(&longest));
    }

    #[test]
    fn a_content_type_that_readers_read_differently_is_refused() {
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for (content_type, fault) in [
            ("", Fault::NotForm),
            ("application/json", Fault::NotForm),
            ("multipart/mixed; boundary=x", Fault::NotForm),
            ("multipart/form-data", Fault::NoBoundary),
            ("multipart/form-data; boundary=x; profile=y", Fault::NoBoundary),
            ("multipart/form-data; boundary=x; boundary=y", Fault::ParameterTwice),
            ("multipart/form-data; boundary=x, multipart/form-data; boundary=y", Fault::Parameter),
            ("multipart/form-data; boundary*=utf-8''x", Fault::Extended),
            ("multipart/form-data; boundary=a:b", Fault::Parameter),
            ("multipart/form-data; boundary=\"\"", Fault::BoundaryUnfit),
            ("multipart/form-data; boundary=\"a b\"", Fault::BoundaryUnfit),
            ("multipart/form-data; boundary=\"a\\b\"", Fault::Backslash),
            ("multipart/form-data; boundary=a%62", Fault::BoundaryUnfit),
            ("multipart/form-data; boundary=x; charset=utf-16", Fault::Charset),
            (long.as_str(), Fault::BoundaryUnfit),
        ] {
            check(content_type, Err(fault));
        }
    }
}
