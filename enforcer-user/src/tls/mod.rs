// SPDX-License-Identifier: Apache-2.0 OR MIT
//! TLS on both sides: the certificate authority, leaves minted for the names clients ask for, one
//! shared server configuration, client configurations, and what a failed handshake means.
//!
//! It holds no sockets and decides nothing: whether a connection is inspected was decided before, by
//! the name in the client hello ([`parse_hello`]). It errs closed: without a name there is no
//! certificate, without usable roots there is no upstream, and a CA key that others could have read
//! is not used. No other room says `rcgen`.

mod ca;
mod failure;
mod files;
mod hello;
mod mint;
mod roots;
mod trust;

#[cfg(test)]
mod tests;

pub use ca::Ca;
pub use failure::{HandshakeFailure, UpstreamFailure, handshake_failure, upstream_failure};
pub use hello::{Hello, HelloParse, parse_hello};
pub use mint::server_config;
pub use roots::{Anchors, Root, client_config, system_roots, verified_by};
pub use trust::{Trust, trust_folder, write_trust};

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, aws_lc_rs};

/// What both sides offer, in order of preference.
const ALPN: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// What can go wrong in this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written or examined.
    #[error("failed to {operation} `{path}`")]
    File {
        /// The verb: read, write, create.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Only one of the CA's two files is there.
    #[error("the CA in `{dir}` is incomplete: `{missing}` is missing")]
    Incomplete {
        /// The CA folder.
        dir: PathBuf,
        /// The missing file's name.
        missing: &'static str,
    },
    /// Others may have read or may replace the CA key.
    #[error("`{path}` is open to others: mode {mode:04o}, owner {owner}")]
    Exposed {
        /// The file or folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The owning user id.
        owner: u32,
    },
    /// A file does not hold what it should.
    #[error("`{path}` does not hold {expected}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
    },
    /// Certificate and key do not belong together.
    #[error("`ca.pem` and `ca.key` in `{dir}` do not belong together")]
    Mismatch {
        /// The CA folder.
        dir: PathBuf,
    },
    /// The CA certificate is not valid now.
    #[error("the CA certificate `{path}` is expired or not yet valid")]
    Expired {
        /// The certificate.
        path: PathBuf,
    },
    /// A key or certificate could not be made.
    #[error("failed to make the certificate of `{name}`")]
    Mint {
        /// Whose certificate.
        name: String,
        /// What the library said.
        #[source]
        source: rcgen::Error,
    },
    /// The TLS library refused.
    #[error("failed to {operation}")]
    Tls {
        /// What was attempted.
        operation: &'static str,
        /// What the library said.
        #[source]
        source: rustls::Error,
    },
    /// The system's random numbers or its clock are not available.
    #[error("the {what} of this system cannot be read")]
    System {
        /// Which one.
        what: &'static str,
    },
    /// No root certificate is left to verify upstream servers with.
    #[error("none of the configured upstream roots can be used")]
    NoRoots,
}

impl Error {
    /// What the operator can do about it.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Incomplete { .. } | Self::Mismatch { .. } => Some(
                "restore the missing half from a backup, or remove the folder to have a new CA made",
            ),
            Self::Exposed { .. } => Some(
                "give the folder mode 0700 and the key 0600, owned by the daemon's user; if others \
                 could read the key, remove the folder to have a new CA made",
            ),
            Self::Expired { .. } => {
                Some("check the clock; else remove the CA folder to have a new CA made")
            }
            Self::NoRoots => Some("set `roots` in `[upstream]`, or install `ca-certificates`"),
            Self::File { .. }
            | Self::Malformed { .. }
            | Self::Mint { .. }
            | Self::Tls { .. }
            | Self::System { .. } => None,
        }
    }
}

/// The one crypto provider; never the process-wide default, which another crate could have set.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}
