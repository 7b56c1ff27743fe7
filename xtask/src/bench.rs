// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask bench`: measures what the programs cost, and fails where that is more than is promised.

use anyhow::{Result, bail};

use crate::step;

/// Where the result is kept.
const RESULT: &str = "benches/results/host.json";

/// Measures on this kernel.
pub(crate) fn run() -> Result<()> {
    if !step::is_root() {
        bail!("the benchmark loads eBPF programs: run it as root");
    }
    step::run_command(step::cargo().args(["build", "--locked", "-p", "enforcer-benches"]))?;
    step::run(step::built("bench-host"), &[RESULT])
}
