// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the suites and the demo share: a stand-in provider, and a host with its own cgroup, pins and state.
#![forbid(unsafe_code)]

pub mod cgroup;
pub mod command;
pub mod document;
pub mod host;
#[expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as expected"
)]
pub mod lab;
pub mod provider;
pub mod residue;
pub mod terminal;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};

pub use host::{HostOptions, TestHost};
pub use provider::{Authority, FakeUpstream};

/// How many times slower than a host a machine is: a whole number, set by `cargo xtask test --vm`.
const SLOWNESS: &str = "ENFORCER_TEST_SLOWNESS";

/// A limit of time as this machine needs it: a test never waits shorter because it runs under emulation.
#[must_use]
pub fn slowed(limit: Duration) -> Duration {
    limit.saturating_mul(slowness())
}

/// A number of things that a storm does, as this machine can do them in the same time: under emulation fewer.
#[must_use]
pub fn lightened(count: u32) -> u32 {
    (count / slowness()).max(1)
}

fn slowness() -> u32 {
    let factor = std::env::var(SLOWNESS).ok().and_then(|text| text.parse().ok());
    factor.filter(|factor| *factor > 0).unwrap_or(1)
}

/// The top folder of the sources.
#[must_use]
pub fn repository() -> &'static Path {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest)
}

/// The folder that holds the profile's programs and the clients: `target` or `CARGO_TARGET_DIR`.
///
/// # Errors
/// If this program does not stand where cargo puts it.
pub fn target_folder() -> Result<PathBuf> {
    Ok(profile_folder()?.parent().context("the profile folder has no parent")?.to_owned())
}

/// A program of this workspace, built in the same profile.
///
/// # Errors
/// If it is not built.
pub fn built(name: &str) -> Result<PathBuf> {
    let program = profile_folder()?.join(name);
    if !program.exists() {
        bail!("`{}` is not built: run `cargo build --workspace --bins`", program.display());
    }
    Ok(program)
}

/// The Python that has the SDKs of `tests/fixtures/agents/requirements.txt`.
///
/// # Errors
/// If it is not installed.
pub fn python() -> Result<PathBuf> {
    let python = target_folder()?.join("clients/python/bin/python");
    if !python.exists() {
        bail!("`{}` is missing: run `cargo xtask clients`", python.display());
    }
    Ok(python)
}

/// An agent script of `tests/fixtures/agents`.
#[must_use]
pub fn agent_script(name: &str) -> PathBuf {
    repository().join("tests/fixtures/agents").join(name)
}

fn profile_folder() -> Result<PathBuf> {
    let program = std::env::current_exe()?;
    // Tests stand in `PROFILE/deps`, programs in `PROFILE`.
    let folder = program.ancestors().skip(1).find(|folder| !folder.ends_with("deps"));
    Ok(folder.context("this program stands in no folder")?.to_owned())
}
