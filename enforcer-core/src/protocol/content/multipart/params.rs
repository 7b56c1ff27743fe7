// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The parameters of a header value: `; name=token; name="quoted"` (RFC 2045 section 5.1, RFC 2183).

use std::ops::Range;

use super::fault::Fault;

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Param<'h> {
    /// In lower case.
    pub(super) name: String,
    /// Without quotation marks.
    pub(super) value: &'h str,
    /// Whether the value is quoted.
    pub(super) is_quoted: bool,
    /// The bytes of the header value that hold it, without quotation marks.
    pub(super) at: Range<usize>,
}

/// The value before the parameters in lower case, and the parameters.
pub(super) fn read(text: &str) -> Result<(String, Vec<Param<'_>>), Fault> {
    let (kind, mut rest) =
        text.split_at_checked(text.find(';').unwrap_or(text.len())).unwrap_or((text, ""));
    let mut params: Vec<Param<'_>> = Vec::new();
    while !rest.is_empty() {
        let after = trim_start(rest.strip_prefix(';').ok_or(Fault::Parameter)?);
        let (name, after) = after.split_once('=').ok_or(Fault::Parameter)?;
        if name.contains('*') {
            return Err(Fault::Extended);
        }
        if !is_token(name) {
            return Err(Fault::Parameter);
        }
        let name = name.to_ascii_lowercase();
        if params.iter().any(|param| param.name == name) {
            return Err(Fault::ParameterTwice);
        }
        let start = text.len() - after.len();
        let (value, is_quoted, after) = value(after)?;
        let start = start + usize::from(is_quoted);
        params.push(Param { name, value, is_quoted, at: start..start + value.len() });
        rest = trim_start(after);
    }
    Ok((trim(kind).to_ascii_lowercase(), params))
}

/// A value, whether it is quoted, and what follows it.
fn value(text: &str) -> Result<(&str, bool, &str), Fault> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = quoted.split_once('"').ok_or(Fault::Parameter)?;
        return if value.contains('\\') { Err(Fault::Backslash) } else { Ok((value, true, rest)) };
    }
    let end = text.find([';', ' ', '\t']).unwrap_or(text.len());
    let (value, rest) = text.split_at_checked(end).ok_or(Fault::Parameter)?;
    if is_token(value) { Ok((value, false, rest)) } else { Err(Fault::Parameter) }
}

/// RFC 2045 section 5.1 and RFC 9110 section 5.6.2 agree on these.
pub(super) fn is_token(text: &str) -> bool {
    let is_sign = |byte| b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_sign(byte))
}

/// Without spaces and tabs at both ends.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t'])
}

fn trim_start(text: &str) -> &str {
    text.trim_start_matches([' ', '\t'])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value before the parameters, and their names and values.
    type Expected<'e> = (&'e str, &'e [(&'e str, &'e str)]);

    fn check(text: &str, expect: Result<Expected<'_>, Fault>) {
        let found = read(text);
        if let Ok((_, params)) = &found {
            for param in params {
                assert_eq!(text.get(param.at.clone()), Some(param.value), "{text:?}");
            }
        }
        let found = found.map(|(kind, params)| {
            let params = params.iter().map(|it| (it.name.clone(), it.value.to_owned())).collect();
            (kind, params)
        });
        let expect = expect.map(|(kind, params)| {
            let params: Vec<_> =
                params.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            (kind.to_owned(), params)
        });
        assert_eq!(found, expect, "{text:?}");
    }

    #[test]
    fn parameters_are_tokens_or_quoted() {
        check("text/plain", Ok(("text/plain", &[])));
        check("Text/Plain ; Charset=utf-8", Ok(("text/plain", &[("charset", "utf-8")])));
        check(
            "form-data; name=\"a;b=c\";\tfilename=d.txt ",
            Ok(("form-data", &[("name", "a;b=c"), ("filename", "d.txt")])),
        );
        check("a; b=\"\"", Ok(("a", &[("b", "")])));
    }

    #[test]
    fn parameters_that_readers_read_differently_are_refused() {
        check("a; b=c; B=d", Err(Fault::ParameterTwice));
        check("a; filename*=utf-8''x", Err(Fault::Extended));
        check("a; filename*0=\"x\"", Err(Fault::Extended));
        check("a; b=\"c\\\"d\"", Err(Fault::Backslash));
        for text in [
            "a;",
            "a; b",
            "a; b=",
            "a; b =c",
            "a; b= c",
            "a; b=\"c",
            "a; b=\"c\"d",
            "a; b=c d",
            "a; b=\u{e9}",
        ] {
            check(text, Err(Fault::Parameter));
        }
    }
}
