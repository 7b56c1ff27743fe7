// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of certificates and keys: read with a bound and without following links at the end, written
//! so that a reader sees the old or the new content and never a part.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use enforcer_core::model::limits;

use super::Error;

/// Wraps an I/O error with what was done to which file.
pub(super) fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path: PathBuf = path.to_owned();
    move |source| Error::File { operation, path, source }
}

/// Opens a regular file; a link in the last place is an error when `follow` is false.
pub(super) fn open(path: &Path, follow: bool) -> Result<File, Error> {
    let flags = if follow { 0 } else { libc::O_NOFOLLOW };
    // Non-blocking, so that a pipe in the file's place cannot hold up the start.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags | libc::O_NONBLOCK)
        .open(path)
        .map_err(failed("open", path))?;
    if !file.metadata().map_err(failed("examine", path))?.is_file() {
        return Err(Error::Malformed { path: path.to_owned(), expected: "a regular file" });
    }
    Ok(file)
}

/// Reads a text file up to the limit; a longer one is an error.
pub(super) fn read(file: &File, path: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    file.take(limits::PEM_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed("read", path))?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limits::PEM_BYTES_MAX {
        return Err(Error::Malformed { path: path.to_owned(), expected: "at most 16 MiB" });
    }
    Ok(bytes)
}

/// Creates a new file with exactly this mode and forces it to disk.
pub(super) fn create(path: &Path, mode: u32, content: &[u8]) -> Result<(), Error> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .map_err(failed("create", path))?;
    // The umask may have taken bits away.
    file.set_permissions(Permissions::from_mode(mode)).map_err(failed("set the mode of", path))?;
    file.write_all(content).map_err(failed("write", path))?;
    file.sync_all().map_err(failed("sync", path))
}

/// Replaces `dir/name` with this content, if it is not that already.
pub(super) fn replace(dir: &Path, name: &str, mode: u32, content: &[u8]) -> Result<PathBuf, Error> {
    let path = dir.join(name);
    if holds(&path, mode, content) {
        return Ok(path);
    }
    let draft = dir.join(format!(".{name}.new"));
    remove(&draft)?;
    create(&draft, mode, content)?;
    fs::rename(&draft, &path).map_err(failed("replace", &path))?;
    sync_dir(dir)?;
    Ok(path)
}

/// Creates a folder with exactly this mode if it is missing; one that is there stays as it is.
pub(super) fn create_dir(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    DirBuilder::new().recursive(true).mode(mode).create(path).map_err(failed("create", path))?;
    set_mode(path, mode)
}

/// Sets the permission bits of a folder.
pub(super) fn set_mode(path: &Path, mode: u32) -> Result<(), Error> {
    fs::set_permissions(path, Permissions::from_mode(mode)).map_err(failed("set the mode of", path))
}

/// Forces a folder's entries to disk, so that a rename survives a power cut.
pub(super) fn sync_dir(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(failed("sync", path))
}

/// Removes a file or a folder with all it holds, if there is one.
pub(super) fn remove(path: &Path) -> Result<(), Error> {
    let removed = match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(error) => Err(error),
    };
    match removed {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(failed("remove", path)),
    }
}

fn holds(path: &Path, mode: u32, content: &[u8]) -> bool {
    let Ok(file) = open(path, false) else { return false };
    let same_mode = file.metadata().is_ok_and(|found| found.permissions().mode() & 0o7777 == mode);
    same_mode && read(&file, path).is_ok_and(|found| found == content)
}
