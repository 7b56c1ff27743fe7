// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the files of a policy bundle from disk; what they mean is the core's business.
//!
//! Only `policy.toml`, `*.cedar` and `cases/*.toml` are read, and only plain files: the bundle itself may be
//! reached through a link, nothing inside it may be one. A rule file that would be overlooked because it
//! lies in another folder is an error, since a forbid that nobody reads is a hole. Names that begin with a
//! dot (`.git`, locks and swap files of editors) are no part of a bundle. Bounded by
//! [`limits::BUNDLE_BYTES_MAX`] and [`limits::BUNDLE_FILES_MAX`].

use std::fs::{self, DirEntry, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use enforcer_core::model::limits;
use enforcer_core::policy::{CASES_FOLDER, INVENTORY_FILE, RULES_SUFFIX, SourceFile, Sources};

/// Why the files of a bundle cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is nothing at the path.
    #[error("failed to read bundle `{}`: there is no such folder", .0.display())]
    Missing(PathBuf),
    /// There is something else at the path.
    #[error("failed to read bundle `{}`: it is not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The host refuses to read it.
    #[error("failed to read `{}`", path.display())]
    Read {
        /// What was to be read.
        path: PathBuf,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A link or a device stands where a plain file is expected.
    #[error("failed to read `{}`: not a plain file", .0.display())]
    NotAPlainFile(PathBuf),
    /// The file is not UTF-8.
    #[error("failed to read `{}`: it is not UTF-8 text", .0.display())]
    NotText(PathBuf),
    /// A rule file lies where rules are not read.
    #[error("failed to read bundle: rules in `{}` would be overlooked", .0.display())]
    Misplaced(PathBuf),
    /// The bundle is too large.
    #[error("failed to read bundle `{}`: more than {} bytes or {} files", .0.display(), limits::BUNDLE_BYTES_MAX, limits::BUNDLE_FILES_MAX)]
    TooLarge(PathBuf),
}

/// What a bundle may still hold.
struct Budget<'b> {
    folder: &'b Path,
    bytes: u64,
    files: usize,
}

/// Reads the files of the bundle in a folder.
///
/// # Errors
/// See [`Error`]. Nothing is read partially: one unreadable file fails the bundle.
pub fn read_sources(folder: &Path) -> Result<Sources, Error> {
    let kind = fs::metadata(folder).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(folder.to_owned()),
        _ => Error::Read { path: folder.to_owned(), source },
    })?;
    if !kind.is_dir() {
        return Err(Error::NotAFolder(folder.to_owned()));
    }
    let mut budget =
        Budget { folder, bytes: limits::BUNDLE_BYTES_MAX, files: limits::BUNDLE_FILES_MAX };
    let mut files = Vec::new();
    for entry in entries(folder, &mut budget)? {
        let name = name(&entry);
        let kind =
            entry.file_type().map_err(|source| Error::Read { path: entry.path(), source })?;
        let is_cases = format!("{name}/") == CASES_FOLDER;
        if name == INVENTORY_FILE || name.ends_with(RULES_SUFFIX) {
            files.push(read_file(&entry.path(), name, &mut budget)?);
        } else if is_cases && !kind.is_dir() {
            return Err(Error::NotAPlainFile(entry.path()));
        } else if kind.is_dir() {
            read_folder(&entry.path(), is_cases, &mut files, &mut budget)?;
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(Sources { files })
}

fn read_folder(
    folder: &Path,
    is_cases: bool,
    files: &mut Vec<SourceFile>,
    budget: &mut Budget<'_>,
) -> Result<(), Error> {
    for entry in entries(folder, budget)? {
        let name = name(&entry);
        if name.ends_with(RULES_SUFFIX) {
            return Err(Error::Misplaced(entry.path()));
        }
        if is_cases && name.ends_with(".toml") {
            files.push(read_file(&entry.path(), format!("{CASES_FOLDER}{name}"), budget)?);
        }
    }
    Ok(())
}

fn name(entry: &DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

fn entries(folder: &Path, budget: &mut Budget<'_>) -> Result<Vec<DirEntry>, Error> {
    let failed = |source| Error::Read { path: folder.to_owned(), source };
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        budget.files = budget.files.checked_sub(1).ok_or_else(|| budget.too_large())?;
        let entry = entry.map_err(failed)?;
        if !name(&entry).starts_with('.') {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn read_file(path: &Path, relative: String, budget: &mut Budget<'_>) -> Result<SourceFile, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = open(path)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotAPlainFile(path.to_owned()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that ends there from one that goes on.
    file.take(budget.bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    budget.bytes = budget.bytes.checked_sub(length).ok_or_else(|| budget.too_large())?;
    let Ok(text) = String::from_utf8(bytes) else { return Err(Error::NotText(path.to_owned())) };
    Ok(SourceFile { path: relative, text })
}

/// Opens without following a link and without waiting for the other end of a pipe.
pub(super) fn open(path: &Path) -> Result<File, Error> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(|source| {
        if source.raw_os_error() == Some(libc::ELOOP) {
            return Error::NotAPlainFile(path.to_owned());
        }
        Error::Read { path: path.to_owned(), source }
    })
}

impl Budget<'_> {
    fn too_large(&self) -> Error {
        Error::TooLarge(self.folder.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::{Error, read_sources};

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("policy.toml"), "version = 1\n").expect("written");
        fs::write(folder.path().join("a.cedar"), "// a\n").expect("written");
        fs::create_dir(folder.path().join("cases")).expect("a folder");
        fs::write(folder.path().join("cases/a.toml"), "").expect("written");
        folder
    }

    #[test]
    fn only_the_files_of_the_language_are_read() {
        let folder = folder();
        fs::write(folder.path().join("README.md"), [0xff]).expect("written");
        fs::create_dir(folder.path().join("notes")).expect("a folder");
        symlink("ann@host.1", folder.path().join(".#a.cedar")).expect("the lock of an editor");
        let sources = read_sources(folder.path()).expect("a bundle");
        let paths: Vec<&str> = sources.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a.cedar", "cases/a.toml", "policy.toml"]);
    }

    #[test]
    fn links_inside_a_bundle_are_refused_and_a_link_to_it_is_not() {
        let folder = folder();
        let beside = tempfile::tempdir().expect("a folder");
        symlink(folder.path(), beside.path().join("current")).expect("a link");
        assert!(read_sources(&beside.path().join("current")).is_ok());
        symlink("/etc/hostname", folder.path().join("b.cedar")).expect("a link");
        assert!(matches!(read_sources(folder.path()), Err(Error::NotAPlainFile(_))));
    }

    #[test]
    fn a_linked_cases_folder_a_stray_rule_file_and_bad_text_are_refused() {
        let stray = folder();
        fs::create_dir(stray.path().join("more")).expect("a folder");
        fs::write(stray.path().join("more/forbid.cedar"), "").expect("written");
        assert!(matches!(read_sources(stray.path()), Err(Error::Misplaced(_))));

        let linked = folder();
        fs::remove_dir_all(linked.path().join("cases")).expect("removed");
        symlink(stray.path(), linked.path().join("cases")).expect("a link");
        assert!(matches!(read_sources(linked.path()), Err(Error::NotAPlainFile(_))));

        let binary = folder();
        fs::write(binary.path().join("b.cedar"), [0xff, 0xfe]).expect("written");
        assert!(matches!(read_sources(binary.path()), Err(Error::NotText(_))));
    }

    #[test]
    fn a_bundle_beyond_the_limit_is_refused() {
        let folder = folder();
        let half = usize::try_from(super::limits::BUNDLE_BYTES_MAX).expect("fits") / 2;
        fs::write(folder.path().join("b.cedar"), " ".repeat(half)).expect("written");
        assert!(read_sources(folder.path()).is_ok());
        fs::write(folder.path().join("c.cedar"), " ".repeat(half)).expect("written");
        assert!(matches!(read_sources(folder.path()), Err(Error::TooLarge(_))));
    }

    #[test]
    fn a_missing_folder_and_a_file_are_told_apart() {
        let folder = folder();
        assert!(matches!(read_sources(&folder.path().join("x")), Err(Error::Missing(_))));
        assert!(matches!(read_sources(&folder.path().join("a.cedar")), Err(Error::NotAFolder(_))));
    }
}
