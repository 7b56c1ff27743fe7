// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Warm connections, by target. HTTP/1.1 ones are lent to one exchange at a time, HTTP/2 ones
//! are shared by as many as their server takes. Bounded by [`limits::UPSTREAM_IDLE_MAX`] and
//! [`limits::UPSTREAM_IDLE_TIMEOUT`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use enforcer_core::model::limits;
use hyper::client::conn::http2;
use tokio::time::Instant;

use super::connect::Sender;
use super::places::Place;
use super::streams::Streams;
use super::{RequestBody, Target};
use crate::runtime;

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Target, Warm>>);

#[derive(Default)]
struct Warm {
    shared: Vec<Shared>,
    idle: Vec<(Sender, Instant)>,
}

/// One HTTP/2 connection.
struct Shared {
    sender: http2::SendRequest<RequestBody>,
    used: Instant,
    streams: Streams,
}

impl Shared {
    fn is_usable(&self) -> bool {
        !self.sender.is_closed() && self.sender.is_ready() && !self.streams.is_leaving()
    }

    /// The connection with a place on it, if there is one.
    fn sender(&mut self) -> Option<Sender> {
        let slot = self.streams.reserve()?;
        self.used = Instant::now();
        Some(Sender::Http2(self.sender.clone(), slot))
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("targets", &self.warm().len()).finish()
    }
}

impl Pool {
    /// A connection that can take a request now.
    pub(super) fn take(&self, target: &Target) -> Option<Sender> {
        let mut all = self.warm();
        let warm = all.get_mut(target)?;
        warm.shared.retain(Shared::is_usable);
        if let Some(sender) = warm.shared.iter_mut().find_map(Shared::sender) {
            return Some(sender);
        }
        while let Some((sender, since)) = warm.idle.pop() {
            if sender.is_usable() && since.elapsed() < limits::UPSTREAM_IDLE_TIMEOUT {
                return Some(sender);
            }
        }
        None
    }

    /// Makes a fresh HTTP/2 connection available to others.
    pub(super) fn share(
        &self,
        target: &Target,
        sender: http2::SendRequest<RequestBody>,
        streams: Streams,
    ) {
        let mut all = self.warm();
        let shared = &mut all.entry(target.clone()).or_default().shared;
        shared.retain(Shared::is_usable);
        // Beyond the bound a connection ends with its first exchange.
        if shared.len() < limits::UPSTREAM_IDLE_MAX {
            shared.push(Shared { sender, used: Instant::now(), streams });
        }
    }

    /// Closes the connections that no exchange is on.
    pub(super) fn make_room(&self) {
        self.warm().retain(|_, warm| {
            warm.idle.clear();
            warm.shared.retain(|shared| !shared.streams.is_idle());
            !warm.shared.is_empty()
        });
    }

    /// Drops what is closed or was idle for too long.
    pub(super) fn reap(&self) {
        self.warm().retain(|_, warm| {
            let is_fresh = |since: &Instant| since.elapsed() < limits::UPSTREAM_IDLE_TIMEOUT;
            warm.idle.retain(|(sender, since)| sender.is_usable() && is_fresh(since));
            warm.shared.retain(|shared| shared.is_usable() && is_fresh(&shared.used));
            !warm.shared.is_empty() || !warm.idle.is_empty()
        });
    }

    /// Lends none of these connections any more; what runs on them ends by itself.
    pub(super) fn forget(&self) {
        self.warm().clear();
    }

    fn keep(&self, target: Target, sender: Sender) {
        let mut all = self.warm();
        let idle = &mut all.entry(target).or_default().idle;
        if idle.len() < limits::UPSTREAM_IDLE_MAX {
            idle.push((sender, Instant::now()));
        }
    }

    fn warm(&self) -> std::sync::MutexGuard<'_, HashMap<Target, Warm>> {
        // The map is valid between any two statements that hold it, so a poisoned one is too.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection in use. Dropped, it is closed (HTTP/1.1) or left to the others (HTTP/2).
pub struct Lease {
    pool: Arc<Pool>,
    target: Target,
    sender: Sender,
    _place: Place,
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, target: Target, sender: Sender, place: Place) -> Self {
        Self { pool, target, sender, _place: place }
    }

    /// Gives the connection back after the whole body was read.
    pub fn give_back(self) {
        let Self { pool, target, sender, _place } = self;
        match sender {
            Sender::Http2(..) => {}
            sender if sender.is_usable() => pool.keep(target, sender),
            Sender::Http1(mut sender) => {
                // The connection's own task has to see the end of the body first.
                drop(runtime::spawn("upstream give back", async move {
                    let ready =
                        tokio::time::timeout(limits::UPSTREAM_CONNECT_TIMEOUT, sender.ready());
                    if let Ok(Ok(())) = ready.await {
                        pool.keep(target, Sender::Http1(sender));
                    }
                }));
            }
        }
    }
}
