// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where the bundle in force comes from: a folder, or the folder as it stands in a git revision; with a
//! signature, if the settings ask for one.
//!
//! What is signed is the digest of everything that decides (`enforcer policy digest DIR`), by minisign. It is
//! checked against what was read, so nothing can change between the check and the use.
//!
//! SECURITY: a path is only a name. Who may rename a folder above the bundle could put another one behind the same
//! path, so what was opened once is held, and another folder behind the path is refused until somebody asks for it.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use enforcer_core::model::limits;
use enforcer_core::policy::Sources;
use minisign_verify::{PublicKey, Signature};

use super::bundle::{self, Folder};
use super::git::{self, Repository};

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

/// A place of which the folders are held open.
#[derive(Debug)]
pub struct Held {
    place: Place,
    folder: Folder,
    repository: Option<HeldRepository>,
}

/// The repository, by what is held of it.
#[derive(Debug)]
struct HeldRepository {
    folders: Vec<Folder>,
    repository: Repository,
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
    /// Another folder than the one that is held stands at its path.
    #[error(
        "`{}` is another folder than the one that was opened; if that is meant, tell the daemon: `systemctl reload enforcer`, or `kill -HUP {}`",
        .0.display(),
        std::process::id()
    )]
    Replaced(PathBuf),
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

    /// Opens what stands there now.
    ///
    /// # Errors
    /// If a folder cannot be opened, or git knows of no repository.
    pub fn open(&self) -> Result<Held, Error> {
        let folder = Folder::open(&self.folder)?;
        let repository =
            self.revision.as_ref().map(|_| HeldRepository::open(&folder)).transpose()?;
        Ok(Held { place: self.clone(), folder, repository })
    }

    /// Reads the bundle, and checks its signature where one is required.
    ///
    /// # Errors
    /// See [`Error`].
    pub fn read(&self) -> Result<Sources, Error> {
        self.open()?.read()
    }
}

impl Held {
    /// Opens what stands at the place now.
    ///
    /// # Errors
    /// As [`Place::open`].
    pub fn open_anew(&self) -> Result<Self, Error> {
        self.place.open()
    }

    /// The folder as the settings name it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Every folder that decides what is read.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.folders().map(Folder::path)
    }

    /// Reads the bundle out of what is held, and checks its signature where one is required.
    ///
    /// # Errors
    /// See [`Error`]; also if something else stands at its path by now.
    pub fn read(&self) -> Result<Sources, Error> {
        for folder in self.folders() {
            if !folder.is_in_place()? {
                return Err(Error::Replaced(folder.path().to_owned()));
            }
        }
        let sources = match self.revision() {
            None => self.folder.read()?,
            Some((revision, of)) => of.read_revision(revision, "./")?,
        };
        if let Some(key) = &self.place.key {
            self.verify(key, &sources)?;
        }
        Ok(sources)
    }

    fn folders(&self) -> impl Iterator<Item = &Folder> {
        let of_git = self.repository.iter().flat_map(|repository| &repository.folders);
        std::iter::once(&self.folder).chain(of_git)
    }

    fn revision(&self) -> Option<(&str, &Repository)> {
        Some((self.place.revision.as_deref()?, &self.repository.as_ref()?.repository))
    }

    fn verify(&self, key: &str, sources: &Sources) -> Result<(), Error> {
        let folder = || self.place.folder.clone();
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
        let bytes = match self.revision() {
            Some((revision, of)) => of
                .read_file(revision, &format!("./{SIGNATURE_FILE}"), bytes_max)
                .map_err(|error| error.to_string())?,
            None => {
                let file = self.folder.open_file(SIGNATURE_FILE);
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

impl HeldRepository {
    fn open(folder: &Folder) -> Result<Self, Error> {
        let found = Repository::around(&folder.held_path())?;
        let git_dir = Folder::open(&found.git_dir)?;
        let common_dir = Folder::open(&found.common_dir)?;
        let repository = Repository {
            git_dir: git_dir.held_path(),
            common_dir: common_dir.held_path(),
            prefix: found.prefix.clone(),
        };
        // Named by their own paths, by which they are compared later.
        let borrowed = found.borrowed()?;
        let borrowed: Result<Vec<Folder>, _> = borrowed.iter().map(|it| Folder::open(it)).collect();
        let folders = [git_dir, common_dir].into_iter().chain(borrowed?).collect();
        Ok(Self { folders, repository })
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

    #[test]
    fn another_folder_at_the_same_path_is_refused_until_it_is_opened_anew() {
        let above = tempfile::tempdir().unwrap();
        let [folder, aside] = ["bundle", "aside"].map(|name| above.path().join(name));
        let make = |text: &str| {
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("policy.toml"), text).unwrap();
        };
        make("version = 1\n");
        let held = Place::folder(&folder).open().unwrap();
        let sources = held.read().unwrap();
        fs::rename(&folder, &aside).unwrap();
        make("version = 1\n# another\n");
        let refused = held.read().unwrap_err();
        assert!(matches!(&refused, Error::Replaced(path) if *path == folder));
        assert!(refused.to_string().contains("kill -HUP"), "{refused}");
        assert_ne!(held.open_anew().unwrap().read().unwrap(), sources);
        fs::remove_dir_all(&folder).unwrap();
        fs::rename(&aside, &folder).unwrap();
        assert_eq!(held.read().unwrap(), sources);
    }

    #[test]
    fn another_repository_is_refused_above_the_folder_beside_it_and_in_it() {
        let above = tempfile::tempdir().unwrap();
        let bundle = above.path().join("bundle");
        let git = |dir: &Path, words: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com"];
            let mut git = std::process::Command::new("git");
            let done = git.arg("-C").arg(dir).args(identity).args(words).output();
            assert!(done.unwrap().status.success(), "{words:?}");
        };
        let commit = |dir: &Path, text: &str| {
            fs::write(bundle.join("policy.toml"), text).unwrap();
            git(dir, &["init", "-q"]);
            git(dir, &["add", "-A"]);
            git(dir, &["commit", "-qm", "one"]);
        };
        fs::create_dir(&bundle).unwrap();
        commit(above.path(), "version = 1\n");
        let revision = Some("HEAD".to_owned());
        let held = Place { revision, ..Place::folder(&bundle) }.open().unwrap();
        let sources = held.read().unwrap();
        // A nearer one is not even looked for.
        commit(&bundle, "version = 1\n# nearer\n");
        assert_eq!(held.read().unwrap(), sources);
        fs::remove_dir_all(bundle.join(".git")).unwrap();
        fs::rename(above.path().join(".git"), above.path().join("aside")).unwrap();
        commit(above.path(), "version = 1\n# another\n");
        assert!(matches!(held.read(), Err(Error::Replaced(path)) if path.ends_with(".git")));
        // What a new commit in the same repository is for.
        fs::remove_dir_all(above.path().join(".git")).unwrap();
        fs::rename(above.path().join("aside"), above.path().join(".git")).unwrap();
        commit(above.path(), "version = 1\n# next\n");
        assert_ne!(held.read().unwrap(), sources);
    }
}
