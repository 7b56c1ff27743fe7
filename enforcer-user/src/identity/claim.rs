// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One daemon for each attach point: whoever holds the claim may change its programs and sessions.
//!
//! The claim is a lock on the folder of the session cgroups, so it ends with the process and leaves no
//! file. The folder is readable by root alone: nobody else can take the lock and keep a daemon from
//! starting.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::Error;

/// The right to guard a host, held until it is dropped.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held, never read")] Flock<File>);

impl Claim {
    /// Takes the claim on the folder of all session cgroups; makes the folder if it is not there.
    ///
    /// # Errors
    /// [`Error::Claimed`] if another process holds it, [`Error::Cgroup`] if the folder cannot be used.
    pub fn take(sessions: &Path) -> Result<Self, Error> {
        let failed = |operation| {
            move |source| Error::Cgroup { operation, path: sessions.to_owned(), source }
        };
        fs::create_dir_all(sessions).map_err(failed("create"))?;
        fs::set_permissions(sessions, Permissions::from_mode(0o700)).map_err(failed("close"))?;
        let folder = File::open(sessions).map_err(failed("open"))?;
        match Flock::lock(folder, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self(lock)),
            Err((_, Errno::EWOULDBLOCK)) => Err(Error::Claimed { sessions: sessions.to_owned() }),
            Err((_, errno)) => Err(failed("lock")(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_is_held_once_and_ends_with_its_holder() {
        let folder = tempfile::tempdir().unwrap();
        let sessions = folder.path().join("sessions");
        let held = Claim::take(&sessions).unwrap();
        assert!(matches!(Claim::take(&sessions), Err(Error::Claimed { .. })));
        drop(held);
        assert!(Claim::take(&sessions).is_ok());
    }
}
