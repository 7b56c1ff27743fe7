// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Paths of programs, for the record: the kernel tells a program by its inode, which outlives the process.
//!
//! A path is believed only while the file behind it is that inode. It errs towards saying none.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use enforcer_common::FileId;
use enforcer_core::mask::Masker;
use enforcer_core::model::limits;
use enforcer_core::record::{Details, Process, Recorded};

use crate::kernel::OriginSeen;

/// Paths that were seen.
#[derive(Debug, Default)]
pub(super) struct Programs(Mutex<HashMap<FileId, String>>);

impl Programs {
    /// The process of an origin, as the record names it.
    pub(super) fn process(&self, seen: &OriginSeen, masker: &Masker) -> Process {
        let device = seen.exe.device;
        let recorded = |text: &str| Recorded::of(text, masker);
        let details = Details {
            started_ns: seen.started,
            cgroup: Some(seen.cgroup),
            cgroup_path: None,
            exe_inode: Some(seen.exe.inode),
            // Inside the kernel the minor number has 20 bits.
            exe_device: Some(recorded(&format!("{}:{}", device >> 20, device & 0xf_ffff))),
            exe: self.path(seen).as_deref().map(recorded),
            ancestors: seen.ancestors.clone(),
        };
        let details = Some(Box::new(details));
        Process { details, ..Process::new(seen.pid, seen.uid, recorded(&seen.comm)) }
    }

    fn path(&self, seen: &OriginSeen) -> Option<String> {
        let found = of_process(seen.pid, seen.exe.inode);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = found else { return known.get(&seen.exe).cloned() };
        if known.len() >= limits::PROGRAMS_MAX && !known.contains_key(&seen.exe) {
            known.clear();
        }
        known.insert(seen.exe, path.clone());
        Some(path)
    }
}

/// The path of the program that a process runs, if it still is the one with this inode.
fn of_process(pid: u32, inode: u64) -> Option<String> {
    let link = Path::new("/proc").join(pid.to_string()).join("exe");
    let is_same = fs::metadata(&link).is_ok_and(|metadata| metadata.ino() == inode);
    let path = is_same.then(|| fs::read_link(&link).ok()).flatten()?;
    Some(path.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_remembered_for_the_inode_and_told_of_no_other() {
        let inode = fs::metadata("/proc/self/exe").unwrap().ino();
        let exe = FileId { inode, device: 254 << 20 | 1, padding: 0 };
        let mut seen = OriginSeen {
            destination: "127.0.0.1:1".parse().unwrap(),
            session: enforcer_core::model::SessionId::HOST,
            pid: std::process::id(),
            uid: 0,
            comm: "x".to_owned(),
            started: 1,
            cgroup: 2,
            exe,
            ancestors: vec![3],
        };
        let programs = Programs::default();
        let nothing = Masker::new(Vec::new()).unwrap();
        let first = programs.process(&seen, &nothing).details.unwrap();
        assert_eq!((first.exe_device.as_deref(), first.exe.is_some()), (Some("254:1"), true));
        // Nobody has this id.
        seen.pid = u32::MAX;
        assert_eq!(programs.process(&seen, &nothing).details.unwrap().exe, first.exe);
        seen.exe.inode += 1;
        assert_eq!(programs.process(&seen, &nothing).details.unwrap().exe, None);
    }
}
