// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! The pins: links live by them, so nobody guarded removes, renames or unmounts anything on that file system.

use aya_ebpf::programs::LsmContext;
use enforcer_common::{Hardening, Hook, Refusal};

use super::{GO_ON, address, guarded, hardening, refuse};
use crate::event::Attempt;
use crate::task;

/// `MNT_DETACH` (`linux/fs.h`).
const MNT_DETACH: i32 = 2;
/// Steps of a walk over mounts: about two for each.
const MOUNT_STEPS: u32 = 256;

/// `inode_unlink(dir, dentry)`, `inode_rmdir(dir, dentry)` and `inode_rename(old_dir, old_dentry, new_dir,
/// new_dentry)`: a rename stays on one file system.
#[inline(always)]
pub(crate) fn change(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    let hardening = hardening();
    let file_system: u64 = task::read(address(ctx, 0), hardening.inode_super);
    judge(Hook::Unlink, file_system, &task)
}

/// `sb_umount(mnt, flags)`. A lazy one takes along what is mounted below, and no hook is asked about that.
#[inline(always)]
pub(crate) fn unmount(ctx: &LsmContext) -> i32 {
    let Some(task) = guarded() else { return GO_ON };
    let hardening = hardening();
    let mount = task::address_of(ctx.arg(0));
    let flags: i32 = ctx.arg(1);
    let whole = mount.wrapping_sub(u64::from(hardening.mount_vfs));
    let file_system: u64 = task::read(mount, hardening.mount_super);
    if flags & MNT_DETACH != 0 && takes_pins_along(whole, &hardening) {
        return refuse(Hook::Unmount, Refusal::Pins, &task, &Attempt::default());
    }
    judge(Hook::Unmount, file_system, &task)
}

/// Whether the pins are among what is mounted below a `struct mount`, and their going would be felt by the daemon.
/// Walks as the kernel does; what is not walked to its end counts as found.
#[inline(always)]
fn takes_pins_along(top: u64, hardening: &Hardening) -> bool {
    let mut mount = top;
    let mut is_new = true;
    for _ in 0..MOUNT_STEPS {
        if is_new {
            if is_felt(mount, hardening) {
                return true;
            }
            let first: u64 = task::read(mount, hardening.mount_children);
            if first != mount.wrapping_add(u64::from(hardening.mount_children)) {
                mount = first.wrapping_sub(u64::from(hardening.mount_sibling));
                continue;
            }
        }
        if mount == top {
            return false;
        }
        let parent: u64 = task::read(mount, hardening.mount_parent);
        let next: u64 = task::read(mount, hardening.mount_sibling);
        is_new = next != parent.wrapping_add(u64::from(hardening.mount_children));
        mount = if is_new {
            next.wrapping_sub(u64::from(hardening.mount_sibling))
        } else {
            parent
        };
    }
    true
}

/// Whether a mount is one of the pins that the daemon uses, or one whose going spreads to others: it does where
/// what it is mounted on is shared.
#[inline(always)]
fn is_felt(mount: u64, hardening: &Hardening) -> bool {
    let file_system = task::read(mount, hardening.mount_vfs.wrapping_add(hardening.mount_super));
    if !is_pins(file_system, hardening) {
        return false;
    }
    let namespace: u64 = task::read(mount, hardening.mount_namespace);
    let number: u32 = task::read(namespace, hardening.namespace_number);
    let parent: u64 = task::read(mount, hardening.mount_parent);
    let peers: i32 = task::read(parent, hardening.mount_peers);
    number == hardening.namespace || peers != 0
}

#[inline(always)]
fn is_pins(file_system: u64, hardening: &Hardening) -> bool {
    let device: u32 = task::read(file_system, hardening.super_device);
    device == hardening.pins_device
}

#[inline(always)]
fn judge(hook: Hook, file_system: u64, task: &task::Task) -> i32 {
    if is_pins(file_system, &hardening()) {
        return refuse(hook, Refusal::Pins, task, &Attempt::default());
    }
    GO_ON
}
