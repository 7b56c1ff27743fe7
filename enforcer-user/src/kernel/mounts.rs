// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where things are mounted, and by whom.
//!
//! Paths of hosts differ (cgroup v2 stands beside v1 on some), so nothing here is assumed.

use std::fs;
use std::path::{Path, PathBuf};

use super::Error;
pub(super) use crate::runtime::mounts::Mount;
use crate::runtime::mounts::{self, MOUNTINFO};

/// Where cgroup v2 is mounted.
///
/// # Errors
/// When it is not mounted, or the mounts cannot be read.
pub fn find_cgroup2() -> Result<PathBuf, Error> {
    let missing = Error::Host { reason: "no cgroup v2 hierarchy is mounted" };
    let found = mounts()?.into_iter().find(|mount| mount.kind == "cgroup2");
    found.map(|mount| mount.point).ok_or(missing)
}

/// The mount that a folder is on; the folder must exist.
pub(super) fn mount_of(path: &Path) -> Result<Option<Mount>, Error> {
    let path = fs::canonicalize(path).map_err(|source| Error::io("resolve", path, source))?;
    Ok(innermost(mounts()?, &path))
}

fn mounts() -> Result<Vec<Mount>, Error> {
    mounts::mounts().map_err(|source| Error::io("read", Path::new(MOUNTINFO), source))
}

/// A later mount covers an earlier one at the same place.
fn innermost(mounts: Vec<Mount>, path: &Path) -> Option<Mount> {
    let over = mounts.into_iter().filter(|mount| path.starts_with(&mount.point));
    over.max_by_key(|mount| mount.point.components().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw
50 23 0:40 / /tmp/with\\040space rw - bpf enforcer rw
51 50 0:41 /sub /tmp/with\\040space rw - bpf other rw
garbage";

    #[test]
    fn the_innermost_and_last_mount_holds_a_path() {
        let check = |path: &str, source: &str| {
            let found = innermost(mounts::parse(TABLE), Path::new(path)).map(|mount| mount.source);
            assert_eq!(found.as_deref(), Some(source), "{path}");
        };
        check("/sys/fs/cgroup/unified/a", "cgroup2");
        check("/sys/fs/cgroup/unifiedly", "tmpfs");
        check("/tmp/with space/x", "other");
        check("/tmp", "/dev/vda");
        let device = innermost(mounts::parse(TABLE), Path::new("/tmp")).map(|mount| mount.device);
        assert_eq!(device, Some(254 << 20));
    }
}
