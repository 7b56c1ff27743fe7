// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What has to be true before a program is loaded, and what the programs must know about the host.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use enforcer_common::{SESSION_DEPTH_BELOW_ATTACH, SESSIONS_CGROUP};
use nix::unistd::geteuid;

use super::{Config, Error, mounts, sys};

pub(super) const KERNEL_BTF: &str = "/sys/kernel/btf/vmlinux";
const OWN_CGROUPS: &str = "/proc/self/cgroup";
const OWN_CGROUP_NAMESPACE: &str = "/proc/self/ns/cgroup";
/// `PROC_CGROUP_INIT_INO`: inode of the initial cgroup namespace, the same on every kernel.
const INITIAL_CGROUP_NAMESPACE: u64 = 0xEFFF_FFFB;

/// The facts that go into the programs' settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Host {
    /// Id of the cgroup that the programs attach to.
    pub(super) cgroup_id: u64,
    /// Absolute level of the session cgroups.
    pub(super) session_level: u32,
    /// Cookie of the daemon's network namespace.
    pub(super) netns_cookie: u64,
}

/// Checks everything that can be checked without changing anything.
pub(super) fn check(config: &Config) -> Result<Host, Error> {
    if !geteuid().is_root() {
        return Err(Error::Host { reason: "loading programs needs root" });
    }
    if !Path::new(KERNEL_BTF).exists() {
        return Err(Error::Host { reason: "the kernel has no BTF (`CONFIG_DEBUG_INFO_BTF`)" });
    }
    check_cgroup_namespace()?;
    let below_root = below_hierarchy_root(config)?;
    check_not_guarded(&below_root)?;
    let metadata = fs::metadata(&config.cgroup);
    let metadata = metadata.map_err(|source| Error::io("read", &config.cgroup, source))?;
    let cookie = sys::netns_cookie();
    let netns_cookie = cookie
        .map_err(|source| Error::syscall("read the cookie of", "/proc/self/ns/net", source))?;
    Ok(Host {
        cgroup_id: metadata.ino(),
        session_level: depth(&below_root) + SESSION_DEPTH_BELOW_ATTACH,
        netns_cookie,
    })
}

/// Levels are counted from the real root; from inside a namespace they cannot be known.
fn check_cgroup_namespace() -> Result<(), Error> {
    let path = Path::new(OWN_CGROUP_NAMESPACE);
    let metadata = fs::metadata(path).map_err(|source| Error::io("read", path, source))?;
    if metadata.ino() == INITIAL_CGROUP_NAMESPACE {
        return Ok(());
    }
    Err(Error::Host { reason: "the daemon runs in a cgroup namespace of its own" })
}

/// The configured cgroup, as a path below the root of the hierarchy.
pub(super) fn below_hierarchy_root(config: &Config) -> Result<PathBuf, Error> {
    let not = || Error::NotCgroup2 { path: config.cgroup.clone() };
    let mount = mounts::mount_of(&config.cgroup)?.filter(|mount| mount.kind == "cgroup2");
    let mount = mount.ok_or_else(not)?;
    let path = fs::canonicalize(&config.cgroup);
    let path = path.map_err(|source| Error::io("resolve", &config.cgroup, source))?;
    let below_mount = path.strip_prefix(&mount.point).ok().ok_or_else(not)?;
    Ok(mount.root.join(below_mount))
}

/// A daemon started from a guarded shell would send its own upstream connections to itself.
fn check_not_guarded(attached: &Path) -> Result<(), Error> {
    let path = Path::new(OWN_CGROUPS);
    let text = fs::read_to_string(path).map_err(|source| Error::io("read", path, source))?;
    match own_cgroup(&text) {
        Some(own) if own.starts_with(attached.join(SESSIONS_CGROUP)) => {
            Err(Error::Guarded { cgroup: own })
        }
        _ => Ok(()),
    }
}

/// The cgroup v2 line is the one with hierarchy 0 and no controllers.
fn own_cgroup(text: &str) -> Option<PathBuf> {
    text.lines().find_map(|line| line.strip_prefix("0::")).map(PathBuf::from)
}

fn depth(path: &Path) -> u32 {
    let names = path.components().filter(|part| matches!(part, Component::Normal(_)));
    u32::try_from(names.count()).unwrap_or(u32::MAX - SESSION_DEPTH_BELOW_ATTACH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_depth_counts_names_only() {
        for (path, expect) in [("/", 0), ("/a", 1), ("/a/b/", 2)] {
            assert_eq!(depth(Path::new(path)), expect, "{path}");
        }
    }

    #[test]
    fn the_own_cgroup_is_the_line_of_the_unified_hierarchy() {
        let text = "12:cpu:/x\n1:name=systemd:/y\n0::/enforcer/1\n";
        assert_eq!(own_cgroup(text), Some(PathBuf::from("/enforcer/1")));
        assert_eq!(own_cgroup("12:cpu:/x\n"), None);
    }
}
