// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the daemon tells the programs about agents by selector, and what they tell of the sessions that begin.

use super::{AGENT_NAME_BYTES, Label};

/// A file as the kernel tells files apart.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId {
    /// Inode number.
    pub inode: u64,
    /// The device of its file system, as the kernel writes it: `major << 20 | minor`.
    pub device: u32,
    /// Always zero.
    pub padding: u32,
}

/// Keys of a [`Selector`], as bits.
pub mod key {
    /// [`super::Selector::exe`] has to be the program of the process.
    pub const EXE: u32 = 1;
    /// [`super::Selector::parent`] has to be the program of its parent.
    pub const PARENT: u32 = 2;
    /// [`super::Selector::uid`] has to be its real user.
    pub const UID: u32 = 4;
    /// [`super::Selector::gid`] has to be its real group.
    pub const GID: u32 = 8;
    /// It has to be below all of [`super::Selector::places`].
    pub const PLACES: u32 = 16;
}

/// Which processes become which agent when they start a program. All of its keys have to hold.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Selector {
    /// Bits of [`key`]; none at all ends the list.
    pub keys: u32,
    /// Real user id in the initial namespace.
    pub uid: u32,
    /// Real group id in the initial namespace.
    pub gid: u32,
    /// How much of its egress is taken, one of [`crate::capture`].
    pub capture: u32,
    /// The program.
    pub exe: FileId,
    /// The parent's program.
    pub parent: FileId,
    /// Bits of the places.
    pub places: u64,
    /// Agent name, UTF-8, padded with zero bytes.
    pub agent: [u8; AGENT_NAME_BYTES],
}

impl Selector {
    /// The end of the list.
    pub const END: Self = Self {
        keys: 0,
        uid: 0,
        gid: 0,
        capture: crate::capture::ALL,
        exe: FileId { inode: 0, device: 0, padding: 0 },
        parent: FileId { inode: 0, device: 0, padding: 0 },
        places: 0,
        agent: [0; AGENT_NAME_BYTES],
    };
}

/// Levels below the root of cgroup v2 on which a place is looked for.
pub const PLACE_LEVELS: u32 = 16;

/// Bytes of a [`CgroupName`] with the zero byte at its end.
pub const CGROUP_NAME_BYTES: usize = 192;

/// Last name of a cgroup, or its path from the root of cgroup v2 with a `/` in front.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupName {
    /// UTF-8, padded with zero bytes.
    pub bytes: [u8; CGROUP_NAME_BYTES],
}

/// How a session began that no `enforcer run` did.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionStart {
    /// Whose session it is.
    pub label: Label,
    /// When its first process started, in nanoseconds since boot.
    pub started: u64,
    /// Id of the cgroup it was in.
    pub cgroup: u64,
    /// Its program.
    pub exe: FileId,
    /// Its process id (thread group) in the initial namespace.
    pub tgid: u32,
    /// Its real user id in the initial namespace.
    pub uid: u32,
    /// Process id of its parent in the initial namespace.
    pub parent: u32,
    /// Zero until the daemon has written down that the session began.
    pub recorded: u32,
    /// Its command name, padded with zero bytes.
    pub comm: [u8; 16],
    /// How much of its egress is taken, one of [`crate::capture`].
    pub capture: u32,
    /// Always zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<FileId>() == 16);
const _: () = assert!(size_of::<Selector>() == 112);
const _: () = assert!(size_of::<CgroupName>() == 192);
const _: () = assert!(size_of::<SessionStart>() == 136);
