// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a host would have left if cleaning up were forgotten: mounts, cgroups, processes, programs.
//!
//! It looks at the kernel, not at what Enforcer says about itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use aya::programs::links::{FdLink, PinnedLink};

use crate::cgroup;

/// BPF programs loaded on this host, by id, with their names.
#[must_use]
pub fn programs() -> BTreeSet<(u32, String)> {
    let loaded = aya::programs::loaded_programs().flatten();
    loaded.map(|info| (info.id(), info.name_as_str().unwrap_or_default().to_owned())).collect()
}

/// BPF links on this host, by id.
#[must_use]
pub fn links() -> BTreeSet<u32> {
    aya::programs::loaded_links().flatten().map(|info| info.id()).collect()
}

/// Ids of the program and the link behind each pinned link of a folder.
///
/// # Errors
/// If a pin cannot be read.
pub fn pinned(links: &Path) -> Result<Vec<(u32, u32)>> {
    let ids = |path: PathBuf| {
        let link: FdLink = PinnedLink::from_pin(path)?.into();
        let info = link.info()?;
        Ok((info.program_id(), info.id()))
    };
    fs::read_dir(links)?.map(|entry| ids(entry?.path())).collect()
}

/// Mount points at or below a folder.
#[must_use]
pub fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point.starts_with(folder)).collect()
}

/// Processes of the program `enforcer` whose command line names a file in a folder: id and command line.
///
/// Only those: an editor or a pager that has a file of the folder open is nobody's residue.
#[must_use]
pub fn enforcers_naming(folder: &Path) -> Vec<(i32, String)> {
    // With the slash: `host-1` is no part of `host-10`.
    let text = format!("{}/", folder.display());
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let is_ours = Path::new(line.split(' ').next()?).ends_with("enforcer");
            Some((pid, line)).filter(|(_, line)| is_ours && line.contains(&text))
        })
        .collect()
}

/// Cgroups of harness hosts below the cgroup v2 mount.
#[must_use]
pub fn cgroups_named(prefix: &str) -> Vec<PathBuf> {
    let Ok(mount) = cgroup::mount() else { return Vec::new() };
    let entries = fs::read_dir(mount).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
        .map(|entry| entry.path())
        .collect()
}
