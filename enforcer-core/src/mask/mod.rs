// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Detectors, and the masker that replaces what they find, whole or while it streams.
//!
//! Works on decoded text: escapes, encodings and events are the protocol rooms' part. Errs to masking:
//! what two detectors claim is masked as one, in the strictest of their styles. Bounded: no pattern
//! matches more than [`MASK_HOLD_BYTES_MAX`](crate::model::limits::MASK_HOLD_BYTES_MAX) bytes, and no detector
//! more than [`MASK_LONG_BYTES_MAX`](crate::model::limits::MASK_LONG_BYTES_MAX), so a stream never holds back more
//! than that plus a few bytes of context. All detectors are linear.
//!
//! Styles on `ann@example.com` and `4111 1111 1111 1111`:
//! - [`Style::Label`]: `[email]`, `[credit-card]`: the detector's name, nothing of the text;
//! - [`Style::Hash`]: `[email:5f0c2f3a91]`: equal texts stay equal on one host. The hash has a key
//!   ([`HashKey`]): without it nobody finds a card by trying all numbers, and two hosts' hashes differ;
//! - [`Style::Partial`]: `[email:example.com]`, `[credit-card:1111]`: the domain, or the last four
//!   characters if these are at most a third of the text.

mod builtin;
mod card;
mod detector;
mod email;
mod engine;
mod key;
mod long;
mod look;
mod masker;
mod parts;
mod pattern;
mod secret;
mod style;
mod text;
mod unescape;
mod window;

#[cfg(test)]
mod tests;

pub use builtin::Builtin;
pub use detector::{DetectorKind, DetectorSpec};
pub use key::HashKey;
pub use look::{DetectorSet, Look};
pub use masker::{MaskStream, Masked, Masker};
pub use parts::{MaskedParts, Reading};
pub use secret::{hide_in_query, is_secret_name, secrets_of_head};
pub use style::Style;
pub use text::TextStream;
pub use unescape::unescaped;

/// What is wrong with a detector.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// The pattern matches the empty text, hence everywhere.
    #[error("failed to compile detector `{detector}`: pattern `{pattern}` matches the empty text")]
    Empty {
        /// The detector.
        detector: String,
        /// Its pattern.
        pattern: String,
    },
    /// The pattern has no longest match, or one that is too long to be held back in a stream.
    #[error(
        "failed to compile detector `{detector}`: a match of pattern `{pattern}` may be longer than {limit} bytes"
    )]
    TooLong {
        /// The detector.
        detector: String,
        /// Its pattern.
        pattern: String,
        /// The longest match that is possible.
        limit: usize,
    },
    /// The pattern is not a regular expression.
    #[error("failed to compile detector `{detector}`: pattern `{pattern}` is not valid: {reason}")]
    Syntax {
        /// The detector.
        detector: String,
        /// Its pattern.
        pattern: String,
        /// What the parser says.
        reason: String,
    },
}
