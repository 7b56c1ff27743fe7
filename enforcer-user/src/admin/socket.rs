// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Whom the kernel lets connect: the permissions of the socket.
//!
//! Members of two groups may, and a file has one: the second stands in the access list of the socket. So the kernel
//! keeps everybody else away before the daemon spends anything on them. Errs to fewer.

use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use nix::unistd::{Gid, chown};

use super::grade::{AUDIT_GROUP, Groups, USE_GROUP};

/// Gives the socket to root and the members of the groups that exist, and to nobody else.
///
/// # Errors
/// If the owner or the mode cannot be set. Where the file system takes no access list, members of
/// [`AUDIT_GROUP`] cannot connect unless they are in [`USE_GROUP`] too, which is logged.
pub(super) fn restrict(socket: &Path, groups: &Groups) -> io::Result<()> {
    let owner = groups.users.or(groups.auditors);
    let mode = if owner.is_some() { 0o660 } else { 0o600 };
    if let Some(group) = owner {
        chown(socket, None, Some(Gid::from_raw(group)))?;
    }
    std::fs::set_permissions(socket, std::fs::Permissions::from_mode(mode))?;
    if let (Some(_), Some(auditors)) = (groups.users, groups.auditors)
        && let Err(error) = admit_group(socket, auditors)
    {
        tracing::warn!(
            %error, socket = %socket.display(),
            "members of the group `{AUDIT_GROUP}` can connect only if they are in `{USE_GROUP}` too: \
             the file system of the socket takes no access list"
        );
    }
    Ok(())
}

/// The attribute that holds the access list of a file (acl(5)).
const ACL: &std::ffi::CStr = c"system.posix_acl_access";

/// Lets one more group read and write, beside the owner and the group of the file.
fn admit_group(path: &Path, group: u32) -> io::Result<()> {
    let path = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    let list = access_list(group);
    // SAFETY: both names end with a zero, and the length is that of the list; the kernel copies all of them.
    #[expect(unsafe_code, reason = "setxattr(2), which nix does not offer")]
    let failed =
        unsafe { libc::setxattr(path.as_ptr(), ACL.as_ptr(), list.as_ptr().cast(), list.len(), 0) };
    if failed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Read and write for the owner, the group of the file and this group (linux/posix_acl_xattr.h, version 2).
fn access_list(group: u32) -> Vec<u8> {
    const VERSION: u32 = 2;
    const READ_WRITE: u16 = 6;
    const NOBODY: u16 = 0;
    const UNDEFINED: u32 = u32::MAX;
    // Owner, group of the file, the named group, the most that groups may, others.
    let entries = [
        (0x01_u16, READ_WRITE, UNDEFINED),
        (0x04, READ_WRITE, UNDEFINED),
        (0x08, READ_WRITE, group),
        (0x10, READ_WRITE, UNDEFINED),
        (0x20, NOBODY, UNDEFINED),
    ];
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for (tag, permissions, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(permissions.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    #[test]
    fn the_socket_is_open_to_root_and_the_groups_that_exist_only() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let own = nix::unistd::getegid().as_raw();
        let cases = [
            (Groups::default(), 0o600),
            (Groups { users: Some(own), auditors: None }, 0o660),
            (Groups { users: None, auditors: Some(own) }, 0o660),
        ];
        for (groups, mode) in cases {
            drop(std::fs::remove_file(&socket));
            let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
            restrict(&socket, &groups).unwrap();
            let found = socket.metadata().unwrap();
            assert_eq!(
                (found.permissions().mode() & 0o777, found.gid()),
                (mode, own),
                "{groups:?}"
            );
        }
    }
}
