// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the bundle in force comes from: a folder, or the folder as it stands in a git revision; with a
//! signature, if the settings ask for one.
//!
//! What is signed is the digest of everything that decides (`enforcer policy digest DIR`), by minisign. It is
//! checked against what was read, so nothing can change between the check and the use.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use enforcer_core::model::limits;
use enforcer_core::policy::Sources;
use minisign_verify::{PublicKey, Signature};

use super::{bundle, git};

/// Name of the signature inside a bundle.
pub const SIGNATURE_FILE: &str = "bundle.minisig";

/// Where a bundle comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its folder.
    pub folder: PathBuf,
    /// The git revision of which the folder is read; none for the files that lie there.
    pub revision: Option<String>,
    /// The minisign key that has to have signed it, as base64.
    pub key: Option<String>,
}

/// Why a bundle cannot be had from its place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The folder cannot be read.
    #[error(transparent)]
    Folder(#[from] bundle::Error),
    /// The revision cannot be read.
    #[error(transparent)]
    Revision(#[from] git::Error),
    /// A signature is required, and there is none that can be read.
    #[error("the bundle `{}` has no signature: `{SIGNATURE_FILE}` {why}", folder.display())]
    Unsigned {
        /// The folder.
        folder: PathBuf,
        /// Why it cannot be read.
        why: String,
    },
    /// The signature is not by the key, or not for this bundle.
    #[error("the signature of bundle `{}` does not hold: {why}", folder.display())]
    BadSignature {
        /// The folder.
        folder: PathBuf,
        /// What is wrong.
        why: String,
    },
}

impl Place {
    /// The files that lie in a folder, signed by nobody.
    #[must_use]
    pub fn folder(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), revision: None, key: None }
    }

    /// Reads the bundle, and checks its signature where one is required.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(&self) -> Result<Sources, Error> {
        let sources = match &self.revision {
            None => bundle::read_sources(&self.folder)?,
            Some(revision) => git::read_revision(&self.folder, revision, "./")?,
        };
        if let Some(key) = &self.key {
            self.verify(key, &sources)?;
        }
        Ok(sources)
    }

    fn verify(&self, key: &str, sources: &Sources) -> Result<(), Error> {
        let folder = || self.folder.clone();
        let text = self.signature().map_err(|why| Error::Unsigned { folder: folder(), why })?;
        let bad = |error: minisign_verify::Error| Error::BadSignature {
            folder: folder(),
            why: error.to_string(),
        };
        let key = PublicKey::from_base64(key).map_err(bad)?;
        let signature = Signature::decode(&text).map_err(bad)?;
        let signed = format!("{}\n", sources.digest());
        key.verify(signed.as_bytes(), &signature, false).map_err(bad)
    }

    fn signature(&self) -> Result<String, String> {
        let bytes_max = limits::SIGNATURE_BYTES_MAX;
        let bytes = match &self.revision {
            Some(revision) => {
                git::read_file(&self.folder, revision, &format!("./{SIGNATURE_FILE}"), bytes_max)
                    .map_err(|error| error.to_string())?
            }
            None => {
                let file = bundle::open(&self.folder.join(SIGNATURE_FILE));
                let mut bytes = Vec::new();
                let file = file.map_err(|error| crate::runtime::chain(&error))?;
                let read = file.take(bytes_max + 1).read_to_end(&mut bytes);
                read.map_err(|error| error.to_string())?;
                bytes
            }
        };
        if bytes.len() as u64 > bytes_max {
            return Err("is too large".to_owned());
        }
        String::from_utf8(bytes).map_err(|_binary| "is not text".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Cursor;

    use super::*;

    fn sign(pair: &minisign::KeyPair, sources: &Sources) -> String {
        let signed = Cursor::new(format!("{}\n", sources.digest()));
        minisign::sign(None, &pair.sk, signed, None, None).unwrap().into_string()
    }

    #[test]
    fn only_what_the_key_signed_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("policy.toml"), "version = 1\n").unwrap();
        fs::write(folder.path().join("a.cedar"), "// a\n").unwrap();
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let place = Place { key: Some(pair.pk.to_base64()), ..Place::folder(folder.path()) };
        assert!(matches!(place.read(), Err(Error::Unsigned { .. })));
        let sources = Place::folder(folder.path()).read().unwrap();
        let signature = folder.path().join(SIGNATURE_FILE);
        fs::write(&signature, sign(&pair, &sources)).unwrap();
        assert_eq!(place.read().unwrap(), sources);
        // Cases decide nothing, so they need no signature.
        fs::create_dir(folder.path().join("cases")).unwrap();
        fs::write(folder.path().join("cases/a.toml"), "").unwrap();
        assert!(place.read().is_ok());
        fs::write(folder.path().join("a.cedar"), "// b\n").unwrap();
        assert!(matches!(place.read(), Err(Error::BadSignature { .. })), "another text");
        fs::write(folder.path().join("a.cedar"), "// a\n").unwrap();
        fs::write(folder.path().join("b.cedar"), "").unwrap();
        assert!(matches!(place.read(), Err(Error::BadSignature { .. })), "a file more");
        fs::remove_file(folder.path().join("b.cedar")).unwrap();
        let other = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        fs::write(&signature, sign(&other, &sources)).unwrap();
        assert!(matches!(place.read(), Err(Error::BadSignature { .. })), "another key");
        fs::write(&signature, "nothing").unwrap();
        assert!(matches!(place.read(), Err(Error::BadSignature { .. })), "no signature");
    }

    #[test]
    fn a_revision_is_read_with_its_own_signature() {
        let folder = tempfile::tempdir().unwrap();
        let git = |words: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
            let mut git = std::process::Command::new("git");
            let done = git.arg("-C").arg(folder.path()).args(identity).args(words).output();
            assert!(done.unwrap().status.success(), "{words:?}");
        };
        fs::write(folder.path().join("policy.toml"), "version = 1\n").unwrap();
        let pair = minisign::KeyPair::generate_unencrypted_keypair().unwrap();
        let sources = Place::folder(folder.path()).read().unwrap();
        fs::write(folder.path().join(SIGNATURE_FILE), sign(&pair, &sources)).unwrap();
        git(&["init", "-q"]);
        git(&["add", "-A"]);
        git(&["commit", "-qm", "one"]);
        fs::write(folder.path().join("policy.toml"), "version = 1\n# edited\n").unwrap();
        let place = Place {
            revision: Some("HEAD".to_owned()),
            key: Some(pair.pk.to_base64()),
            ..Place::folder(folder.path())
        };
        assert_eq!(place.read().unwrap(), sources, "what is committed, not what lies there");
        git(&["commit", "-qam", "two"]);
        assert!(matches!(place.read(), Err(Error::BadSignature { .. })));
    }
}
