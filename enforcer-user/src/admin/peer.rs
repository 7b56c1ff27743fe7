// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who is at the other end of a connection, as the kernel saw it when that was made.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::sync::Arc;

use enforcer_core::model::limits;
use tokio::net::UnixStream;

use super::grade::Grade;
use crate::identity;

/// Who is asking.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// Process id at connect time; 0 where the kernel does not tell.
    pub(super) pid: u32,
    /// Effective user id at connect time.
    pub(super) uid: u32,
    /// Effective and supplementary group ids at connect time.
    pub(super) groups: Arc<[u32]>,
    /// When that process started; none if it was gone at accept already.
    pub(super) started: Option<u64>,
}

impl Peer {
    /// The peer of this connection.
    pub(super) fn of(stream: &UnixStream) -> Self {
        let Ok(found) = stream.peer_cred() else {
            return Self { pid: 0, uid: u32::MAX, groups: Arc::default(), started: None };
        };
        let pid = found.pid().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
        let mut groups = peer_groups(stream.as_fd());
        groups.push(found.gid());
        Self { pid, uid: found.uid(), groups: groups.into(), started: identity::started(pid) }
    }
}

/// Who asks, once they were let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    /// Effective user id at connect time.
    pub(super) uid: u32,
    /// What they may do.
    pub(super) grades: Vec<Grade>,
}

impl Asker {
    /// True if everything may be read, and not only what is their own.
    pub(super) fn reads_all(&self) -> bool {
        self.grades.contains(&Grade::Audit)
    }
}

/// The supplementary groups that a peer had when it connected (unix(7), `SO_PEERGROUPS`); none if they cannot be
/// read.
fn peer_groups(socket: BorrowedFd<'_>) -> Vec<u32> {
    let mut groups = vec![0_u32; limits::ADMIN_PEER_GROUPS_MAX];
    let Ok(mut bytes) = libc::socklen_t::try_from(size_of_val(groups.as_slice())) else {
        return Vec::new();
    };
    // SAFETY: the length is that of the memory behind the pointer; the kernel writes no more and says how much.
    #[expect(unsafe_code, reason = "getsockopt(2) with SO_PEERGROUPS, which nix does not offer")]
    let failed = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERGROUPS,
            groups.as_mut_ptr().cast(),
            &raw mut bytes,
        )
    };
    let count = if failed == 0 { bytes as usize / size_of::<u32>() } else { 0 };
    groups.truncate(count);
    groups
}

#[cfg(test)]
mod tests {
    use nix::unistd::{Gid, getgroups};

    use super::*;

    #[test]
    fn the_groups_of_a_peer_are_those_that_the_kernel_saw() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let mut own: Vec<u32> = getgroups().unwrap().into_iter().map(Gid::as_raw).collect();
        let mut seen = peer_groups(one.as_fd());
        own.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, own);
        let file = std::fs::File::open("/dev/null").unwrap();
        assert!(peer_groups(file.as_fd()).is_empty(), "errs to no group");
    }
}
