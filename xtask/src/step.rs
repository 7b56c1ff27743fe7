// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the commands share: saying what happens, running programs, knowing where things are.

use std::ffi::OsStr;
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

/// Says what happens next. To stderr: stdout belongs to the programs that are run.
pub(crate) fn say(text: &str) {
    // A reader that went away does not change the work.
    writeln!(std::io::stderr(), "xtask: {text}").ok();
}

/// Runs a program in the top folder and fails if it does.
pub(crate) fn run(program: impl AsRef<OsStr>, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository());
    run_command(&mut command)
}

/// Runs a prepared command and fails if it does.
pub(crate) fn run_command(command: &mut Command) -> Result<()> {
    let shown = show(command);
    say(&shown);
    let status = command.status().with_context(|| format!("failed to start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` failed: {status}");
    }
    Ok(())
}

/// The cargo that started this.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(repository());
    command
}

/// A command as one would type it.
pub(crate) fn show(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
    let arguments = command.get_args().map(|word| word.to_string_lossy());
    std::iter::once(name).chain(arguments).collect::<Vec<_>>().join(" ")
}

/// The top folder of the sources.
pub(crate) fn repository() -> PathBuf {
    // As cargo says now, not as it said when this was built: with one target folder for several
    // checkouts, this program may stem from another one.
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().map_or_else(|| manifest.clone(), Path::to_owned)
}

/// Where cargo builds.
pub(crate) fn target_folder() -> PathBuf {
    let folder = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    repository().join(folder)
}

/// A program of the workspace, as `cargo build` leaves it.
pub(crate) fn built(name: &str) -> PathBuf {
    target_folder().join("debug").join(name)
}

/// True for the superuser.
pub(crate) fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// Says why a command failed and turns the result into an exit code.
pub(crate) fn exit_code(done: Result<()>) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            say(&format!("failed: {cause:#}"));
            ExitCode::FAILURE
        }
    }
}
