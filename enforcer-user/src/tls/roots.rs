// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What upstream certificates are verified against, and the client configuration built from it.
//!
//! Only what the operator configured counts; nothing comes from an agent. A named file that cannot
//! be used is an error, not a smaller set.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::{ALPN, Error, files, provider};

/// A source of root certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Root {
    /// The host's certificate store.
    System,
    /// A PEM file of one or more certificates.
    File(PathBuf),
}

/// The client configuration for upstream connections. Make it once for each set of roots and share
/// it: sessions are resumed through it.
///
/// # Errors
/// If a file cannot be read or holds no certificate, or if no root is left at all.
pub fn client_config(roots: &[Root]) -> Result<Arc<ClientConfig>, Error> {
    verified_by(&Anchors::read(roots)?)
}

/// The roots themselves, as they are on the disk.
#[derive(Clone, Debug)]
pub struct Anchors(Arc<RootCertStore>);

impl Anchors {
    /// Reads all of them.
    ///
    /// # Errors
    /// As [`client_config`].
    pub fn read(roots: &[Root]) -> Result<Self, Error> {
        let mut store = RootCertStore::empty();
        for root in roots {
            match root {
                // Distributions ship roots that the library cannot use; those are passed over.
                Root::System => {
                    store.add_parsable_certificates(system_roots());
                }
                Root::File(path) => add_file(&mut store, path)?,
            }
        }
        if store.is_empty() {
            return Err(Error::NoRoots);
        }
        Ok(Self(Arc::new(store)))
    }
}

impl PartialEq for Anchors {
    fn eq(&self, other: &Self) -> bool {
        self.0.roots == other.0.roots
    }
}

/// The client configuration that trusts these roots.
///
/// # Errors
/// If the library refuses.
pub fn verified_by(anchors: &Anchors) -> Result<Arc<ClientConfig>, Error> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|source| Error::Tls { operation: "set up TLS for upstreams", source })?
        .with_root_certificates(Arc::clone(&anchors.0))
        .with_no_client_auth();
    config.alpn_protocols = ALPN.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

/// The certificates of the host's store; unreadable parts are logged and left out.
#[must_use]
pub fn system_roots() -> Vec<CertificateDer<'static>> {
    let loaded = rustls_native_certs::load_native_certs();
    for error in &loaded.errors {
        tracing::warn!(
            error = error as &dyn std::error::Error,
            "part of the system store is unreadable"
        );
    }
    loaded.certs
}

fn add_file(store: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let malformed =
        || Error::Malformed { path: path.to_owned(), expected: "CA certificates in PEM form" };
    let bytes = files::read(&files::open(path, true)?, path)?;
    let mut found = false;
    for certificate in CertificateDer::pem_slice_iter(&bytes) {
        let certificate = certificate.map_err(|_unreadable| malformed())?;
        store.add(certificate).map_err(|_unusable| malformed())?;
        found = true;
    }
    if found { Ok(()) } else { Err(malformed()) }
}
