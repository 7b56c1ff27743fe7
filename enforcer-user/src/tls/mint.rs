// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Leaves minted for the name in the client hello, and the one server configuration that hands them
//! out.
//!
//! Minting takes under 0.1 ms with a shared leaf key, so it happens inside the handshake and the
//! cache is small. There is one configuration for all names: resumption needs it, and the library
//! binds each session to its name (RFC 6066 section 3). No name, no certificate: the handshake ends
//! with an alert. Whether this name may be served at all was decided before the handshake.

use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;
use std::time::Duration;

use enforcer_core::model::limits;
use moka::sync::Cache;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::{Ticketer, sign};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};

use super::ca::{self, Ca};
use super::{ALPN, Error, provider};

/// How long a leaf is valid.
const LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long before its end a leaf is replaced: longer than a client keeps a connection waiting.
const RENEW_BEFORE: Duration = Duration::from_secs(24 * 3600);

/// The server configuration for every inspected connection. Make it once and share it.
///
/// # Errors
/// If no leaf key can be made.
pub fn server_config(ca: Ca) -> Result<Arc<ServerConfig>, Error> {
    server_config_at(ca, Arc::new(DefaultTimeProvider))
}

/// As [`server_config`], with a clock.
pub(super) fn server_config_at(
    ca: Ca,
    clock: Arc<dyn TimeProvider>,
) -> Result<Arc<ServerConfig>, Error> {
    let minter = Minter::new(ca, Arc::clone(&clock))?;
    let mut config = ServerConfig::builder_with_details(provider(), clock)
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls { operation: "set up TLS for clients", source })?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(minter));
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    config.session_storage = ServerSessionMemoryCache::new(limits::TLS_SESSIONS_MAX);
    config.ticketer = Ticketer::new()
        .map_err(|source| Error::Tls { operation: "set up session tickets", source })?;
    Ok(Arc::new(config))
}

/// Mints leaves on demand and remembers them.
pub(super) struct Minter {
    ca: Ca,
    key: KeyPair,
    signer: Arc<dyn SigningKey>,
    leaves: Cache<String, Leaf>,
    clock: Arc<dyn TimeProvider>,
}

#[derive(Clone)]
struct Leaf {
    certified: Arc<CertifiedKey>,
    minted: UnixTime,
    renew: UnixTime,
}

impl Leaf {
    /// A clock that was set back makes a leaf stale as well: it might not be valid yet.
    fn is_fresh(&self, now: UnixTime) -> bool {
        let earliest = ca::unix(self.minted.as_secs().saturating_sub(ca::BACKDATE.as_secs() / 2));
        (earliest..self.renew).contains(&now)
    }
}

impl Minter {
    /// Makes the leaf key.
    pub(super) fn new(ca: Ca, clock: Arc<dyn TimeProvider>) -> Result<Self, Error> {
        let key = KeyPair::generate()
            .map_err(|source| Error::Mint { name: "every leaf".to_owned(), source })?;
        let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let signer = sign::any_ecdsa_type(&der)
            .map_err(|source| Error::Tls { operation: "load the leaf key", source })?;
        Ok(Self { ca, key, signer, leaves: Cache::new(limits::LEAVES_MAX), clock })
    }

    /// The leaf of a lower-case name: a remembered one while it is fresh.
    pub(super) fn leaf(&self, name: &str) -> Result<Arc<CertifiedKey>, Error> {
        let now = self.clock.current_time().ok_or(Error::System { what: "clock" })?;
        if let Some(leaf) = self.leaves.get(name).filter(|leaf| leaf.is_fresh(now)) {
            return Ok(leaf.certified);
        }
        let leaf = self.mint(name, now)?;
        self.leaves.insert(name.to_owned(), leaf.clone());
        Ok(leaf.certified)
    }

    fn mint(&self, name: &str, now: UnixTime) -> Result<Leaf, Error> {
        let failed = |source| Error::Mint { name: name.to_owned(), source };
        let end = now.as_secs().saturating_add(LIFETIME.as_secs());
        let end = ca::unix(end.min(self.ca.not_after().as_secs()));
        let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        // Clients judge by the alternative name alone; the subject is for people, where it fits.
        if name.len() <= ca::COMMON_NAME_CHARS_MAX {
            params.distinguished_name.push(DnType::CommonName, name);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        // Python 3.13 verifies strictly and wants the extension (RFC 5280 section 4.2.1.1).
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(ca::serial()?);
        ca::set_validity(&mut params, now, end)?;
        let certificate = params.signed_by(&self.key, self.ca.issuer()).map_err(failed)?;
        let chain = vec![certificate.der().clone()];
        let certified = Arc::new(CertifiedKey::new(chain, Arc::clone(&self.signer)));
        let renew = ca::unix(end.as_secs().saturating_sub(RENEW_BEFORE.as_secs()));
        Ok(Leaf { certified, minted: now, renew })
    }
}

impl ResolvesServerCert for Minter {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // A trailing dot is against RFC 6066 section 3 and must not stand in a certificate.
        let name = hello.server_name()?.trim_end_matches('.').to_ascii_lowercase();
        match self.leaf(&name) {
            Ok(certified) => Some(certified),
            Err(error) => {
                // Without the name, which the agent chose; the refusal that follows tells it, masked.
                let source = std::error::Error::source(&error);
                tracing::error!(error = source, "no leaf minted");
                None
            }
        }
    }
}

impl Debug for Minter {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        out.debug_struct("Minter")
            .field("leaves", &self.leaves.entry_count())
            .finish_non_exhaustive()
    }
}
