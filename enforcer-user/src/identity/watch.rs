// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Notices the end of sessions, by looking at the cgroups of all that are alive.
//!
//! A look costs one small read for each session. The kernel would also tell through inotify, which needs
//! more code and a sweep beside it for what gets lost.

use std::sync::Arc;

use enforcer_core::model::limits;
use tokio::time::MissedTickBehavior;

use super::{Session, Sessions};

/// Calls `ended` for each session whose last process is gone, until the task is dropped.
pub async fn watch(sessions: Arc<Sessions>, ended: impl Fn(Arc<Session>)) {
    let mut interval = tokio::time::interval(limits::SESSION_SWEEP_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        interval.tick().await;
        for session in sessions.deserted() {
            match sessions.end(&session) {
                Ok(()) => ended(session),
                Err(error) => tracing::debug!(session = %session.id, %error, "session not over"),
            }
        }
    }
}
