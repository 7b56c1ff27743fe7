// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Files of the journal: made private, replaced atomically, listed in order.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::Error;

/// Makes a folder and its parents, for the owner only.
pub(super) fn make_dir(path: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|source| Error::disk("make the folder", path, source))
}

/// Opens a new file for the owner only; one of that name must not exist.
pub(super) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

/// Makes what happened in a folder (names made, renamed, removed) survive a power loss.
pub(super) fn sync_dir(path: &Path) -> Result<(), Error> {
    let synced = File::open(path).and_then(|dir| dir.sync_all());
    synced.map_err(|source| Error::disk("sync the folder", path, source))
}

/// Writes a file so that after a crash either the old or the new content is there, whole.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    let written = remove_if_there(&temporary).and_then(|()| {
        let mut file = create(&temporary)?;
        file.write_all(bytes)?;
        file.sync_data()?;
        fs::rename(&temporary, path)
    });
    written.map_err(|source| Error::disk("replace", path, source))?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Removes a file; that there is none is fine.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The names in a folder, sorted; none if it does not exist.
pub(super) fn names(path: &Path) -> Result<Vec<String>, Error> {
    let fail = |source| Error::disk("list the folder", path, source);
    let entries = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(fail)?,
    };
    let mut names = Vec::new();
    for entry in entries {
        names.push(entry.map_err(fail)?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The files below a folder, sorted, relative to it.
pub(super) fn files_below(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let (mut files, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        for name in names(&root.join(&folder))? {
            let relative = folder.join(name);
            let path = root.join(&relative);
            let kind = fs::symlink_metadata(&path).map_err(|e| Error::disk("look at", &path, e))?;
            if kind.is_dir() {
                folders.push(relative);
            } else {
                files.push(relative);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// The periods of the journal, oldest first. What was moved aside on a day is older than the day's own.
pub(super) fn periods(dir: &Path) -> Result<Vec<String>, Error> {
    let mut periods = names(&dir.join("periods"))?;
    periods.sort_by_key(|name| match name.split_once('.') {
        Some((day, aside)) => {
            let number = aside.rsplit('-').next().and_then(|n| n.parse().ok()).unwrap_or(0);
            (day.to_owned(), false, number)
        }
        None => (name.clone(), true, 0_u32),
    });
    Ok(periods)
}

/// True for a period that was moved aside.
pub(super) fn is_aside(name: &str) -> bool {
    name.contains('.')
}

/// The folder of a period.
pub(super) fn period_dir(dir: &Path, name: &str) -> PathBuf {
    dir.join("periods").join(name)
}

/// Moves a period aside and returns its new name.
pub(super) fn move_aside(dir: &Path, name: &str, why: &str) -> Result<String, Error> {
    let taken = periods(dir)?;
    let number = 1 + taken.iter().filter(|other| other.starts_with(&format!("{name}."))).count();
    let aside = format!("{name}.{why}-{number}");
    let from = period_dir(dir, name);
    fs::rename(&from, period_dir(dir, &aside)).map_err(|e| Error::disk("move aside", &from, e))?;
    sync_dir(&dir.join("periods"))?;
    Ok(aside)
}
