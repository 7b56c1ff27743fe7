// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The secret of the hashes that stand for masked texts.

use std::fmt;

/// Key of the hashes of one host (BLAKE3 in its keyed mode). The default one is known to everybody: for work
/// whose output nobody else reads.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct HashKey([u8; Self::BYTES]);

impl HashKey {
    /// Length of a key, in bytes.
    pub const BYTES: usize = 32;

    /// The key of these bytes, which have to be random and secret.
    #[must_use]
    pub const fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(super) fn hasher(&self) -> blake3::Hasher {
        blake3::Hasher::new_keyed(&self.0)
    }
}

impl fmt::Debug for HashKey {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HashKey")
    }
}
