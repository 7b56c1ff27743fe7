// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Orderly end: everybody who serves holds a [`Draining`]; the daemon tells them to stop and waits until
//! the last one is gone, for a bounded time.

use std::time::Duration;

use tokio::sync::watch;

/// The daemon's end.
#[derive(Debug)]
pub struct Drain(watch::Sender<bool>);

/// A server's end; while one lives the drain is not over.
#[derive(Clone, Debug)]
pub struct Draining(watch::Receiver<bool>);

impl Drain {
    /// A pair that is not draining yet.
    #[must_use]
    pub fn new() -> (Self, Draining) {
        let (sender, receiver) = watch::channel(false);
        (Self(sender), Draining(receiver))
    }

    /// Tells everybody to finish and waits at most `limit`. True if all did. May be called again.
    pub async fn finish(&self, limit: Duration) -> bool {
        self.0.send_replace(true);
        tokio::time::timeout(limit, self.0.closed()).await.is_ok()
    }
}

impl Draining {
    /// True once the drain began.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the drain to begin.
    pub async fn begun(&mut self) {
        // An error means that the daemon is gone without a drain, which is an end too.
        drop(self.0.wait_for(|is_draining| *is_draining).await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_drain_waits_for_the_last_holder() {
        let (drain, mut draining) = Drain::new();
        assert!(!draining.is_draining());
        let holder = crate::runtime::spawn("test", async move { draining.begun().await });
        assert!(drain.finish(Duration::from_secs(5)).await);
        holder.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_holder_that_never_ends_does_not_hold_the_daemon() {
        let (drain, _draining) = Drain::new();
        assert!(!drain.finish(Duration::from_secs(5)).await);
    }
}
