// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask demo`: installs and builds what the demo needs, then becomes the demo.

use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::distribution::{self, Package, Probe};
use crate::{clients, step};

/// Exit code for missing privilege, as the product's own.
const NOT_ROOT: u8 = 5;

const PACKAGES: &[Package] = &[
    Package { name: "ca-certificates", probe: Probe::File("/etc/ssl/certs/ca-certificates.crt") },
    Package { name: "curl", probe: Probe::Program("curl") },
    Package { name: "gcc", probe: Probe::Program("cc") },
];

/// Runs the demo.
pub(crate) fn run() -> ExitCode {
    if !step::is_root() {
        step::say(
            "the demo needs root. It loads eBPF programs into the kernel, attaches them to a cgroup\n\
             that it makes for itself, mounts a bpffs in its own folder below `target`, and installs\n\
             missing packages (curl, python3-venv). Nothing outside that cgroup is touched, and all of\n\
             it is removed at the end.\n\
             Run it as root, or `cargo xtask test --quick` for everything that needs no privilege.",
        );
        return ExitCode::from(NOT_ROOT);
    }
    // On success this process has become the demo, whose exit code is ours.
    step::exit_code(start())
}

fn start() -> Result<()> {
    prepare()?;
    let cause = Command::new(step::built("enforcer-demo")).current_dir(step::repository()).exec();
    Err(cause).context("failed to start the demo")
}

/// Installs and builds what the demo needs.
pub(crate) fn prepare() -> Result<()> {
    distribution::ensure(PACKAGES)?;
    clients::ensure()?;
    let packages = ["-p", "enforcer-user", "-p", "enforcer-tests"];
    step::run_command(step::cargo().args(["build", "--locked", "--bins"]).args(packages))
}
