// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For a command that runs as root: a mount namespace in which root's ownership does not reach the kernel.
//!
//! Root owns the files through which cgroups, programs and the kernel are set, and needs no capability to
//! write them. In here they are read-only, the pins of programs are not there, and of Enforcer's own files
//! only the public ones are, under names that are held ([`super::hold`]). A user namespace inside cannot undo
//! it: the kernel locks what was mounted before it, and the Landlock domain of root lets nobody change mounts
//! ([`super::domain`]), which would else leave the names behind. Other files of root stay as they are.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};
use nix::sys::statfs::{FsType, statfs};

use super::hold::{hold, hold_name};
use super::{Error, Files};
use crate::runtime::mounts::{MOUNTINFO, Mount, mounts};

/// File systems whose files set something in the kernel, for everybody.
const CONTROLS: [&str; 9] = [
    "binfmt_misc",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "efivarfs",
    "securityfs",
    "sysfs",
    "tracefs",
];
/// Parts of procfs that do the same; those of processes stay writable.
const PROC_CONTROLS: [&str; 9] =
    ["acpi", "bus", "fs", "irq", "mtrr", "scsi", "sys", "sysrq-trigger", "tty"];
/// `linux/magic.h`.
const BPF_FS_MAGIC: i64 = 0xCAFE_4A11;
/// Mode and bytes of the empty folders that stand for the state and for pins.
const COVER_OPTIONS: &str = "mode=0755,size=64k";
/// Nothing in them is a program or a device.
const STRICT: MsFlags = MsFlags::MS_NOSUID.union(MsFlags::MS_NODEV).union(MsFlags::MS_NOEXEC);

const CURRENT_FOLDER: &str = "/proc/self/cwd";
const NONE: Option<&str> = None;

/// Moves this thread, and so the command, into the namespace.
pub(super) fn enter(files: &Files) -> Result<(), Error> {
    let failed = |errno| Error::step("make a mount namespace", errno);
    let here = std::env::current_dir();
    let here = here.map_err(|source| Error::path("read", Path::new(CURRENT_FOLDER), source))?;
    unshare(CloneFlags::CLONE_NEWNS).map_err(failed)?;
    // Private, not slave: a hierarchy that is mounted later outside would come in writable.
    mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE).map_err(failed)?;
    let table = read_table()?;
    for found in table.iter().filter(|found| found.kind == "bpf") {
        cover_programs(&found.point)?;
    }
    for found in table.iter().filter(|found| CONTROLS.contains(&found.kind.as_str())) {
        read_only(&found.point, flags(&found.options))?;
    }
    for found in table.iter().filter(|found| found.kind == "proc") {
        for name in PROC_CONTROLS {
            fix(&found.point.join(name))?;
        }
    }
    let fixed = || files.fixed.iter().map(PathBuf::as_path);
    let held = files.held.iter().map(PathBuf::as_path).chain([files.state.as_path()]);
    fixed().chain(held).try_for_each(hold)?;
    fixed().try_for_each(fix)?;
    hide(&files.state, &files.trust)?;
    // The working folder is still the one of before, below what was put over it.
    std::env::set_current_dir(&here).map_err(|source| Error::path("enter", &here, source))
}

fn read_table() -> Result<Vec<Mount>, Error> {
    mounts().map_err(|source| Error::path("read", Path::new(MOUNTINFO), source))
}

/// Puts an empty folder over pins. One that something covers already cannot be reached. Not unmounted: this process
/// is guarded, and in the hardened tier no such process unmounts pins.
fn cover_programs(point: &Path) -> Result<(), Error> {
    if !statfs(point).is_ok_and(|found| found.filesystem_type() == FsType(BPF_FS_MAGIC)) {
        return Ok(());
    }
    cover(point).map_err(|source| Error::path("cover the programs at", point, source))?;
    read_only(point, STRICT)
}

fn cover(point: &Path) -> io::Result<()> {
    Ok(mount(NONE, point, Some("tmpfs"), STRICT, Some(COVER_OPTIONS))?)
}

/// Makes a path and the mounts below it read-only; what is not there needs no care.
fn fix(path: &Path) -> Result<(), Error> {
    if !path.exists() {
        return Ok(());
    }
    let path = fs::canonicalize(path).map_err(|source| Error::path("resolve", path, source))?;
    hold_name(&path)?;
    let below = read_table()?.into_iter().filter(|found| found.point.starts_with(&path));
    below.into_iter().try_for_each(|found| read_only(&found.point, flags(&found.options)))
}

/// A remount sets all flags of a mount, so those it has are named again.
fn read_only(point: &Path, has: MsFlags) -> Result<(), Error> {
    let flags = has | MsFlags::MS_REMOUNT | MsFlags::MS_BIND | MsFlags::MS_RDONLY;
    mount(NONE, point, NONE, flags, NONE)
        .map_err(|errno| Error::path("make read-only", point, errno.into()))
}

fn flags(options: &str) -> MsFlags {
    let flag = |option: &str| match option {
        "nosuid" => MsFlags::MS_NOSUID,
        "nodev" => MsFlags::MS_NODEV,
        "noexec" => MsFlags::MS_NOEXEC,
        "noatime" => MsFlags::MS_NOATIME,
        "nodiratime" => MsFlags::MS_NODIRATIME,
        "relatime" => MsFlags::MS_RELATIME,
        _ => MsFlags::empty(),
    };
    options.split(',').map(flag).fold(MsFlags::empty(), |all, one| all | one)
}

/// Puts an empty folder over `state` in which only `trust` is seen: keys, journal and bodies are not.
fn hide(state: &Path, trust: &Path) -> Result<(), Error> {
    let failed = |operation| move |source: io::Error| Error::path(operation, state, source);
    let inside = trust.strip_prefix(state).map_err(io::Error::other).map_err(failed("hide"))?;
    let shown = File::open(trust).map_err(failed("show what is public of"))?;
    cover(state).map_err(failed("hide"))?;
    let point = state.join(inside);
    fs::create_dir_all(&point).map_err(failed("hide"))?;
    let shown = PathBuf::from(format!("/proc/self/fd/{}", shown.as_raw_fd()));
    let bound = mount(Some(&shown), &point, NONE, MsFlags::MS_BIND, NONE);
    bound.map_err(io::Error::from).map_err(failed("show what is public of"))?;
    read_only(&point, STRICT)?;
    read_only(state, STRICT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remount_keeps_the_flags_a_mount_has() {
        let expect = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_RELATIME;
        assert_eq!(flags("rw,nosuid,nodev,relatime"), expect);
        assert_eq!(flags("ro"), MsFlags::empty());
    }
}
