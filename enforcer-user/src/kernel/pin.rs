// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where things are pinned: `<bpffs>/v<ABI_VERSION>/{maps,links}/NAME`.
//!
//! The version is part of the path, so that two generations with different layouts never share a map.

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use enforcer_common::ABI_VERSION;

use super::{Config, Error};

/// Only root may look at the pins: whoever opens a map can change it.
const FOLDER_MODE: u32 = 0o700;

/// The pin of a map.
pub(super) fn map(config: &Config, name: &str) -> PathBuf {
    maps(config).join(name)
}

/// The pin of a program's link.
pub(super) fn link(config: &Config, name: &str) -> PathBuf {
    links(config).join(name)
}

fn generation(config: &Config) -> PathBuf {
    config.bpffs.join(format!("v{ABI_VERSION}"))
}

fn maps(config: &Config) -> PathBuf {
    generation(config).join("maps")
}

fn links(config: &Config) -> PathBuf {
    generation(config).join("links")
}

/// The pins of all maps.
pub(super) fn maps_pinned(config: &Config) -> Result<Vec<PathBuf>, Error> {
    entries(&maps(config))
}

/// Makes the folders for this generation's pins.
pub(super) fn make_folders(config: &Config) -> Result<(), Error> {
    for folder in [generation(config), maps(config), links(config)] {
        make_folder(&folder)?;
    }
    Ok(())
}

/// Makes one folder; an existing one is left as it is. Says whether it was made.
pub(super) fn make_folder(path: &Path) -> Result<bool, Error> {
    match DirBuilder::new().mode(FOLDER_MODE).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Error::io("create folder", path, source)),
    }
}

/// The entries of a folder, sorted; none when it does not exist.
pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let failed = |source| Error::io("list", folder, source);
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(failed(source)),
    };
    let paths: Result<Vec<_>, _> = listing.map(|entry| entry.map(|found| found.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.sort();
    Ok(paths)
}
