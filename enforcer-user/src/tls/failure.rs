// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a failed handshake means, on either side, so that it is refused with the right reason.

use std::error::Error as StdError;
use std::io;

use enforcer_core::model::DenyReason;
use rustls::AlertDescription;

/// Errors wrapped in errors that are looked through.
const CAUSES_MAX: usize = 8;

/// Why a client's handshake with us failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// The client went away without a word. Some clients leave like this when they do not trust
    /// the CA, but a cancelled request looks the same.
    Aborted,
    /// The client said that it does not accept the certificate: it does not trust the CA, or pins.
    CaUntrusted,
    /// Not TLS, no common version or protocol, or no server name.
    Protocol,
    /// The client did not finish in time.
    Timeout,
}

impl HandshakeFailure {
    /// The reason to refuse with.
    #[must_use]
    pub const fn reason(self) -> DenyReason {
        match self {
            Self::CaUntrusted => DenyReason::CaUntrusted,
            Self::Aborted | Self::Protocol => DenyReason::ProtocolError,
            Self::Timeout => DenyReason::Limit,
        }
    }
}

/// Why our handshake with an upstream failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpstreamFailure {
    /// Its certificate does not verify: issuer, name, validity or form.
    Certificate,
    /// It does not answer, went away, or speaks no TLS that we do.
    Unreachable,
}

impl UpstreamFailure {
    /// The reason to refuse with.
    #[must_use]
    pub const fn reason(self) -> DenyReason {
        match self {
            Self::Certificate => DenyReason::UpstreamCertificate,
            Self::Unreachable => DenyReason::UpstreamUnreachable,
        }
    }
}

/// Tells why a client's handshake failed, from the error of the accepting side.
#[must_use]
pub fn handshake_failure(error: &io::Error) -> HandshakeFailure {
    match tls_error(error) {
        Some(rustls::Error::AlertReceived(alert)) if rejects_certificate(*alert) => {
            HandshakeFailure::CaUntrusted
        }
        Some(_) => HandshakeFailure::Protocol,
        None if error.kind() == io::ErrorKind::TimedOut => HandshakeFailure::Timeout,
        None => HandshakeFailure::Aborted,
    }
}

/// Tells why a handshake with an upstream failed, from the error of the connecting side.
#[must_use]
pub fn upstream_failure(error: &io::Error) -> UpstreamFailure {
    match tls_error(error) {
        Some(
            rustls::Error::InvalidCertificate(_)
            | rustls::Error::InvalidCertRevocationList(_)
            | rustls::Error::NoCertificatesPresented
            | rustls::Error::UnsupportedNameType,
        ) => UpstreamFailure::Certificate,
        _ => UpstreamFailure::Unreachable,
    }
}

/// The alerts of RFC 8446 section 6.2 by which clients turn a certificate down. Which one differs:
/// OpenSSL says `unknown_ca`, Go `bad_certificate`, Java and browsers `certificate_unknown`, and
/// rustls `decrypt_error` when it trusts an older CA of the same name.
fn rejects_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateUnknown
            | AlertDescription::DecryptError
            | AlertDescription::UnknownCA
            | AlertDescription::UnsupportedCertificate
    )
}

/// The TLS library's error inside; an I/O error shows the error it carries only through `get_ref`.
fn tls_error(error: &io::Error) -> Option<&rustls::Error> {
    let mut cause: &(dyn StdError + 'static) = error;
    for _ in 0..CAUSES_MAX {
        if let Some(found) = cause.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        cause = match cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => inner,
            None => cause.source()?,
        };
    }
    None
}
