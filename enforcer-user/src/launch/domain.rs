// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A Landlock domain: what is inside cannot trace, read the memory of, or take descriptors from what is
//! outside, whoever runs it. Files are not restricted by it.
//!
//! A domain has to restrict something to be one. From Linux 6.12 on it holds back signals and abstract Unix
//! sockets. Before, it denies the making of block devices outside of every folder, which is nothing, and as
//! every domain that knows of files it then denies mounts, also in a user namespace of the agent's own. For root
//! that is wanted on every kernel: who may move to another root and unmount the old one leaves behind the mounts
//! that hold names ([`super::hold`]).

use enforcer_core::model::Lack;
use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, PathFd,
    RestrictSelf, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope,
};

use super::Error;

const STEP: &str = "enter a Landlock domain";

/// What the kernel has of it.
pub(super) fn lacks() -> Vec<Lack> {
    // Without a flag it changes nothing and tells what there is.
    let status = RestrictSelf::default().no_new_privs(false).apply();
    let abi = match status.map(|status| status.landlock) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => effective_abi,
        _ => ABI::Unsupported,
    };
    // The first version denies every rename from one folder to another: nothing would work in it.
    if abi < ABI::V2 {
        return vec![Lack::Landlock, Lack::LandlockScopes];
    }
    if abi < ABI::V6 { vec![Lack::LandlockScopes] } else { Vec::new() }
}

/// Puts this thread, and so the command, into a domain of its own. In one that `keeps_mounts` nobody mounts.
pub(super) fn enter(has_scopes: bool, keeps_mounts: bool) -> Result<(), Error> {
    let failed = |error| Error::step(STEP, error);
    let knows_files = keeps_mounts || !has_scopes;
    let handled: BitFlags<AccessFs> = AccessFs::MakeBlock | AccessFs::Refer;
    let mut ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if has_scopes {
        ruleset = ruleset.scope(Scope::from_all(ABI::V6)).map_err(failed)?;
    }
    if knows_files {
        ruleset = ruleset.handle_access(handled).map_err(failed)?;
    }
    let mut created = ruleset.create().map_err(failed)?;
    if knows_files {
        let root = PathFd::new("/").map_err(|error| Error::step(STEP, error))?;
        created = created.add_rule(PathBeneath::new(root, handled)).map_err(failed)?;
    }
    let status = created.restrict_self().map_err(failed)?;
    if status.ruleset == RulesetStatus::FullyEnforced {
        return Ok(());
    }
    Err(Error::step(STEP, std::io::Error::other("the kernel enforces only a part of it")))
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::process::parent_id;
    use std::thread;

    use super::*;

    /// Enters on a thread of its own. Files can still be moved between folders there.
    fn check(has_scopes: bool, keeps_mounts: bool) {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("below")).unwrap();
        fs::write(folder.path().join("file"), "x").unwrap();
        let to = folder.path().join("below/file");
        let work = || {
            super::super::privileges::no_new().unwrap();
            enter(has_scopes, keeps_mounts).unwrap();
            fs::rename(folder.path().join("file"), &to).unwrap();
            let outside = File::open(format!("/proc/{}/mem", parent_id()));
            outside.map(drop).map_err(|error| error.kind())
        };
        let opened = thread::scope(|scope| scope.spawn(work).join().unwrap());
        assert_eq!(opened, Err(std::io::ErrorKind::PermissionDenied));
        assert!(to.exists());
    }

    #[test]
    fn the_memory_of_a_process_outside_is_closed_and_files_can_be_moved() {
        let lacks = lacks();
        if lacks.contains(&Lack::Landlock) {
            assert!(enter(true, false).is_err() && enter(false, false).is_err());
            return;
        }
        check(false, false);
        if lacks.is_empty() {
            check(true, false);
            check(true, true);
        }
    }
}
