// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The codings that are undone, by name, and what can be wrong with a body under one.

/// A coding that is undone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// RFC 7932.
    Brotli,
    /// RFC 1950, or the bare stream of RFC 1951 that some clients send under the same name.
    Deflate,
    /// RFC 1952; also called `x-gzip`.
    Gzip,
    /// RFC 8878, within the window of RFC 9659.
    Zstd,
}

/// What is wrong with a body under one coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    /// It is no valid stream, or a checksum does not match.
    Corrupt,
    /// Something follows it that belongs to no stream.
    Garbage,
    /// It expands beyond the bound.
    Large,
    /// It has more members or frames than are read.
    Members,
    /// The caller has no memory for it.
    NoRoom,
    /// It ends before its end.
    Truncated,
    /// It needs a larger window than RFC 9659 permits.
    Window,
}

impl Coding {
    /// The coding of this name, in whatever case.
    pub(super) fn named(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        match () {
            () if is("br") => Some(Self::Brotli),
            () if is("deflate") => Some(Self::Deflate),
            () if is("gzip") || is("x-gzip") => Some(Self::Gzip),
            () if is("zstd") => Some(Self::Zstd),
            () => None,
        }
    }

    /// Its name in a head.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Deflate => "deflate",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }
}
