// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A cgroup of one's own below the cgroup v2 mount, removed again with everything in it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::command::{Interrupt, poll};

/// Time for killed processes to leave a cgroup.
const EMPTY_LIMIT: Duration = Duration::from_secs(10);

/// A cgroup that is removed when dropped.
#[derive(Debug)]
pub struct Cgroup {
    path: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup of this name below the cgroup v2 mount.
    ///
    /// # Errors
    /// If cgroup v2 is not mounted or the cgroup cannot be made.
    pub fn new(name: &str) -> Result<Self> {
        let path = mount()?.join(name);
        fs::create_dir(&path)
            .with_context(|| format!("failed to make the cgroup `{}`", path.display()))?;
        Ok(Self { path })
    }

    /// The cgroup of this name, which an earlier run may have left.
    ///
    /// # Errors
    /// If cgroup v2 is not mounted.
    pub fn left(name: &str) -> Result<Self> {
        Ok(Self { path: mount()?.join(name) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Cgroups below this one.
    #[must_use]
    pub fn children(&self) -> Vec<PathBuf> {
        children(&self.path)
    }

    /// Kills what runs in it and below, and waits until nothing does.
    ///
    /// # Errors
    /// If it cannot be emptied.
    pub fn kill(&self) -> Result<()> {
        fs::write(self.path.join("cgroup.kill"), "1")?;
        poll("an empty cgroup", EMPTY_LIMIT, &Interrupt::default(), || {
            let events = fs::read_to_string(self.path.join("cgroup.events"))?;
            Ok(events.contains("populated 0").then_some(()))
        })
    }

    /// Kills what runs in it and removes it with all cgroups below.
    ///
    /// # Errors
    /// If it cannot be emptied or removed.
    pub fn remove(&self) -> Result<()> {
        if !self.path.exists() {
            return Ok(());
        }
        self.kill()?;
        remove_tree(&self.path)
            .with_context(|| format!("failed to remove the cgroup `{}`", self.path.display()))
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // `TestHost::finish` reports what is left; a drop on the way out of a failure cannot.
        self.remove().ok();
    }
}

/// Where cgroup v2 is mounted on this host.
///
/// # Errors
/// If it is not mounted.
pub fn mount() -> Result<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    // Fields of proc_pid_mountinfo(5): the mount point is the fifth; the type follows the dash.
    mounts
        .lines()
        .filter_map(|line| line.split_once(" - "))
        .find(|(_, right)| right.starts_with("cgroup2 "))
        .and_then(|(left, _)| left.split(' ').nth(4))
        .map(PathBuf::from)
        .context("cgroup v2 is not mounted on this host")
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn remove_tree(path: &Path) -> std::io::Result<()> {
    for child in children(path) {
        remove_tree(&child)?;
    }
    fs::remove_dir(path)
}
