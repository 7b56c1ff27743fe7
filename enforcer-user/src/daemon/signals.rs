// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What ends the daemon, and what has it open the folder of the bundle anew.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Waits for SIGTERM or SIGINT.
///
/// # Errors
/// If the handlers cannot be installed; then the daemon must not run.
pub(super) async fn end() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

/// Waits for SIGHUP, again and again.
pub(super) struct Reload(Signal);

impl Reload {
    /// From now on that signal does not end the daemon.
    ///
    /// # Errors
    /// If the handler cannot be installed; then the daemon must not run.
    pub(super) fn new() -> std::io::Result<Self> {
        signal(SignalKind::hangup()).map(Self)
    }

    /// Until the next one. Those that came since the last are one.
    pub(super) async fn asked(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}
