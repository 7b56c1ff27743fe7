// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where this kernel keeps what the programs read of a process, from its BTF.
//!
//! The programs have no relocations for kernel structures (Rust has none), so they are told the offsets. A
//! kernel that names a member differently is refused: a wrong offset would make labels worthless.

use std::fs;
use std::io;
use std::path::Path;

use btfparse::{Offset, Readable, TypeInformation};
use enforcer_common::Settings;

use super::Error;
use super::preflight::KERNEL_BTF;

/// Held whole: a few megabytes, read in many small pieces.
struct Btf(Vec<u8>);

impl Readable for Btf {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let end = start.saturating_add(buffer.len());
        let found =
            self.0.get(start..end).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        buffer.copy_from_slice(found);
        Ok(())
    }
}

/// Settings with every offset filled in and nothing else.
///
/// # Errors
/// When the BTF cannot be read, or lacks a member.
pub(super) fn of_this_kernel() -> Result<Settings, Error> {
    let path = Path::new(KERNEL_BTF);
    let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let types = TypeInformation::new(&Btf(bytes))
        .map_err(|error| Error::io("read", path, io::Error::other(format!("{error:?}"))))?;
    let offset = |object: &'static str, member: &'static str| {
        let found = types.id_of(object).and_then(|id| types.offset_of(id, member).ok());
        match found {
            Some((_, Offset::ByteOffset(offset))) => Ok(offset),
            _ => Err(Error::Layout { object, member }),
        }
    };
    Ok(Settings {
        task_tgid: offset("task_struct", "tgid")?,
        task_pid: offset("task_struct", "pid")?,
        task_real_parent: offset("task_struct", "real_parent")?,
        task_group_leader: offset("task_struct", "group_leader")?,
        task_start_boottime: offset("task_struct", "start_boottime")?,
        task_signal: offset("task_struct", "signal")?,
        signal_live: offset("signal_struct", "live")?,
        task_mm: offset("task_struct", "mm")?,
        mm_exe_file: offset("mm_struct", "exe_file")?,
        file_inode: offset("file", "f_inode")?,
        inode_number: offset("inode", "i_ino")?,
        inode_super: offset("inode", "i_sb")?,
        super_device: offset("super_block", "s_dev")?,
        cgroup_node: offset("cgroup", "kn")?,
        cgroup_root: offset("cgroup", "root")?,
        root_hierarchy: offset("cgroup_root", "hierarchy_id")?,
        node_id: offset("kernfs_node", "id")?,
        node_name: offset("kernfs_node", "name")?,
        tcp_write_seq: offset("tcp_sock", "write_seq")?,
        ..Settings::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_every_member_and_each_elsewhere() {
        let settings = of_this_kernel().unwrap();
        let task = [
            settings.task_tgid,
            settings.task_pid,
            settings.task_real_parent,
            settings.task_group_leader,
            settings.task_start_boottime,
            settings.task_signal,
            settings.task_mm,
        ];
        let distinct: std::collections::BTreeSet<_> = task.into_iter().collect();
        assert_eq!(distinct.len(), task.len(), "{settings:?}");
        assert_ne!(settings.signal_live, 0);
        assert_ne!(settings.mm_exe_file, 0);
        assert_ne!(settings.inode_number, settings.inode_super);
        assert_ne!(settings.node_id, settings.node_name);
        assert_ne!(settings.tcp_write_seq, 0);
    }
}
