// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads `/proc/thread-self/mountinfo`: what is mounted where.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// Of the thread: it may be in another mount namespace than the process was started in.
pub const MOUNTINFO: &str = "/proc/thread-self/mountinfo";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// The file system's device, as the kernel writes it inside: `major << 20 | minor`.
    pub device: u32,
    /// Which folder of the file system is mounted.
    pub root: PathBuf,
    /// Where.
    pub point: PathBuf,
    /// Options of this mount, as `rw,nosuid,relatime`.
    pub options: String,
    /// File system type.
    pub kind: String,
    /// What was given as the source; for file systems without a device any text.
    pub source: String,
}

/// All mounts that this thread can reach, each after what it stands on.
///
/// # Errors
/// When the table cannot be read.
pub fn mounts() -> io::Result<Vec<Mount>> {
    let text = fs::read(MOUNTINFO)?;
    Ok(parse(&String::from_utf8_lossy(&text)))
}

/// Lines that are not as the manual says are left out.
pub(crate) fn parse(text: &str) -> Vec<Mount> {
    text.lines().filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /point rw,noatime master:1 - ext3 /dev/root rw`, see proc_pid_mountinfo(5).
fn parse_line(line: &str) -> Option<Mount> {
    let (place, what) = line.split_once(" - ")?;
    let mut place = place.split(' ').skip(2);
    let device = device(place.next()?)?;
    let root = unescape(place.next()?);
    let point = unescape(place.next()?);
    let options = place.next()?.to_owned();
    let mut what = what.split(' ');
    let kind = what.next()?.to_owned();
    let source = what.next()?.to_owned();
    Some(Mount { device, root, point, options, kind, source })
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

    #[test]
    fn a_line_is_read_with_its_escapes_and_another_is_left_out() {
        let found = parse("50 23 0:40 /sub /a\\040b rw,nosuid shared:4 - bpf x rw\ngarbage");
        let expect = Mount {
            device: 40,
            root: PathBuf::from("/sub"),
            point: PathBuf::from("/a b"),
            options: "rw,nosuid".to_owned(),
            kind: "bpf".to_owned(),
            source: "x".to_owned(),
        };
        assert_eq!(found, [expect]);
    }
}
