// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The demo: a real agent on the unchanged SDK, a stand-in provider, and what Enforcer does between them.
//!
//! `cargo xtask demo` installs and builds what is needed and starts this. Every promise that is shown is
//! checked: the exit code is 1 if one does not hold. Whatever happens, everything that was made is
//! removed, also on ctrl-C.
#![forbid(unsafe_code)]

mod journal;
mod screen;
mod stage;
mod talk;
mod ways;

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use enforcer_tests::command::Interrupt;
use tokio::signal::unix::{SignalKind, signal};

use screen::Screen;
use stage::Stage;

fn main() -> ExitCode {
    let screen = Screen::new();
    let interrupt = Interrupt::default();
    match listen_for_signals(interrupt.clone()).and_then(|()| show(&screen, &interrupt)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            screen.failed(&format!("{cause:#}"));
            ExitCode::FAILURE
        }
    }
}

fn show(screen: &Screen, interrupt: &Interrupt) -> Result<()> {
    let before = stage::KernelView::now();
    let mut stage = Stage::set(screen, interrupt)?;
    let shown = acts(&stage);
    if shown.is_err() {
        screen.heading("The daemon's log ends with");
        screen.quoted(&stage.log_tail());
    }
    let cleaned = stage.clear().and_then(|()| before.compare(interrupt));
    shown.and(cleaned)?;
    screen.held(
        "nothing is left: no program, link, pin, mount, cgroup, process or state of this demo",
    );
    Ok(())
}

fn acts(stage: &Stage<'_>) -> Result<()> {
    let trace = talk::allowed_and_masked(stage)?;
    talk::streamed_and_masked(stage)?;
    talk::model_not_allowed(stage)?;
    talk::trace_export_refused(stage, &trace)?;
    ways::around(stage)?;
    journal::sessions(stage)?;
    journal::replay(stage)
}

/// Turns ctrl-C, SIGTERM and SIGHUP into an orderly end.
fn listen_for_signals(interrupt: Interrupt) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (mut int, mut term, mut hang_up) = {
        // Registered before the thread starts, so that no moment is uncovered.
        let _entered = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        )
    };
    let wait = async move {
        tokio::select! {
            _ = int.recv() => {}
            _ = term.recv() => {}
            _ = hang_up.recv() => {}
        }
        interrupt.raise();
    };
    let thread = std::thread::Builder::new().name("signals".to_owned());
    thread.spawn(move || runtime.block_on(wait)).context("failed to start a thread")?;
    Ok(())
}
