// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The user that a command runs as, where root starts it for somebody else.

use std::ffi::CString;

use nix::unistd::{Uid, User, initgroups, setresgid, setresuid};

use super::Error;

/// The user of this name or number.
///
/// # Errors
/// If there is none, or the users of the host cannot be read.
pub fn find_user(name: &str) -> Result<User, Error> {
    let by_number = || match name.parse() {
        Ok(number) => User::from_uid(Uid::from_raw(number)),
        Err(_) => Ok(None),
    };
    let found =
        User::from_name(name).and_then(|user| user.map_or_else(by_number, |user| Ok(Some(user))));
    let found = found.map_err(|errno| Error::step("read the users of this host", errno))?;
    found.ok_or_else(|| Error::User { name: name.to_owned() })
}

/// Makes this process that user's for good, with the groups of that user and no others.
///
/// # Errors
/// If the process may not do it.
pub fn become_user(user: &User) -> Result<(), Error> {
    let failed = |errno| Error::step("become the user", errno);
    let name = CString::new(user.name.as_bytes());
    let name = name.map_err(|error| Error::step("become the user", error))?;
    initgroups(&name, user.gid).map_err(failed)?;
    setresgid(user.gid, user.gid, user.gid).map_err(failed)?;
    setresuid(user.uid, user.uid, user.uid).map_err(failed)
}
