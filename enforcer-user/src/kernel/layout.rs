// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where this kernel keeps what the programs read of a process, from its BTF.
//!
//! The programs have no relocations for kernel structures (Rust has none), so they are told the offsets. A
//! kernel that names a member differently is refused: a wrong offset would make labels worthless.

use std::fs;
use std::io;
use std::mem::offset_of;
use std::path::Path;
use std::sync::OnceLock;

use btfparse::{Offset, Readable, TypeInformation};
use enforcer_common::{Hardening, Settings};

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

/// What is read of this kernel's BTF.
#[derive(Clone, Copy, Debug)]
struct Layout {
    settings: Settings,
    /// What the hardened tier needs, or the first member that is missing.
    hardening: Result<Hardening, (&'static str, &'static str)>,
}

/// Read once: it takes a moment, and a kernel does not change while it runs.
static LAYOUT: OnceLock<Layout> = OnceLock::new();

/// Settings with every offset filled in and nothing else.
///
/// # Errors
/// When the BTF cannot be read, or lacks a member.
pub(super) fn settings() -> Result<Settings, Error> {
    Ok(layout()?.settings)
}

/// What the hardened tier needs, with every offset filled in beside what is known.
///
/// # Errors
/// As [`settings`].
pub(super) fn hardening(known: Hardening) -> Result<Hardening, Error> {
    let found = layout()?.hardening;
    let offsets = found.map_err(|(object, member)| Error::Layout { object, member })?;
    let Hardening { daemon, pins_device, namespace, .. } = known;
    Ok(Hardening { daemon, pins_device, namespace, ..offsets })
}

fn layout() -> Result<Layout, Error> {
    if let Some(layout) = LAYOUT.get() {
        return Ok(*layout);
    }
    let path = Path::new(KERNEL_BTF);
    let bytes = fs::read(path).map_err(|source| Error::io("read", path, source))?;
    let types = TypeInformation::new(&Btf(bytes))
        .map_err(|error| Error::io("read", path, io::Error::other(format!("{error:?}"))))?;
    let settings = task(&types).map_err(|(object, member)| Error::Layout { object, member })?;
    Ok(*LAYOUT.get_or_init(|| Layout { settings, hardening: hardened(&types) }))
}

/// Offset of a member in bytes, or what is missing.
fn offset(
    types: &TypeInformation,
    object: &'static str,
    member: &'static str,
) -> Result<u32, (&'static str, &'static str)> {
    match types.id_of(object).and_then(|id| types.offset_of(id, member).ok()) {
        Some((_, Offset::ByteOffset(offset))) => Ok(offset),
        _ => Err((object, member)),
    }
}

fn task(types: &TypeInformation) -> Result<Settings, (&'static str, &'static str)> {
    Ok(Settings {
        task_tgid: offset(types, "task_struct", "tgid")?,
        task_pid: offset(types, "task_struct", "pid")?,
        task_real_parent: offset(types, "task_struct", "real_parent")?,
        task_group_leader: offset(types, "task_struct", "group_leader")?,
        task_start_boottime: offset(types, "task_struct", "start_boottime")?,
        task_signal: offset(types, "task_struct", "signal")?,
        signal_live: offset(types, "signal_struct", "live")?,
        task_mm: offset(types, "task_struct", "mm")?,
        mm_exe_file: offset(types, "mm_struct", "exe_file")?,
        file_inode: offset(types, "file", "f_inode")?,
        inode_number: offset(types, "inode", "i_ino")?,
        inode_super: offset(types, "inode", "i_sb")?,
        super_device: offset(types, "super_block", "s_dev")?,
        cgroup_node: offset(types, "cgroup", "kn")?,
        cgroup_root: offset(types, "cgroup", "root")?,
        root_hierarchy: offset(types, "cgroup_root", "hierarchy_id")?,
        node_id: offset(types, "kernfs_node", "id")?,
        node_name: offset(types, "kernfs_node", "name")?,
        ..Settings::default()
    })
}

fn hardened(types: &TypeInformation) -> Result<Hardening, (&'static str, &'static str)> {
    let path = u32::try_from(offset_of!(libc::sockaddr_un, sun_path)).unwrap_or_default();
    Ok(Hardening {
        socket_file: offset(types, "socket", "file")?,
        sock_family: offset(types, "sock_common", "skc_family")?,
        inode_super: offset(types, "inode", "i_sb")?,
        super_device: offset(types, "super_block", "s_dev")?,
        mount_super: offset(types, "vfsmount", "mnt_sb")?,
        mount_vfs: offset(types, "mount", "mnt")?,
        mount_parent: offset(types, "mount", "mnt_parent")?,
        mount_children: offset(types, "mount", "mnt_mounts")?,
        mount_sibling: offset(types, "mount", "mnt_child")?,
        mount_peers: offset(types, "mount", "mnt_group_id")?,
        mount_namespace: offset(types, "mount", "mnt_ns")?,
        namespace_number: offset(types, "mnt_namespace", "ns")?.saturating_add(offset(
            types,
            "ns_common",
            "inum",
        )?),
        unix_address: offset(types, "unix_sock", "addr")?,
        address_path: offset(types, "unix_address", "name")?.saturating_add(path),
        // What the daemon knows.
        ..Hardening::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_kernel_has_every_member_and_each_elsewhere() {
        let settings = settings().unwrap();
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
    }

    #[test]
    fn this_kernel_has_what_the_hardened_tier_reads() {
        let known = Hardening { daemon: 7, pins_device: 8, namespace: 9, ..Hardening::default() };
        let hardening = hardening(known).unwrap();
        assert_eq!((hardening.daemon, hardening.pins_device, hardening.namespace), (7, 8, 9));
        assert_ne!(hardening.mount_children, hardening.mount_sibling);
        assert_ne!(hardening.inode_super, 0);
        assert_ne!(hardening.unix_address, 0);
    }
}
