// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where it is measured: a cgroup for the programs, one beside it, and namespaces of its own. All of it is gone
//! afterwards.

use std::fs;
use std::path::PathBuf;

use anyhow::{Result, ensure};
use enforcer_tests::cgroup::Cgroup;
use enforcer_user::kernel::{self, Config, Kernel, Ports};
use nix::mount::{MsFlags, mount};
use tempfile::TempDir;

/// Both namespaces are new: loopback is down and mounts are shared.
pub(crate) fn set_up_namespaces() -> Result<()> {
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)?;
    let status = std::process::Command::new("ip").args(["link", "set", "lo", "up"]).status()?;
    ensure!(status.success(), "ip link set lo up: {status}");
    Ok(())
}

pub(crate) struct Place {
    /// Where the programs are attached.
    pub(crate) attached: PathBuf,
    /// At the same depth, without programs.
    pub(crate) beside: PathBuf,
    config: Config,
    // Dropped in this order.
    _cgroup: Cgroup,
    _folder: TempDir,
}

impl Place {
    pub(crate) fn new() -> Result<Self> {
        let cgroup = Cgroup::new(&format!("enforcer-bench-{}", std::process::id()))?;
        let (attached, beside) = (cgroup.path().join("attached"), cgroup.path().join("beside"));
        fs::create_dir(&attached)?;
        fs::create_dir(&beside)?;
        let folder = TempDir::new()?;
        let config = Config { cgroup: attached.clone(), bpffs: folder.path().join("bpffs") };
        Ok(Self { attached, beside, config, _cgroup: cgroup, _folder: folder })
    }

    /// Nobody listens on the ports: nobody here is guarded.
    pub(crate) fn attach(&self) -> Result<Kernel> {
        Ok(Kernel::attach(&self.config, Ports { proxy: 1, resolver: 1 })?)
    }

    pub(crate) fn detach(&self) -> Result<()> {
        kernel::detach(&self.config)?;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After an error; otherwise there is nothing to detach any more.
        let _ = kernel::detach(&self.config);
    }
}
