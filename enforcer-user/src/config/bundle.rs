// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads the files of a policy bundle from disk; what they mean is the core's business.
//!
//! Only `policy.toml`, `*.cedar` and `cases/*.toml` are read, and only plain files: the bundle itself may be
//! reached through a link, nothing inside it may be one. A rule file that would be overlooked because it
//! lies in another folder is an error, since a forbid that nobody reads is a hole. Names that begin with a
//! dot (`.git`, locks and swap files of editors) are no part of a bundle. Bounded by
//! [`limits::BUNDLE_BYTES_MAX`] and [`limits::BUNDLE_FILES_MAX`]. Everything is read through the folder that
//! was opened, so a path that leads elsewhere meanwhile changes nothing.

use std::fs::{self, DirEntry, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
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

/// A folder that is held: what is read through it is what was opened, whoever renames or replaces something on
/// its path.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    opened: File,
}

/// Where something is read, and what it is called in messages.
struct Spot {
    real: PathBuf,
    shown: PathBuf,
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
    Folder::open(folder)?.read()
}

impl Folder {
    /// Opens what stands at a path now; the path may lead through links.
    ///
    /// # Errors
    /// If that is no folder, or cannot be opened.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let kind = metadata(path)?;
        if !kind.is_dir() {
            return Err(Error::NotAFolder(path.to_owned()));
        }
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
        let opened = opened.map_err(|source| Error::Read { path: path.to_owned(), source })?;
        Ok(Self { path: path.to_owned(), opened })
    }

    /// The path it was opened by.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// True if its path still leads to it.
    ///
    /// # Errors
    /// If the path leads to no folder.
    pub fn is_in_place(&self) -> Result<bool, Error> {
        let (now, held) = (metadata(&self.path)?, self.opened.metadata());
        let held = held.map_err(|source| Error::Read { path: self.path.clone(), source })?;
        if !now.is_dir() {
            return Err(Error::NotAFolder(self.path.clone()));
        }
        // While it is held its number is nobody else's.
        Ok((now.dev(), now.ino()) == (held.dev(), held.ino()))
    }

    /// A path to it that nothing on its own path changes, for this process and its children.
    #[must_use]
    pub fn held_path(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/fd/{}", std::process::id(), self.opened.as_raw_fd()))
    }

    /// Reads the files of the bundle in it.
    ///
    /// # Errors
    /// As [`read_sources`].
    pub fn read(&self) -> Result<Sources, Error> {
        let (bytes, files) = (limits::BUNDLE_BYTES_MAX, limits::BUNDLE_FILES_MAX);
        let mut budget = Budget { folder: &self.path, bytes, files };
        let here = Spot { real: self.held_path(), shown: self.path.clone() };
        let mut files = Vec::new();
        for entry in entries(&here, &mut budget)? {
            let (name, spot) = (name(&entry), here.join(&entry));
            let kind = entry.file_type().map_err(|source| spot.unreadable(source))?;
            let is_cases = format!("{name}/") == CASES_FOLDER;
            if name == INVENTORY_FILE || name.ends_with(RULES_SUFFIX) {
                files.push(read_file(&spot, name, &mut budget)?);
            } else if is_cases && !kind.is_dir() {
                return Err(Error::NotAPlainFile(spot.shown));
            } else if kind.is_dir() {
                read_folder(&spot, is_cases, &mut files, &mut budget)?;
            }
        }
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Ok(Sources { files })
    }

    /// Opens a plain file in it.
    ///
    /// # Errors
    /// If there is none, or it cannot be opened.
    pub(super) fn open_file(&self, name: &str) -> Result<File, Error> {
        open(&Spot { real: self.held_path().join(name), shown: self.path.join(name) })
    }
}

fn metadata(path: &Path) -> Result<Metadata, Error> {
    fs::metadata(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => Error::Missing(path.to_owned()),
        _ => Error::Read { path: path.to_owned(), source },
    })
}

impl Spot {
    fn join(&self, entry: &DirEntry) -> Self {
        let name = entry.file_name();
        Self { real: self.real.join(&name), shown: self.shown.join(&name) }
    }

    fn unreadable(&self, source: io::Error) -> Error {
        Error::Read { path: self.shown.clone(), source }
    }
}

fn read_folder(
    folder: &Spot,
    is_cases: bool,
    files: &mut Vec<SourceFile>,
    budget: &mut Budget<'_>,
) -> Result<(), Error> {
    for entry in entries(folder, budget)? {
        let (name, spot) = (name(&entry), folder.join(&entry));
        if name.ends_with(RULES_SUFFIX) {
            return Err(Error::Misplaced(spot.shown));
        }
        if is_cases && name.ends_with(".toml") {
            files.push(read_file(&spot, format!("{CASES_FOLDER}{name}"), budget)?);
        }
    }
    Ok(())
}

fn name(entry: &DirEntry) -> String {
    entry.file_name().to_string_lossy().into_owned()
}

fn entries(folder: &Spot, budget: &mut Budget<'_>) -> Result<Vec<DirEntry>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(&folder.real).map_err(|source| folder.unreadable(source))? {
        budget.files = budget.files.checked_sub(1).ok_or_else(|| budget.too_large())?;
        let entry = entry.map_err(|source| folder.unreadable(source))?;
        if !name(&entry).starts_with('.') {
            entries.push(entry);
        }
    }
    Ok(entries)
}

fn read_file(spot: &Spot, relative: String, budget: &mut Budget<'_>) -> Result<SourceFile, Error> {
    let failed = |source| spot.unreadable(source);
    let file = open(spot)?;
    if !file.metadata().map_err(failed)?.is_file() {
        return Err(Error::NotAPlainFile(spot.shown.clone()));
    }
    let mut bytes = Vec::new();
    // One byte more than allowed tells a file that ends there from one that goes on.
    file.take(budget.bytes + 1).read_to_end(&mut bytes).map_err(failed)?;
    let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    budget.bytes = budget.bytes.checked_sub(length).ok_or_else(|| budget.too_large())?;
    let Ok(text) = String::from_utf8(bytes) else { return Err(Error::NotText(spot.shown.clone())) };
    Ok(SourceFile { path: relative, text })
}

/// Opens without following a link and without waiting for the other end of a pipe.
fn open(spot: &Spot) -> Result<File, Error> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new().read(true).custom_flags(flags).open(&spot.real).map_err(|source| {
        if source.raw_os_error() == Some(libc::ELOOP) {
            return Error::NotAPlainFile(spot.shown.clone());
        }
        spot.unreadable(source)
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

    use super::{Error, Folder, read_sources};

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

    #[test]
    fn a_folder_that_is_held_is_read_wherever_it_is_and_another_at_its_path_is_not_it() {
        let above = tempfile::tempdir().expect("a folder");
        let path = above.path().join("bundle");
        fs::rename(folder().keep(), &path).expect("moved");
        let held = Folder::open(&path).expect("a folder");
        let sources = held.read().expect("a bundle");
        assert!(held.is_in_place().expect("a folder"));
        // An editor that saves by renaming a file inside changes nothing about the folder.
        fs::write(path.join("a.cedar~"), "// a\n").expect("written");
        fs::rename(path.join("a.cedar~"), path.join("a.cedar")).expect("renamed");
        assert!(held.is_in_place().expect("a folder"));

        fs::rename(&path, above.path().join("aside")).expect("moved");
        assert!(matches!(held.is_in_place(), Err(Error::Missing(_))));
        fs::create_dir(&path).expect("a folder");
        fs::write(path.join("policy.toml"), "version = 2\n").expect("written");
        assert!(!held.is_in_place().expect("a folder"));
        assert_eq!(held.read().expect("a bundle"), sources);
        fs::remove_dir_all(&path).expect("removed");
        symlink("aside", &path).expect("a link");
        assert!(held.is_in_place().expect("a folder"), "a link to the same folder");
    }
}
