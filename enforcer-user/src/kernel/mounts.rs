// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads `/proc/thread-self/mountinfo`: where things are mounted, and by whom.
//!
//! Paths of hosts differ (cgroup v2 stands beside v1 on some), so nothing here is assumed.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::Error;

/// Of the thread: it may be in another mount namespace than the process was started in.
const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// The file system's device, as the kernel writes it: `major << 20 | minor`.
    pub(super) device: u32,
    /// Which folder of the file system is mounted.
    pub(super) root: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    /// File system type.
    pub(super) kind: String,
    /// What was given as the source; for file systems without a device any text.
    pub(super) source: String,
}

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
    let text = fs::read(MOUNTINFO);
    let text = text.map_err(|source| Error::io("read", Path::new(MOUNTINFO), source))?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// A later mount covers an earlier one at the same place.
fn innermost(mounts: Vec<Mount>, path: &Path) -> Option<Mount> {
    let over = mounts.into_iter().filter(|mount| path.starts_with(&mount.point));
    over.max_by_key(|mount| mount.point.components().count())
}

fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw`, see proc_pid_mountinfo(5).
fn parse_line(line: &str) -> Option<Mount> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let device = device(place.next()?)?;
    let root = unescape(place.next()?);
    let point = unescape(place.next()?);
    let mut what = what.split(' ');
    let kind = what.next()?.to_owned();
    let source = what.next()?.to_owned();
    Some(Mount { device, root, point, kind, source })
}

/// `major:minor`; the minor number has 20 bits inside the kernel.
fn device(text: &str) -> Option<u32> {
    let (major, minor) = text.split_once(':')?;
    let major = major.parse::<u32>().ok()?.checked_shl(20)?;
    Some(major | minor.parse::<u32>().ok()?)
}

/// Space, tab, newline and backslash stand as `\` and three octal digits.
fn unescape(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'\\').then(|| after.get(..3)).flatten();
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        if let Some(byte) = code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            rest = after.get(3..).unwrap_or_default();
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
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
            let found = innermost(parse(TABLE), Path::new(path)).map(|mount| mount.source);
            assert_eq!(found.as_deref(), Some(source), "{path}");
        };
        check("/sys/fs/cgroup/unified/a", "cgroup2");
        check("/sys/fs/cgroup/unifiedly", "tmpfs");
        check("/tmp/with space/x", "other");
        check("/tmp", "/dev/vda");
        let device = innermost(parse(TABLE), Path::new("/tmp")).map(|mount| mount.device);
        assert_eq!(device, Some(254 << 20));
    }
}
