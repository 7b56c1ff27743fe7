// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The pins: links live by them, so nobody guarded removes, renames or unmounts anything on that file system.

use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hook, Refusal};

use super::{GO_ON, address, guarded, hardening, refuse};
use crate::event::Attempt;
use crate::task;

/// `inode_unlink(dir, dentry)`, `inode_rmdir(dir, dentry)` and `inode_rename(old_dir, old_dentry, new_dir,
/// new_dentry)`: a rename stays on one file system.
#[inline(always)]
pub(crate) fn change(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    let hardening = hardening();
    let file_system: u64 = task::read(address(ctx, 0), hardening.inode_super);
    judge(Hook::Unlink, file_system, &task)
}

/// `sb_umount(mnt, flags)`.
#[inline(always)]
pub(crate) fn unmount(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    let hardening = hardening();
    let file_system: u64 = task::read(address(ctx, 0), hardening.mount_super);
    judge(Hook::Unmount, file_system, &task)
}

#[inline(always)]
fn judge(hook: Hook, file_system: u64, task: &task::Task) -> i32 {
    let hardening = hardening();
    let device: u32 = task::read(file_system, hardening.super_device);
    if device != hardening.pins_device {
        return GO_ON;
    }
    refuse(hook, Refusal::Pins, task, &Attempt::default())
}
