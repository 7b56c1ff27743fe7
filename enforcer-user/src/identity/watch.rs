// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Notices the end of sessions: the kernel tells when a cgroup loses its last process.
//!
//! `cgroup.events` is modified at that moment (cgroup v2 documentation, "populated"), which inotify
//! reports. A slow sweep beside it catches what a lost notification would have told.

use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::{Session, Sessions};

/// Time between two sweeps over all sessions.
const SWEEP_INTERVAL: Duration = Duration::from_secs(5);

/// What `AsyncFd` waits for; nix lends the descriptor in its newer form only.
struct Watch(Inotify);

impl AsRawFd for Watch {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

/// Calls `ended` for each session whose last process is gone, until the task is dropped. `started` tells
/// of new sessions.
pub async fn watch(
    sessions: Arc<Sessions>,
    mut started: mpsc::Receiver<Arc<Session>>,
    ended: impl Fn(Arc<Session>),
) {
    let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC);
    let inotify = match inotify.map_err(std::io::Error::from).map(Watch).and_then(AsyncFd::new) {
        Ok(inotify) => Some(inotify),
        Err(error) => {
            tracing::warn!(%error, "no inotify; the end of a session is noticed by sweeping");
            None
        }
    };
    for session in sessions.all() {
        add(inotify.as_ref(), &session);
    }
    let mut sweep = tokio::time::interval(SWEEP_INTERVAL);
    loop {
        tokio::select! {
            session = started.recv() => match session {
                Some(session) => add(inotify.as_ref(), &session),
                None => return,
            },
            () = changed(inotify.as_ref()) => {}
            _ = sweep.tick() => {}
        }
        for session in sessions.deserted() {
            match sessions.end(&session) {
                Ok(()) => ended(session),
                Err(error) => tracing::debug!(session = %session.id, %error, "session not over"),
            }
        }
    }
}

fn add(inotify: Option<&AsyncFd<Watch>>, session: &Session) {
    let file = session.cgroup.join("cgroup.events");
    if let Some(inotify) = inotify
        && let Err(error) = inotify.get_ref().0.add_watch(&file, AddWatchFlags::IN_MODIFY)
    {
        tracing::debug!(session = %session.id, %error, "not watched; the sweep will see its end");
    }
}

async fn changed(inotify: Option<&AsyncFd<Watch>>) {
    let Some(inotify) = inotify else { return std::future::pending().await };
    match inotify.readable().await {
        Ok(mut ready) => {
            // Which cgroup it was does not matter: the caller looks at all of them.
            let read = ready.get_inner().0.read_events();
            if read.is_err() || read.is_ok_and(|events| events.is_empty()) {
                ready.clear_ready();
            }
        }
        Err(error) => {
            tracing::warn!(%error, "inotify failed; the sweep goes on");
            std::future::pending().await
        }
    }
}
