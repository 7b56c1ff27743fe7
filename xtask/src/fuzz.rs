// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask fuzz`: mutated bundles through the loader, for as long as is asked for.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use anyhow::Result;

use crate::step;

/// What to try.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// How long.
    #[arg(long, default_value_t = 10)]
    minutes: u64,
    /// Repeats a run; otherwise each one is another.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the fuzz suite with a seed of its own.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let seed = arguments.seed.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    let mut test = step::cargo();
    test.args(["test", "--locked", "--workspace", "--test", "fuzz", "--", "--nocapture"])
        .env("ENFORCER_FUZZ_SECONDS", (arguments.minutes * 60).to_string())
        .env("ENFORCER_FUZZ_SEED", seed.to_string());
    step::run_command(&mut test)
}
