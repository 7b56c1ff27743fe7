// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why a body was not understood, in words: for the developer whose request was refused, and for the operator.
//!
//! A detail may repeat what a client declared. Whoever shows or records it masks it first.

use super::facts::{Opaque, OpaqueCause};
use super::limits::{DECLARED_SHOWN_CHARS, REQUEST_BODY_BYTES_MAX};

/// Bytes of one MiB, as sizes are shown.
const MIB: usize = 1024 * 1024;

/// Why a body was not understood, as exactly as whoever could not read it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhyOpaque {
    /// The cause, as rules see it.
    pub cause: OpaqueCause,
    /// What exactly is wrong, as a clause; nothing where the cause says it all.
    pub detail: Option<String>,
}

impl WhyOpaque {
    /// A cause of which more is known.
    #[must_use]
    pub fn because(cause: OpaqueCause, detail: impl Into<String>) -> Self {
        Self { cause, detail: Some(detail.into()) }
    }

    /// What is wrong and what to send instead, for the developer of the agent.
    #[must_use]
    pub fn explained(&self) -> String {
        explained(self.cause, self.detail.as_deref(), None)
    }
}

impl From<OpaqueCause> for WhyOpaque {
    fn from(cause: OpaqueCause) -> Self {
        Self { cause, detail: None }
    }
}

impl Opaque {
    /// What is wrong and what to send instead, for the developer of the agent.
    #[must_use]
    pub fn explained(&self) -> String {
        explained(self.cause, self.detail.as_deref(), Some(self.size))
    }

    /// Why the rules could not judge the content, for the operator.
    #[must_use]
    pub fn unjudged(&self) -> String {
        format!("{}, so its content was not judged", self.what())
    }

    /// What a request with the action `opaque` is and why it became one, for whoever reads an explanation.
    #[must_use]
    pub fn sentence(&self) -> String {
        format!("`opaque`: not understood, since {}", self.what())
    }

    fn what(&self) -> String {
        what(self.cause, self.detail.as_deref(), Some(self.size))
    }
}

impl OpaqueCause {
    /// What is wrong, as a clause.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Encoding => {
                "the body is compressed in a way that is not read, or not declared as JSON in UTF-8"
            }
            Self::Fields => "a field of the body is not as the API describes it",
            Self::NotJson => "the body is not JSON",
            Self::Query => "the query has something that the API does not have there",
            Self::TooLarge => "the body is larger than one that is read",
            Self::Truncated => "the body ended before its declared length, or took too long",
        }
    }

    /// What to send instead.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Encoding => {
                "send it as the API documents it (JSON as `application/json` in UTF-8), plain or with gzip, br, zstd \
                 or deflate"
            }
            Self::Fields => "send the fields that the API documents, each once and with its type",
            Self::NotJson => "send valid JSON",
            Self::Query => "leave it out of the query",
            Self::TooLarge => "send less in one request",
            Self::Truncated => "send all of the body, without a pause",
        }
    }
}

/// A word that a client declared, as it may stand in a detail.
#[must_use]
pub fn declared(word: &str) -> String {
    let shown: String = word.chars().take(DECLARED_SHOWN_CHARS).collect();
    let rest = if shown.len() < word.len() { "…" } else { "" };
    format!("`{shown}{rest}`")
}

fn explained(cause: OpaqueCause, detail: Option<&str>, size: Option<i64>) -> String {
    format!("{}; {}", what(cause, detail, size), cause.advice())
}

fn what(cause: OpaqueCause, detail: Option<&str>, size: Option<i64>) -> String {
    match (detail, cause) {
        (Some(detail), _) => detail.to_owned(),
        (None, OpaqueCause::TooLarge) => too_large(size),
        (None, cause) => cause.words().to_owned(),
    }
}

/// A size that nobody declared is the largest number there is.
fn too_large(size: Option<i64>) -> String {
    let most = REQUEST_BODY_BYTES_MAX / MIB;
    match size.filter(|size| *size < i64::MAX).and_then(|size| usize::try_from(size).ok()) {
        Some(size) => {
            let tenths = size.saturating_mul(10).div_ceil(MIB);
            format!("the body has {}.{} MiB; the limit is {most} MiB", tenths / 10, tenths % 10)
        }
        None => format!("the body has more than {most} MiB, which is the limit"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opaque(cause: OpaqueCause, detail: Option<&str>, size: i64) -> Opaque {
        let (method, path) = ("POST".to_owned(), "/v1".to_owned());
        Opaque { method, path, size, cause, detail: detail.map(str::to_owned) }
    }

    #[test]
    fn a_developer_reads_what_is_wrong_and_what_to_send() {
        let check = |cause, detail, size, expect: &str| {
            assert_eq!(opaque(cause, detail, size).explained(), expect);
        };
        check(
            OpaqueCause::TooLarge,
            None,
            44_040_193,
            "the body has 42.1 MiB; the limit is 32 MiB; send less in one request",
        );
        check(
            OpaqueCause::TooLarge,
            None,
            i64::MAX,
            "the body has more than 32 MiB, which is the limit; send less in one request",
        );
        check(OpaqueCause::NotJson, None, 1, "the body is not JSON; send valid JSON");
        check(
            OpaqueCause::Query,
            Some("the query has `model`"),
            1,
            "the query has `model`; leave it out of the query",
        );
    }

    #[test]
    fn a_record_of_before_details_is_read_and_one_without_says_nothing_of_them() {
        let old = r#"{"method":"POST","path":"/v1","size":1,"cause":"encoding"}"#;
        let read: Opaque = serde_json::from_str(old).unwrap();
        assert_eq!(read, opaque(OpaqueCause::Encoding, None, 1));
        assert_eq!(serde_json::to_string(&read).unwrap(), old);
        assert!(read.unjudged().starts_with("the body is compressed in a way"), "{read:?}");
    }

    #[test]
    fn a_long_word_of_a_client_is_cut() {
        assert_eq!(declared("xyz"), "`xyz`");
        assert_eq!(declared(&"é".repeat(65)), format!("`{}…`", "é".repeat(64)));
    }
}
