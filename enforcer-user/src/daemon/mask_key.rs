// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The key of the hashes that stand for masked texts: 32 random bytes in the state folder, made once and for
//! root only, so that hashes stay equal on this host and say nothing to anybody else.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand;
use enforcer_core::mask::HashKey;

const NAME: &str = "mask.key";
/// What a crash may leave of its making.
const DRAFT: &str = ".mask.key.new";

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file could not be read or made.
    #[error("failed to {operation} `{path}`")]
    File {
        /// What was done to it.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not one that this program made.
    #[error(
        "failed to read `{path}`: expected a file of 32 bytes for its owner only; \
         without it hashes of masked texts change, so remove it only if they may"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
    },
    /// The system gives no random bytes.
    #[error("failed to make the key of masks: the random source does not answer")]
    Random,
}

fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { operation, path, source }
}

/// The key of this host; the first call makes it. The folder has to be there, and held by this daemon.
///
/// # Errors
/// When the file is damaged or open to others, or cannot be read or made.
pub(super) fn open_or_create(state: &Path) -> Result<HashKey, Error> {
    let path = state.join(NAME);
    match open(&path)? {
        Some(key) => Ok(key),
        None => create(state, &path),
    }
}

/// Looks whether the key can be used; changes nothing. One that is not there yet is fine.
///
/// # Errors
/// As [`open_or_create`].
pub(super) fn examine(state: &Path) -> Result<(), Error> {
    open(&state.join(NAME)).map(drop)
}

/// The key in the file; none if there is no file.
fn open(path: &Path) -> Result<Option<HashKey>, Error> {
    // Non-blocking, so that a pipe in the file's place cannot hold up the start.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => read(&file, path.to_owned()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed("open", path)(error)),
    }
}

fn read(file: &File, path: PathBuf) -> Result<HashKey, Error> {
    let found = file.metadata().map_err(failed("examine", &path))?;
    let is_ours = found.uid() == 0 || found.uid() == nix::unistd::geteuid().as_raw();
    let is_private = found.is_file() && is_ours && found.mode() & 0o077 == 0;
    let mut bytes = Vec::new();
    // One byte more, to see that there is none.
    let limit = u64::try_from(HashKey::BYTES + 1).unwrap_or(u64::MAX);
    if is_private {
        file.take(limit).read_to_end(&mut bytes).map_err(failed("read", &path))?;
    }
    let key = <[u8; HashKey::BYTES]>::try_from(bytes);
    key.map(HashKey::new).map_err(|_other_length| Error::Malformed { path })
}

/// Makes the key so that after a crash all of it is there, or nothing.
fn create(state: &Path, path: &Path) -> Result<HashKey, Error> {
    let mut bytes = [0; HashKey::BYTES];
    rand::fill(&mut bytes).map_err(|_unspecified| Error::Random)?;
    let draft = state.join(DRAFT);
    match fs::remove_file(&draft) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("remove", &draft)(error));
        }
        _ => {}
    }
    let options = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft);
    let mut file = options.map_err(failed("create", &draft))?;
    file.write_all(&bytes).map_err(failed("write", &draft))?;
    file.sync_all().map_err(failed("sync", &draft))?;
    fs::rename(&draft, path).map_err(failed("create", path))?;
    File::open(state).and_then(|dir| dir.sync_all()).map_err(failed("sync", state))?;
    Ok(HashKey::new(bytes))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use enforcer_core::mask::{Builtin, DetectorKind, DetectorSpec, Masker, Style};
    use enforcer_core::model::DetectorName;

    use super::*;

    fn hash(key: HashKey, text: &str) -> String {
        let kind = DetectorKind::Builtin(Builtin::CREDIT_CARD);
        let spec = DetectorSpec { name: DetectorName::new("card"), kind };
        let masker = Masker::new(vec![(spec, Style::Hash)]).unwrap().with_key(key);
        masker.mask(text).text.into_owned()
    }

    #[test]
    fn the_hashes_of_two_hosts_differ_and_those_of_one_stay_after_a_restart() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let card = "4111111111111111";
        let first = hash(open_or_create(one.path()).unwrap(), card);
        assert_eq!(hash(open_or_create(one.path()).unwrap(), card), first);
        assert_ne!(hash(open_or_create(other.path()).unwrap(), card), first);
        assert_ne!(hash(HashKey::default(), card), first);
        let found = fs::metadata(one.path().join(NAME)).unwrap();
        assert_eq!((found.len(), found.mode() & 0o7777), (32, 0o600));
        // What a crash left does not matter.
        fs::remove_file(one.path().join(NAME)).unwrap();
        fs::write(one.path().join(DRAFT), "x").unwrap();
        assert_ne!(hash(open_or_create(one.path()).unwrap(), card), first);
        assert!(!one.path().join(DRAFT).exists());
    }

    #[test]
    fn a_damaged_key_of_masks_keeps_the_daemon_from_starting() {
        let state = tempfile::tempdir().unwrap();
        let path = state.path().join(NAME);
        for content in ["", "short", &"x".repeat(33)] {
            fs::write(&path, content).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
            let error = open_or_create(state.path()).unwrap_err();
            assert!(matches!(error, Error::Malformed { .. }), "{content}");
            assert!(error.to_string().contains("mask.key"));
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
        }
        fs::write(&path, "x".repeat(32)).unwrap();
        assert!(open_or_create(state.path()).is_ok());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(open_or_create(state.path()), Err(Error::Malformed { .. })));
        fs::rename(&path, state.path().join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(matches!(open_or_create(state.path()), Err(Error::File { .. })));
    }
}
