// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a suite may leave on a host: cgroups, mounts, network namespaces, processes.
//!
//! Programs, links and pins are looked for by the tests themselves, which know their ids; a pin needs a
//! mount, which shows here.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::step;

/// How deep below the hierarchy's root cgroups are looked for.
const CGROUP_DEPTH: usize = 3;

/// Everything of that kind on the host at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Traces(BTreeSet<String>);

impl Traces {
    /// What is there now.
    pub(crate) fn now() -> Self {
        let mut found = BTreeSet::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        for line in mounts.lines() {
            // Mount point and file system type; ids change when other mounts come and go.
            let point = line.split(' ').nth(4).unwrap_or_default();
            let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next());
            found.insert(format!("mount {point}"));
            if kind == Some("cgroup2") {
                cgroups(Path::new(point), CGROUP_DEPTH, &mut found);
            }
        }
        for entry in fs::read_dir("/run/netns").into_iter().flatten().flatten() {
            found.insert(format!("network namespace {}", entry.file_name().to_string_lossy()));
        }
        processes(&mut found);
        Self(found)
    }

    /// Fails if there is more now than at this moment.
    pub(crate) fn compare(&self) -> Result<()> {
        let now = Self::now();
        let left: Vec<&str> = now.0.difference(&self.0).map(String::as_str).collect();
        if !left.is_empty() {
            bail!("the suites left something on this host:\n  {}", left.join("\n  "));
        }
        Ok(())
    }
}

fn cgroups(folder: &Path, depth: usize, found: &mut BTreeSet<String>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(format!("cgroup {}", entry.path().display()));
            cgroups(&entry.path(), depth, found);
        }
    }
}

/// Processes that run something built here; this one and cargo do not.
fn processes(found: &mut BTreeSet<String>) {
    let built = step::built("x");
    let folder = built.parent().map(PathBuf::from).unwrap_or_default();
    let own = std::process::id().to_string();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().into_owned();
        let Ok(program) = fs::read_link(entry.path().join("exe")) else { continue };
        if pid != own && program.starts_with(&folder) {
            found.insert(format!("process {pid} {}", program.display()));
        }
    }
}
