// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `cargo xtask test`: everything there is to run, on the real kernel where root is there.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::distribution::{self, Package, Probe};
use crate::traces::Traces;
use crate::{check, demo, step};

const PACKAGES: &[Package] = &[
    Package { name: "default-jdk-headless", probe: Probe::Program("javac") },
    Package { name: "iproute2", probe: Probe::Program("ip") },
    Package { name: "nftables", probe: Probe::Program("nft") },
    Package { name: "nodejs", probe: Probe::Program("node") },
    Package { name: "wget", probe: Probe::Program("wget") },
];

/// The escape suite waits for the kernel most of the time.
const ESCAPE_THREADS: &str = "--test-threads=8";

/// Runs everything; `is_quick` leaves out what needs root.
pub(crate) fn run(is_quick: bool) -> Result<()> {
    let is_root = step::is_root() && !is_quick;
    if !is_root && std::env::var_os("CI").is_some() {
        bail!("in CI the suites that need root must run: run this as root, without `--quick`");
    }
    distribution::ensure(PACKAGES)?;
    demo::prepare()?;
    check::run()?;
    // A process of its own: it says what it compares and with which toolchain.
    step::run(std::env::current_exe()?, &["ebpf", "--check"])?;
    let before = Traces::now();
    let tally = suites(is_root)?;
    before.compare()?;
    if is_root {
        step::run_command(&mut Command::new(step::built("enforcer-demo")))?;
    } else {
        step::say("NOT RUN: the suites on the real kernel and the demo; they need root");
    }
    step::say(&format!("{tally}; nothing is left on the host"));
    Ok(())
}

/// Sums over all suites.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl std::fmt::Display for Tally {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} passed, {} failed, {} ignored", self.passed, self.failed, self.ignored)
    }
}

impl Tally {
    /// Whether a test failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed > 0
    }

    /// Whether a test passed.
    pub(crate) fn has_passed(&self) -> bool {
        self.passed > 0
    }

    /// Adds a line such as `test result: ok. 3 passed; 0 failed; 1 ignored; …`.
    pub(crate) fn add(&mut self, line: &str) {
        let Some((_, counts)) =
            line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split("; ") {
            let Some((number, what)) = count.split_once(' ') else { continue };
            let number = number.parse().unwrap_or(0);
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" => self.ignored += number,
                _ => {}
            }
        }
    }
}

fn suites(is_root: bool) -> Result<Tally> {
    let mut tally = Tally::default();
    let mut command = step::cargo();
    command.args(["test", "--locked", "--workspace", "--no-fail-fast"]);
    if is_root {
        command.args(["--", "--include-ignored"]);
    }
    run_suites(command, &mut tally)?;
    if is_root {
        let mut command = step::cargo();
        command.args(["test", "--locked", "--workspace", "--test", "escape"]);
        command.args(["--", "--include-ignored", ESCAPE_THREADS]);
        run_suites(command, &mut tally)?;
    }
    Ok(tally)
}

fn run_suites(mut command: Command, tally: &mut Tally) -> Result<()> {
    step::say(&step::show(&command));
    let mut child = command.stdout(Stdio::piped()).spawn().context("failed to start cargo")?;
    let mut out = std::io::stdout();
    for line in BufReader::new(child.stdout.take().context("cargo has no stdout")?).lines() {
        let line = line?;
        writeln!(out, "{line}").ok();
        tally.add(&line);
    }
    let status = child.wait()?;
    if !status.success() {
        bail!("{tally}: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn result_lines_are_summed_and_other_lines_are_not() {
        let mut tally = Tally::default();
        tally.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; finished in 0.1s");
        tally.add("test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured");
        tally.add("test a::b ... ok");
        assert_eq!(tally.to_string(), "5 passed, 4 failed, 1 ignored");
    }
}
