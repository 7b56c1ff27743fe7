// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The folder of the socket: noted where the daemon made it, so that uninstalling removes that one and no other.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Makes a folder and what is missing above it, and adds what was made to the note, innermost first.
///
/// # Errors
/// If it cannot be made, or not be noted; a folder that is not noted is not left behind.
pub fn make(folder: &Path, note: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|at| !at.exists()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let mut noted: Vec<PathBuf> =
        missing.iter().map(std::path::absolute).collect::<io::Result<_>>()?;
    noted.extend(read(note).into_iter().filter(|known| known.exists()));
    noted.dedup();
    fs::create_dir_all(folder)?;
    let text: String = noted.iter().map(|at| format!("{}\n", at.display())).collect();
    fs::write(note, text).inspect_err(|_error| {
        for made in missing {
            // What another process put there meanwhile keeps it.
            drop(fs::remove_dir(made));
        }
    })
}

/// Removes the folders of the note that are empty, and the note if nothing is left of it. Says which.
pub fn remove(note: &Path) -> Vec<PathBuf> {
    let noted = read(note);
    let removed: Vec<PathBuf> =
        noted.iter().filter(|folder| fs::remove_dir(folder).is_ok()).cloned().collect();
    if noted.iter().all(|folder| !folder.exists()) {
        // There may be none.
        drop(fs::remove_file(note));
    }
    removed
}

fn read(note: &Path) -> Vec<PathBuf> {
    let text = fs::read_to_string(note).unwrap_or_default();
    text.lines().map(PathBuf::from).filter(|folder| folder.is_absolute()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_removed_once_it_is_empty_and_nothing_else_is() {
        let above = tempfile::tempdir().unwrap();
        let (note, folder) = (above.path().join("note"), above.path().join("a/b"));
        make(&folder, &note).unwrap();
        // A second start finds it there.
        make(&folder, &note).unwrap();
        fs::write(folder.join("somebody's"), "").unwrap();
        assert_eq!(remove(&note), Vec::<PathBuf>::new());
        assert!(folder.is_dir() && note.exists());
        fs::remove_file(folder.join("somebody's")).unwrap();
        assert_eq!(remove(&note), [folder.clone(), above.path().join("a")]);
        assert!(!note.exists());

        // One that was there before is nobody's to remove.
        fs::create_dir_all(&folder).unwrap();
        make(&folder, &note).unwrap();
        assert_eq!(remove(&note), Vec::<PathBuf>::new());
        assert!(folder.is_dir());
    }

    #[test]
    fn a_folder_that_cannot_be_noted_is_not_left_behind() {
        let above = tempfile::tempdir().unwrap();
        let folder = above.path().join("a/b");
        make(&folder, &above.path().join("no/note")).unwrap_err();
        assert!(!above.path().join("a").exists());
    }
}
