// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask check`: what can be said of the sources without running them.

use anyhow::Result;

use crate::step;

/// Formatting, lints, the repository's own rules.
pub(crate) fn run() -> Result<()> {
    step::run_command(step::cargo().args(["fmt", "--all", "--check"]))?;
    let clippy = ["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"];
    step::run_command(step::cargo().args(clippy))?;
    step::run_command(step::cargo().args([
        "test",
        "--locked",
        "-p",
        "enforcer-tests",
        "--test",
        "tidy",
    ]))
}
