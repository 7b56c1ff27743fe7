// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Makes sure that the pin folder is on a bpffs, and undoes exactly that.
//!
//! A bpffs holds no ordinary files, so a note about who mounted it has no place in it. The mount's source
//! carries it instead: it is free text, and everybody can read it in `/proc/self/mountinfo`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount, umount};

use super::mounts::{self, Mount};
use super::{Config, Error, pin};

/// Iterators that the kernel pins into every bpffs it mounts.
const KERNELS_OWN: [&str; 2] = ["maps.debug", "progs.debug"];
/// Where a host mounts its bpffs when it mounts one.
const USUAL: &str = "/sys/fs/bpf";
/// Source of a bpffs that we mounted on a folder that was there.
const OURS: &str = "enforcer";
/// Source of a bpffs that we mounted on a folder that we made for it.
const OURS_WITH_FOLDER: &str = "enforcer-folder";

/// Mounts a bpffs where there is none and makes the pin folder.
pub(super) fn ensure(config: &Config) -> Result<(), Error> {
    if config.bpffs.starts_with(USUAL) && bpffs_of(Path::new(USUAL))?.is_none() {
        mount_at(Path::new(USUAL), OURS)?;
    }
    let is_made = pin::make_folder(&config.bpffs)?;
    if bpffs_of(&config.bpffs)?.is_none() {
        let source = if is_made { OURS_WITH_FOLDER } else { OURS };
        mount_at(&config.bpffs, source)?;
    }
    Ok(())
}

/// Whether the pin folder exists on a bpffs.
pub(super) fn is_there(config: &Config) -> Result<bool, Error> {
    Ok(config.bpffs.is_dir() && bpffs_of(&config.bpffs)?.is_some())
}

/// Removes the pin folder and the mount, as far as they are ours and empty. Says what it did.
pub(super) fn undo(config: &Config, done: &mut Vec<String>) -> Result<(), Error> {
    // The folder may be gone already while the mount had to stay.
    let Some(existing) = config.bpffs.ancestors().find(|path| path.is_dir()) else {
        return Ok(());
    };
    let Some(mount) = bpffs_of(existing)? else {
        return Ok(());
    };
    let is_mount_point = fs::canonicalize(existing).is_ok_and(|path| path == mount.point);
    if !is_mount_point && existing == config.bpffs {
        remove_folder(&config.bpffs, done)?;
    }
    let is_ours = mount.source == OURS || mount.source == OURS_WITH_FOLDER;
    if !is_ours || holds_pins(&mount.point)? {
        return Ok(());
    }
    umount(&mount.point)
        .map_err(|errno| Error::io("unmount", &mount.point, io::Error::from(errno)))?;
    done.push(format!("unmounted `{}`", mount.point.display()));
    if mount.source == OURS_WITH_FOLDER {
        remove_folder(&mount.point, done)?;
    }
    Ok(())
}

/// Whether somebody uses a bpffs; what the kernel puts into every new one does not count.
fn holds_pins(point: &Path) -> Result<bool, Error> {
    let is_pin = |path: &PathBuf| !KERNELS_OWN.iter().any(|name| path.ends_with(name));
    Ok(pin::entries(point)?.iter().any(is_pin))
}

pub(super) fn remove_folder(path: &Path, done: &mut Vec<String>) -> Result<(), Error> {
    fs::remove_dir(path).map_err(|source| Error::io("remove folder", path, source))?;
    done.push(format!("removed `{}`", path.display()));
    Ok(())
}

fn bpffs_of(path: &Path) -> Result<Option<Mount>, Error> {
    Ok(mounts::mount_of(path)?.filter(|mount| mount.kind == "bpf"))
}

fn mount_at(path: &Path, source: &str) -> Result<(), Error> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount(Some(source), path, Some("bpf"), flags, Some("mode=0700"))
        .map_err(|errno| Error::io("mount a bpffs at", path, io::Error::from(errno)))
}
