// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `env` and `env_exclude` of an agent: which variables its command gets, and which it does not.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::model::limits::ENVIRONMENT_NAME_BYTES_MAX;

use super::diagnostic::Diagnostic;
use super::sheet::{Section, Sheet};

/// Variables by which a caller would choose code that runs in the other user's name: those of the dynamic loader
/// (ld.so(8)), of the C library, and of shells. Such a command never gets them.
pub(in crate::policy) const NEVER: &[&str] =
    &["BASH_ENV", "BASH_FUNC_*", "ENV", "GCONV_PATH", "GLIBC_TUNABLES", "IFS", "LD_*", "SHELLOPTS"];
/// Enforcer sets these itself.
pub(in crate::policy) const OWN: &str = "ENFORCER_";

/// A name of variables, or the beginning of several with `*` at its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NamePattern(String);

impl NamePattern {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let name = text.strip_suffix('*').unwrap_or(text);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        match name.bytes().next() {
            None if text.is_empty() => Err("a variable has a name"),
            None => Err("`*` alone names every variable; name what is needed"),
            Some(_) if name.contains('*') => Err("`*` stands only at the end of a name"),
            Some(b'0'..=b'9') => Err("a name does not begin with a digit"),
            Some(_) if !name.bytes().all(is_plain) => Err("letters, digits and `_`"),
            Some(_) if name.len() > ENVIRONMENT_NAME_BYTES_MAX => Err("too long for a name"),
            Some(_) => Ok(Self(text.to_owned())),
        }
    }

    /// Whether this variable is named.
    #[must_use]
    pub fn admits(&self, variable: &str) -> bool {
        admits(&self.0, variable)
    }
}

fn admits(pattern: &str, variable: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => variable.starts_with(beginning),
        None => pattern == variable,
    }
}

pub(in crate::policy) fn any(patterns: &[&str], variable: &str) -> bool {
    patterns.iter().any(|pattern| admits(pattern, variable))
}

/// What `env` and `env_exclude` of an agent say.
#[derive(Clone, Debug, Default)]
pub(in crate::policy) struct Names {
    pub(in crate::policy) allowed: Vec<NamePattern>,
    pub(in crate::policy) excluded: Vec<NamePattern>,
}

/// The keys that are read here.
pub(super) const KEYS: [&str; 2] = ["env", "env_exclude"];

pub(in crate::policy) fn read(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Names {
    let [allowed, excluded] = KEYS.map(|key| read_names(sheet, section, key));
    for (pattern, span) in &allowed {
        if any(NEVER, pattern.0.trim_end_matches('*')) {
            let message = format!("`{}` is never passed to another user", pattern.0);
            sheet.error(span.clone(), message).help =
                Some("it would choose code that runs in that user's name".to_owned());
        }
    }
    for (pattern, span) in allowed.iter().chain(&excluded) {
        if pattern.0.starts_with(OWN) {
            let message = format!("`{}` belongs to Enforcer, which sets it itself", pattern.0);
            sheet.error(span.clone(), message);
        }
    }
    let plain = |names: Vec<(NamePattern, Range<usize>)>| {
        names.into_iter().map(|(pattern, _)| pattern).collect()
    };
    Names { allowed: plain(allowed), excluded: plain(excluded) }
}

fn read_names(
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    key: &str,
) -> Vec<(NamePattern, Range<usize>)> {
    let words = sheet.texts(section, key).unwrap_or_default();
    let mut names = Vec::new();
    for word in words {
        match NamePattern::parse(&word.text) {
            Ok(pattern) => names.push((pattern, word.span)),
            Err(why) => {
                let message = format!("`{}` names no variable", word.text);
                let found = Diagnostic::error(sheet.file, word.span, message).label(why);
                sheet.push(found.help("for example `MY_FLAG`, or `AWS_*` for all that begin so"));
            }
        }
    }
    names
}
