// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What makes a guarded process trust the CA: two public files and the environment variables that
//! point runtimes to them.
//!
//! It does not touch the host's certificate store. The folder is readable by everybody, because a
//! guarded process may run as any user; it holds no secret.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::CertificateDer;

use super::ca::{self, Ca};
use super::{Error, files};

const FOLDER: &str = "trust";

/// Which of the two files a variable names.
#[derive(Clone, Copy)]
enum Holds {
    /// The variable replaces the runtime's roots, so it names the host's roots with ours.
    Bundle,
    /// The variable adds to the runtime's roots, so it names ours alone.
    Ca,
}

/// The variables, with the document that defines each. Proxies that start agents set the same ones
/// (httpjail `docs/advanced/tls-interception.md`; Claude Code's and mitmproxy's lists).
///
/// `SSL_CERT_DIR` is left alone: OpenSSL and Go read it beside the file, and the default is right.
const VARIABLES: [(&str, Holds); 16] = [
    // OpenSSL `SSL_CTX_set_default_verify_paths(3)`; also Go `crypto/x509`, Ruby, Python `ssl`,
    // httpx (docs, "Environment Variables"), uv, rustls-native-certs.
    ("SSL_CERT_FILE", Holds::Bundle),
    // Python requests, "SSL Cert Verification".
    ("REQUESTS_CA_BUNDLE", Holds::Bundle),
    // curl(1) `--cacert`; requests falls back to it.
    ("CURL_CA_BUNDLE", Holds::Bundle),
    // Node.js CLI, "NODE_EXTRA_CA_CERTS=file": added to the built-in roots. Also Bun.
    ("NODE_EXTRA_CA_CERTS", Holds::Ca),
    // git-config(1) `http.sslCAInfo`.
    ("GIT_SSL_CAINFO", Holds::Bundle),
    // pip, "Configuration": `--cert` as environment variable.
    ("PIP_CERT", Holds::Bundle),
    // AWS CLI and SDKs, setting `ca_bundle`.
    ("AWS_CA_BUNDLE", Holds::Bundle),
    // Cargo book, configuration `http.cainfo`.
    ("CARGO_HTTP_CAINFO", Holds::Bundle),
    // Deno, "Environment variables": added to the chosen stores.
    ("DENO_CERT", Holds::Ca),
    // gRPC core, `doc/environment_variables.md`.
    ("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", Holds::Bundle),
    // Google Cloud CLI, property `core/custom_ca_certs_file`.
    ("CLOUDSDK_CORE_CUSTOM_CA_CERTS_FILE", Holds::Bundle),
    // Python httplib2, `certs.py`: google-api-python-client uses it.
    ("HTTPLIB2_CA_CERTS", Holds::Bundle),
    // Python websocket-client, FAQ and `_http.py`.
    ("WEBSOCKET_CLIENT_CA_BUNDLE", Holds::Bundle),
    // Codex CLI, custom CA for its own HTTP client; it takes a bundle.
    ("CODEX_CA_CERTIFICATE", Holds::Bundle),
    // Nixpkgs patches OpenSSL and others to prefer it over `SSL_CERT_FILE`.
    ("NIX_SSL_CERT_FILE", Holds::Bundle),
    // Elixir Hex, `mix help hex.config`, `cacerts_path`.
    ("HEX_CACERTS_PATH", Holds::Bundle),
];

/// The public files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trust {
    /// Our certificate alone.
    pub ca: PathBuf,
    /// The host's roots and ours.
    pub bundle: PathBuf,
}

impl Trust {
    /// The environment variables for a guarded process.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let value = |holds| match holds {
            Holds::Bundle => self.bundle.display().to_string(),
            Holds::Ca => self.ca.display().to_string(),
        };
        VARIABLES.iter().map(|&(name, holds)| (name.to_owned(), value(holds))).collect()
    }
}

/// The folder of the public files.
#[must_use]
pub fn trust_folder(state: &Path) -> PathBuf {
    state.join(FOLDER)
}

/// Writes `state/trust/ca.pem` and `state/trust/bundle.pem`, readable by everybody, and opens the
/// state folder for traversal. Files that are right already stay untouched.
///
/// # Errors
/// If a file or folder cannot be written.
pub fn write_trust(state: &Path, ca: &Ca, system: &[CertificateDer<'_>]) -> Result<Trust, Error> {
    let dir = trust_folder(state);
    files::create_dir(state, 0o711)?;
    let mode = fs::metadata(state).map_err(files::failed("examine", state))?.permissions().mode();
    if mode & 0o011 != 0o011 {
        // Traversal shows no names and opens no file; what is private below has its own mode.
        files::set_mode(state, (mode & 0o7777) | 0o011)?;
    }
    files::create_dir(&dir, 0o755)?;
    files::set_mode(&dir, 0o755)?;
    let bundle = bundle(ca, system);
    Ok(Trust {
        ca: files::replace(&dir, "ca.pem", 0o644, ca.certificate_pem().as_bytes())?,
        bundle: files::replace(&dir, "bundle.pem", 0o644, bundle.as_bytes())?,
    })
}

/// Ours first, so that a person who opens the file sees what is special about it.
fn bundle(ca: &Ca, system: &[CertificateDer<'_>]) -> String {
    let mut text = String::from("# Enforcer: the CA of this host, then the host's own roots.\n");
    text.push_str(ca.certificate_pem());
    for root in system.iter().filter(|root| *root != ca.certificate()) {
        let _infallible = write!(text, "{}", ca::to_pem(root));
    }
    text
}
