// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Credentials that the agent never holds: read when they are needed, put in behind everything that is
//! recorded, and never written anywhere. What cannot be read refuses.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use enforcer_core::model::{CredentialName, DenyReason, limits};
use enforcer_core::policy::{Credential, Policy, Secret};
use enforcer_core::record::{Cause, Recorded};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use super::refusal::Refusal;
use crate::runtime;

/// Where systemd puts the credentials of a unit (systemd.exec(5), `LoadCredential=`).
const SYSTEMD: &str = "CREDENTIALS_DIRECTORY";

/// Headers that are put in.
#[derive(Default)]
pub(super) struct Credentials(Vec<(HeaderName, HeaderValue)>);

impl Credentials {
    /// Whether one of them is put in under this name.
    pub(super) fn replace(&self, name: &HeaderName) -> bool {
        self.0.iter().any(|(header, _)| header == name)
    }

    /// Their names.
    pub(super) fn names(&self) -> impl Iterator<Item = &HeaderName> {
        self.0.iter().map(|(name, _)| name)
    }

    /// What must not be recorded of them: their values, with and without a scheme in front.
    pub(super) fn secrets(&self) -> Vec<String> {
        let values = self.0.iter().map(|(_, value)| String::from_utf8_lossy(value.as_bytes()));
        let each = values.flat_map(|value| {
            let bare = value.split_once(' ').map(|(_, bare)| bare.to_owned());
            std::iter::once(value.into_owned()).chain(bare)
        });
        each.collect()
    }

    /// Puts them in, instead of what the agent sent under these names.
    pub(super) fn put_into(self, headers: &mut HeaderMap) {
        for (name, value) in self.0 {
            headers.insert(name, value);
        }
    }
}

/// Reads the secrets of these credentials.
pub(super) async fn fetch(
    policy: &Policy,
    names: &BTreeSet<CredentialName>,
) -> Result<Credentials, Refusal> {
    let mut credentials = Credentials::default();
    for name in names {
        let unavailable = |why: &str| {
            tracing::error!(credential = %name, why, "request refused: credential not available");
            let why = Recorded::of(why, &policy.masker_of_everything());
            let cause = Cause::Credential { name: name.clone(), why };
            Refusal::of(DenyReason::CredentialUnavailable, cause)
        };
        // A bundle with such an obligation is refused when it is checked.
        let found =
            policy.credential(name).ok_or_else(|| unavailable("not in the bundle"))?.clone();
        let read = runtime::heavy(move || header(&found)).await;
        let (header, value) = read
            .unwrap_or_else(|panicked| Err(io::Error::other(panicked)))
            .map_err(|error| unavailable(&error.to_string()))?;
        if credentials.0.iter().any(|(taken, _)| *taken == header) {
            return Err(unavailable("another credential wants the same header"));
        }
        credentials.0.push((header, value));
    }
    Ok(credentials)
}

fn header(credential: &Credential) -> io::Result<(HeaderName, HeaderValue)> {
    let secret = match &credential.secret {
        Secret::File(path) => read(Path::new(path))?,
        Secret::Env(name) => std::env::var(name).map_err(io::Error::other)?,
        Secret::Systemd(name) => {
            let folder = std::env::var_os(SYSTEMD)
                .ok_or_else(|| io::Error::other("the daemon was not started with credentials"))?;
            read(&PathBuf::from(folder).join(name))?
        }
    };
    let secret = secret.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(io::Error::other("the secret is empty"));
    }
    let name = credential.header.parse().map_err(io::Error::other)?;
    let text = credential.value.replace("{secret}", secret);
    // The text of this error would hold nothing of the value, and the value must stand nowhere.
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_invalid| io::Error::other("the secret cannot stand in a header"))?;
    value.set_sensitive(true);
    Ok((name, value))
}

fn read(path: &Path) -> io::Result<String> {
    // Non-blocking, so that a pipe in the file's place cannot hold up the exchange.
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("the secret is no plain file"));
    }
    let mut text = String::new();
    file.take(limits::SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > limits::SECRET_BYTES_MAX {
        return Err(io::Error::other("the secret is too large"));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: Secret) -> io::Result<(HeaderName, HeaderValue)> {
        let (header, value) = ("authorization".to_owned(), "Bearer {secret}".to_owned());
        self::header(&Credential { secret, header, value })
    }

    #[test]
    fn a_secret_is_one_line_of_a_plain_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let written = |text: &str| {
            std::fs::write(&path, text).unwrap();
            of(Secret::File(path.display().to_string()))
        };
        let (name, value) = written("sk-1\n").unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("authorization", &b"Bearer sk-1"[..]));
        assert!(value.is_sensitive() && !format!("{value:?}").contains("sk-1"));
        assert!(written("").is_err() && written("a\nb").is_err());
        assert!(written(&"x".repeat(20_000)).is_err());
        assert!(of(Secret::File(folder.path().display().to_string())).is_err());
        assert!(of(Secret::File("/none".to_owned())).is_err());
        assert!(of(Secret::Env("ENFORCER_NO_SUCH_VARIABLE".to_owned())).is_err());
    }
}
