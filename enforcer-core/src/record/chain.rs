// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The hash chain of a session: each record's hash covers its place, its content and the hash before it.
//!
//! BLAKE3 in key-derivation mode with a context of our own, so that no hash made for another purpose
//! (a body, a bundle) can stand in for a link.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::SessionId;

const LINK_CONTEXT: &str = "enforcer 2026-11 journal link v1";
const GENESIS_CONTEXT: &str = "enforcer 2026-11 journal genesis v1";

/// A BLAKE3 hash; written as 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// The hash of plain bytes: the name of a body.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Wraps the 32 bytes of a hash.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// What the first record of a session follows.
    #[must_use]
    pub fn genesis(session: SessionId) -> Self {
        Self(blake3::derive_key(GENESIS_CONTEXT, &session.as_u64().to_be_bytes()))
    }

    /// The hash of a record: `content` at place `sequence` of `session`, after the record with hash `prev`.
    #[must_use]
    pub fn link(prev: &Self, session: SessionId, sequence: u64, content: &[u8]) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key(LINK_CONTEXT);
        hasher.update(&prev.0);
        hasher.update(&session.as_u64().to_be_bytes());
        hasher.update(&sequence.to_be_bytes());
        hasher.update(content);
        Self(*hasher.finalize().as_bytes())
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(blake3::Hash::from_bytes(self.0).to_hex().as_str())
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a hash.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a hash: expected 64 lower-case hexadecimal digits")]
pub struct NotAHash(pub String);

impl FromStr for Hash {
    type Err = NotAHash;
    fn from_str(text: &str) -> Result<Self, NotAHash> {
        // One hash has one name: upper case would make two files of one body.
        let is_lower = text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        let parsed = blake3::Hash::from_hex(text).ok().filter(|_| is_lower);
        parsed.map(|hash| Self(*hash.as_bytes())).ok_or_else(|| NotAHash(text.to_owned()))
    }
}

impl Serialize for Hash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Where the chain of a session stands: what a signed checkpoint says about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Records so far; also the sequence number of the next one.
    pub count: u64,
    /// Hash of the last record, or the genesis of the session.
    pub hash: Hash,
}

/// The growing end of one session's chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    session: SessionId,
    head: Head,
}

impl Chain {
    /// The chain of a session without records.
    #[must_use]
    pub fn new(session: SessionId) -> Self {
        Self { session, head: Head { count: 0, hash: Hash::genesis(session) } }
    }

    /// The chain of a session that already has records.
    #[must_use]
    pub const fn resume(session: SessionId, head: Head) -> Self {
        Self { session, head }
    }

    /// Where it stands.
    #[must_use]
    pub const fn head(&self) -> Head {
        self.head
    }

    /// Whose chain it is.
    #[must_use]
    pub const fn session(&self) -> SessionId {
        self.session
    }

    /// Links the next record and returns the hash before it and its own.
    pub(super) fn link(&mut self, content: &[u8]) -> (Hash, Hash) {
        let prev = self.head.hash;
        let hash = Hash::link(&prev, self.session, self.head.count, content);
        self.head = Head { count: self.head.count.saturating_add(1), hash };
        (prev, hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_as_written_and_has_one_name() {
        let hash = Hash::of(b"x");
        assert_eq!(hash.to_string().parse(), Ok(hash));
        assert!(hash.to_string().to_uppercase().parse::<Hash>().is_err());
        assert!("ab".parse::<Hash>().is_err());
    }

    #[test]
    fn a_link_depends_on_each_of_its_inputs() {
        let (a, b) = (SessionId::from_u64(1), SessionId::from_u64(2));
        let base = Hash::link(&Hash::genesis(a), a, 0, b"x");
        assert_ne!(base, Hash::link(&Hash::genesis(b), a, 0, b"x"));
        assert_ne!(base, Hash::link(&Hash::genesis(a), b, 0, b"x"));
        assert_ne!(base, Hash::link(&Hash::genesis(a), a, 1, b"x"));
        assert_ne!(base, Hash::link(&Hash::genesis(a), a, 0, b"y"));
        assert_ne!(base, Hash::of(b"x"));
    }
}
