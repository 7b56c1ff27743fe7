// SPDX-License-Identifier: Apache-2.0 OR MIT
//! No capability, and none to be had by executing something.

use caps::{CapSet, Capability};

use super::Error;

/// Drops every capability of every set. Root stays the owner of root's files and nothing else.
pub(super) fn drop_all() -> Result<(), Error> {
    let failed = |error| Error::step("drop the capabilities", error);
    if caps::has_cap(None, CapSet::Effective, Capability::CAP_SETPCAP).map_err(failed)? {
        for capability in caps::runtime::thread_all_supported() {
            caps::drop(None, CapSet::Bounding, capability).map_err(failed)?;
        }
    }
    // Without that capability the bounding set stays as it is, and nothing can be gained from it: only
    // files give capabilities then, and they give none once there are no new privileges.
    for set in [CapSet::Ambient, CapSet::Inheritable, CapSet::Effective, CapSet::Permitted] {
        caps::clear(None, set).map_err(failed)?;
    }
    Ok(())
}

/// What is executed from now on gives no privileges: neither set-user-id nor file capabilities.
pub(super) fn no_new() -> Result<(), Error> {
    nix::sys::prctl::set_no_new_privs().map_err(|errno| Error::step("set no_new_privs", errno))
}
