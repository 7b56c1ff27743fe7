// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Boots the machine, shows what it says, and judges it. What is not a clear success is a failure: a failed
//! test, a suite without a result, a panic of the kernel, silence, and too much time.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use super::kernel::Kernel;
use crate::step;
use crate::test::Tally;

/// Longest a machine may run: some 30 minutes where nobody else wants the processors.
const RUN_LIMIT: Duration = Duration::from_secs(120 * 60);
/// Longest it may say nothing: a single test under emulation ends earlier.
const SILENCE_LIMIT: Duration = Duration::from_secs(10 * 60);
/// An older model: what newer ones have is slower to emulate. The journal's library reads the time stamp counter by an
/// instruction that the real ones have and the emulated one does not.
const CPU: &str = "Nehalem,+rdtscp";
/// Its processors. With two, one meets the breakpoint that the kernel puts into code while it attaches a hook after
/// it is gone, and the kernel panics: the emulator does not keep code that another processor changes in step.
const CPUS: &str = "1";
/// Memory in MiB: the image is held twice while the kernel unpacks it.
const MEMORY: &str = "2048";
/// How a panic message announces what the verifier said, as one line or as several.
const VERIFIER: [&str; 2] = ["verifier_log", "Verifier output"];
/// Lines that are kept of it.
const VERIFIER_LINES: usize = 4000;
/// Lines of the kernel that are shown after a failure.
const KERNEL_LINES: usize = 40;

/// A machine to boot.
pub(crate) struct Machine<'a> {
    /// Its kernel.
    pub(crate) kernel: &'a Kernel,
    /// Its initramfs.
    pub(crate) image: &'a Path,
    /// `lsm=` of its command line.
    pub(crate) lsm: Option<&'a str>,
    /// Where its logs are kept.
    pub(crate) folder: &'a Path,
}

/// Boots, and returns the sums over all suites when all of them succeeded.
pub(crate) fn run(machine: &Machine<'_>) -> Result<String> {
    let console = machine.folder.join("console.log");
    let log = machine.folder.join("tests.log");
    step::say(&format!(
        "booting {}; its kernel writes to {}",
        machine.kernel.package,
        console.display()
    ));
    let started = Instant::now();
    let mut child = Running(start(machine, &console)?);
    let stdout = child.0.stdout.take().context("the machine has no console")?;
    let seen = watch(&lines_of(stdout), &log, started);
    drop(child);
    let judged = seen.and_then(|seen| seen.judge());
    if judged.is_err() {
        show_kernel(&console);
        keep_verifier_log(&log, &machine.folder.join("verifier.log"))?;
    }
    let sums = judged.with_context(|| format!("see {}", log.display()))?;
    Ok(format!("{sums}; {} s, {}", started.elapsed().as_secs(), machine.kernel.package))
}

/// Two serial ports: the kernel has one for itself, so that its lines never mix with those of the suites.
fn start(machine: &Machine<'_>, console: &Path) -> Result<Child> {
    // What protects from the processor's own faults only costs time here.
    let mut words =
        "console=ttyS0 panic=-1 oops=panic rdinit=/init loglevel=6 mitigations=off".to_owned();
    if let Some(list) = machine.lsm {
        words += &format!(" lsm={list}");
    }
    let mut qemu = Command::new("qemu-system-x86_64");
    qemu.args(["-accel", "tcg", "-cpu", CPU, "-smp", CPUS, "-m", MEMORY]);
    qemu.args(["-nodefaults", "-no-user-config", "-no-reboot", "-display", "none"]);
    qemu.arg("-serial").arg(format!("file:{}", console.display())).args(["-serial", "stdio"]);
    qemu.arg("-kernel").arg(&machine.kernel.image).arg("-initrd").arg(machine.image);
    qemu.args(["-append", &words]);
    qemu.stdin(Stdio::null()).stdout(Stdio::piped());
    step::say(&step::show(&qemu));
    qemu.spawn().context("failed to start the machine")
}

/// A machine that is off when this is dropped.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It has turned itself off already, unless something failed.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn lines_of(stdout: ChildStdout) -> Receiver<String> {
    let (send, lines) = mpsc::sync_channel(1024);
    std::thread::spawn(move || {
        for line in BufReader::new(stdout).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned();
            if send.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

/// What the machine has said.
#[derive(Debug, Default)]
struct Seen {
    tally: Tally,
    started: Vec<String>,
    /// Suites that ended, with their exit codes.
    ended: Vec<(String, String)>,
    is_over: bool,
}

impl Seen {
    fn add(&mut self, line: &str) {
        self.tally.add(line);
        let Some(text) = line.strip_prefix("vm: ") else { return };
        self.is_over |= text == "all suites ended";
        let Some(suite) = text.strip_prefix("suite ") else { return };
        match suite.split_once(" ended with ") {
            Some((name, code)) => self.ended.push((name.to_owned(), code.to_owned())),
            None => self.started.push(suite.to_owned()),
        }
    }

    /// The sums, or why this is no success.
    fn judge(self) -> Result<Tally> {
        let tally = self.tally;
        ensure!(!self.started.is_empty(), "the machine never came to run a suite");
        for (name, code) in &self.ended {
            ensure!(code == "0", "suite {name} ended with {code}: {tally}");
        }
        let is_whole = self.is_over && self.ended.len() == self.started.len();
        ensure!(is_whole, "the machine stopped in the middle: {tally}");
        ensure!(!tally.has_failed(), "{tally}");
        ensure!(tally.has_passed(), "no test ran");
        Ok(tally)
    }
}

fn watch(lines: &Receiver<String>, log: &Path, started: Instant) -> Result<Seen> {
    let mut seen = Seen::default();
    let mut out = std::io::stdout();
    let mut kept = File::create(log).with_context(|| format!("no `{}`", log.display()))?;
    loop {
        let left = RUN_LIMIT.saturating_sub(started.elapsed());
        match lines.recv_timeout(left.min(SILENCE_LIMIT)) {
            Ok(line) => {
                // When each came: by that one sees which test takes long.
                writeln!(kept, "{:5} {line}", started.elapsed().as_secs())?;
                // A reader that went away does not change the outcome.
                writeln!(out, "{line}").ok();
                seen.add(&line);
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(seen),
            Err(mpsc::RecvTimeoutError::Timeout) => bail!(
                "the machine said nothing for {} s or ran for {} s",
                SILENCE_LIMIT.as_secs(),
                RUN_LIMIT.as_secs()
            ),
        }
    }
}

fn show_kernel(console: &Path) {
    let bytes = fs::read(console).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let last = lines.get(lines.len().saturating_sub(KERNEL_LINES)..).unwrap_or_default();
    step::say(&format!("the last lines of the kernel:\n{}", last.join("\n")));
}

/// What the verifier said of a program that did not load, if that is why: it is in what a test panicked with.
fn keep_verifier_log(log: &Path, to: &PathBuf) -> Result<()> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let Some(at) = text.lines().position(|line| VERIFIER.iter().any(|words| line.contains(words)))
    else {
        return Ok(());
    };
    let told: Vec<String> =
        text.lines().skip(at).take(VERIFIER_LINES).map(|line| line.replace("\\n", "\n")).collect();
    fs::write(to, told.join("\n"))?;
    step::say(&format!("the verifier's words are in {}", to.display()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(lines: &[&str]) -> String {
        let mut seen = Seen::default();
        for line in lines {
            seen.add(line);
        }
        match seen.judge() {
            Ok(tally) => format!("ok: {tally}"),
            Err(cause) => cause.to_string(),
        }
    }

    #[test]
    fn only_a_clear_success_is_one() {
        let result = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured";
        let failed = "test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured";
        let (start, end) = ("vm: suite host", "vm: suite host ended with 0");
        let over = "vm: all suites ended";
        let check = |lines: &[&str], expect: &str| assert_eq!(judged(lines), expect, "{lines:?}");
        check(&[start, result, end, over], "ok: 3 passed, 0 failed, 1 ignored");
        check(&[], "the machine never came to run a suite");
        let stopped = "the machine stopped in the middle: 0 passed, 0 failed, 0 ignored";
        check(&[start], stopped);
        check(
            &[start, result, end],
            "the machine stopped in the middle: 3 passed, 0 failed, 1 ignored",
        );
        check(&[start, end, over], "no test ran");
        let code = "vm: suite host ended with 101";
        check(
            &[start, failed, code, over],
            "suite host ended with 101: 2 passed, 1 failed, 0 ignored",
        );
    }
}
