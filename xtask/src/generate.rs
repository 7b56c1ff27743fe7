// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask gen`: what documents take from the program, written anew.
//!
//! The tests that compare the documents with the program write them instead; so nothing is generated that is not
//! compared, and the other way round.

use anyhow::Result;

use crate::{demo, step};

/// Runs the command.
pub(crate) fn run() -> Result<()> {
    for (suite, tests) in [("cli_policy", "documents::"), ("reference", "the_page_of_")] {
        let words = ["test", "--workspace", "--locked", "--test", suite, tests];
        step::run_command(step::cargo().args(words).env("UPDATE_EXPECTED", "1"))?;
    }
    if !step::is_root() {
        step::say("NOT WRITTEN: what the tutorial prints with a daemon; that needs root");
        return Ok(());
    }
    demo::prepare()?;
    let words = ["test", "--workspace", "--locked", "--test", "e2e", "--"];
    let tests = ["--include-ignored", "the_page_of_"];
    step::run_command(step::cargo().args(words).args(tests).env("UPDATE_EXPECTED", "1"))
}
