// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The detectors that come with the product: one table, one row each.
//!
//! Secrets are looked for in everything that is stored or logged, whatever a bundle says. Patterns have no boundary on
//! the right, and none on the left where their prefix is rare enough: what stands next to a key must not protect it. A
//! boundary on the left is also an escape such as `\n` or `%3D`, whose letter would otherwise belong to the word. Formats are
//! those that the providers document for secret scanning.

/// A detector that comes with the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Builtin {
    name: &'static str,
    about: &'static str,
    is_secret: bool,
    pub(super) find: Find,
}

/// How a built-in detector finds what it looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Find {
    Card,
    Email,
    /// A regular expression, as bundles have them.
    Pattern(&'static str),
    /// Something longer than a pattern may be, known by its beginning.
    Long(&'static str, Rest),
}

/// How far something goes on that is known by its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// As far as its characters are those of base64url or dots.
    Token,
    /// Up to the end of the first match of this pattern.
    Through(&'static str),
}

const fn personal(name: &'static str, find: Find, about: &'static str) -> Builtin {
    Builtin { name, about, is_secret: false, find }
}

const fn secret(name: &'static str, find: Find, about: &'static str) -> Builtin {
    Builtin { name, about, is_secret: true, find }
}

impl Builtin {
    /// Payment card numbers.
    pub const CREDIT_CARD: Self =
        personal("credit-card", Find::Card, "payment card numbers whose check digit is right");
    /// E-mail addresses.
    pub const EMAIL: Self = personal("email", Find::Email, "e-mail addresses");

    /// All of them, in the order of their names.
    pub const ALL: [Self; 11] = [
        secret(
            "anthropic-key",
            Find::Pattern(r"sk-ant-[0-9A-Za-z_-]{16,250}"),
            "keys of the Anthropic API (`sk-ant-…`)",
        ),
        secret(
            "aws-access-key",
            Find::Pattern(r"(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}"),
            "ids of AWS access keys (`AKIA…`, `ASIA…`)",
        ),
        Self::CREDIT_CARD,
        Self::EMAIL,
        secret(
            "github-token",
            Find::Pattern(r"gh[opsur]_[0-9A-Za-z_]{36,250}|github_pat_[0-9A-Za-z_]{22,250}"),
            "tokens of GitHub (`ghp_…`, `github_pat_…` and their kin)",
        ),
        secret(
            "google-api-key",
            Find::Pattern(r"A[Ii][Zz][Aa][0-9A-Za-z_-]{35}|aiza[0-9a-z_-]{35}"),
            "API keys of Google (`AIza…`)",
        ),
        secret(
            "jwt",
            Find::Long(r"ey[Jj][0-9A-Za-z_-]{8,400}\.ey[Jj][0-9A-Za-z_-]{8}", Rest::Token),
            "JSON Web Tokens (`eyJ….eyJ….…`)",
        ),
        secret(
            "openai-key",
            Find::Pattern(
                r"(?:\b|[_0-9]|\\[nrt]|\\x[0-9a-f]{2}|%[0-9A-Fa-f]{2}|\x1b\[[0-9;]{0,10}m)sk-[0-9A-Za-z]{20,250}|sk-(?:proj|svcacct|admin|None)-[0-9A-Za-z_-]{20,250}",
            ),
            "keys of the OpenAI API, and keys of the same form (`sk-…`)",
        ),
        secret(
            "private-key",
            Find::Long(
                "-----BEGIN(?:[0-9A-Z +]|%20|%2520){1,33}PRIVATE(?:[ +]|%20|%2520)KEY(?:(?:[ +]|%20|%2520)BLOCK)?-----",
                Rest::Through(
                    "-----END(?:[0-9A-Z +]|%20|%2520){1,33}PRIVATE(?:[ +]|%20|%2520)KEY(?:(?:[ +]|%20|%2520)BLOCK)?-----",
                ),
            ),
            "private keys in PEM, the whole block; if the end line is missing, everything that may belong to it",
        ),
        secret(
            "slack-token",
            Find::Pattern(r"xox[abeoprs](?:\.xox[bp])?-[0-9A-Za-z-]{10,250}"),
            "tokens of Slack (`xoxb-…` and their kin)",
        ),
        secret(
            "stripe-key",
            Find::Pattern(r"[rs]k_live_[0-9A-Za-z]{10,250}"),
            "live keys of Stripe (`sk_live_…`, `rk_live_…`)",
        ),
    ];

    /// The name that stands in bundles.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.name
    }

    /// What it finds, in words.
    #[must_use]
    pub const fn about(self) -> &'static str {
        self.about
    }

    /// Whether it finds secrets: what whoever reads it could use.
    #[must_use]
    pub const fn is_secret(self) -> bool {
        self.is_secret
    }

    /// The detector of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|builtin| builtin.name == name)
    }
}
