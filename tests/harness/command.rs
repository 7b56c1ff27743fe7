// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Runs a program to its end, with everything it said, a limit of time, and a way to be interrupted.

use std::io::{Read, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// How often a running child is looked at: the price of a wait that a limit or ctrl-C can end.
const POLL: Duration = Duration::from_millis(10);

/// What a program left behind.
#[derive(Clone, Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// Exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to stdout.
    pub stdout: String,
    /// What it wrote to stderr.
    pub stderr: String,
}

impl Output {
    /// True for exit code 0.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code == Some(0)
    }

    /// Passes itself on if the program ended with exit code 0.
    ///
    /// # Errors
    /// If it ended in any other way; the text holds what it said.
    pub fn checked(self) -> Result<Self> {
        self.expect_code(0)
    }

    /// Passes itself on if the program ended with this exit code.
    ///
    /// # Errors
    /// If it ended in any other way; the text holds what it said.
    pub fn expect_code(self, code: i32) -> Result<Self> {
        if self.code == Some(code) {
            return Ok(self);
        }
        let ended = self.code.map_or("by a signal".to_owned(), |code| format!("with {code}"));
        let Self { command, stdout, stderr, .. } = self;
        bail!("`{command}` ended {ended}, expected {code}\nstdout:\n{stdout}\nstderr:\n{stderr}")
    }

    /// The lines of stdout that are JSON values.
    #[must_use]
    pub fn json_lines(&self) -> Vec<serde_json::Value> {
        self.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

/// Lets another thread end every wait of the commands that share it.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Ends the waits.
    pub fn raise(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// True once raised.
    #[must_use]
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

/// Runs a command to its end in a process group of its own.
///
/// # Errors
/// If it cannot be started, does not end in time, or the wait is interrupted; the group is killed then.
pub fn run(command: Command, limit: Duration, interrupt: &Interrupt) -> Result<Output> {
    run_with_input(command, "", limit, interrupt)
}

/// [`run`], with a text on stdin.
///
/// # Errors
/// As [`run`].
pub fn run_with_input(
    mut command: Command,
    input: &str,
    limit: Duration,
    interrupt: &Interrupt,
) -> Result<Output> {
    let shown = show(&command);
    in_own_group(&mut command);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start `{shown}`"))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A child that does not read its input is not an error of the caller.
        stdin.write_all(input.as_bytes()).ok();
    }
    let stdout = child.stdout.take().map(read_all);
    let stderr = child.stderr.take().map(read_all);
    let ended = wait(&mut child, limit, interrupt);
    if ended.is_err() {
        kill_group(&mut child);
    }
    let text = |reader: Option<JoinHandle<String>>| {
        reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
    };
    let (stdout, stderr) = (text(stdout), text(stderr));
    match ended {
        Ok(code) => Ok(Output { command: shown, code, stdout, stderr }),
        Err(cause) => {
            Err(cause.context(format!("`{shown}`\nstdout:\n{stdout}\nstderr:\n{stderr}")))
        }
    }
}

/// Waits for a child.
///
/// # Errors
/// If it does not end in time or the wait is interrupted.
pub fn wait(child: &mut Child, limit: Duration, interrupt: &Interrupt) -> Result<Option<i32>> {
    let (started, limit) = (Instant::now(), crate::slowed(limit));
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status.code());
        }
        if interrupt.is_raised() {
            bail!("interrupted");
        }
        if started.elapsed() > limit {
            bail!("did not end within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

/// Repeats a probe until it yields something.
///
/// # Errors
/// If it yields nothing in time, errs, or the wait is interrupted.
pub fn poll<T>(
    what: &str,
    limit: Duration,
    interrupt: &Interrupt,
    mut probe: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let (started, limit) = (Instant::now(), crate::slowed(limit));
    loop {
        if let Some(found) = probe()? {
            return Ok(found);
        }
        if interrupt.is_raised() {
            bail!("interrupted");
        }
        if started.elapsed() > limit {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        std::thread::sleep(POLL);
    }
}

/// Keeps ctrl-C at the terminal from reaching the child: whoever started it ends it in order.
pub fn in_own_group(command: &mut Command) {
    use std::os::unix::process::CommandExt as _;
    command.process_group(0);
}

/// Kills a child that leads a group, and the group.
pub fn kill_group(child: &mut Child) {
    if let Ok(pid) = i32::try_from(child.id()) {
        killpg(Pid::from_raw(pid), Signal::SIGKILL).ok();
    }
    child.wait().ok();
}

/// A command as one would type it.
#[must_use]
pub fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ")
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        from.read_to_end(&mut bytes).ok();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
