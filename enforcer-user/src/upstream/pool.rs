// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Warm connections, by target. HTTP/1.1 ones are lent to one exchange at a time, an HTTP/2 one is shared.
//! Bounded by [`limits::UPSTREAM_IDLE_MAX`] and [`limits::UPSTREAM_IDLE_TIMEOUT`].

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use enforcer_core::model::limits;
use hyper::client::conn::http2;
use tokio::time::Instant;

use super::connect::Sender;
use super::{RequestBody, Target};
use crate::runtime;

#[derive(Default)]
pub(super) struct Pool(Mutex<HashMap<Target, Warm>>);

#[derive(Default)]
struct Warm {
    shared: Option<(http2::SendRequest<RequestBody>, Instant)>,
    idle: Vec<(Sender, Instant)>,
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
        if let Some((sender, used)) = &mut warm.shared {
            if !sender.is_closed() && sender.is_ready() {
                *used = Instant::now();
                return Some(Sender::Http2(sender.clone()));
            }
            warm.shared = None;
        }
        while let Some((sender, since)) = warm.idle.pop() {
            if sender.is_usable() && since.elapsed() < limits::UPSTREAM_IDLE_TIMEOUT {
                return Some(sender);
            }
        }
        None
    }

    /// Makes a fresh HTTP/2 connection available to others.
    pub(super) fn share(&self, target: &Target, sender: &Sender) {
        if let Sender::Http2(sender) = sender {
            let shared = Some((sender.clone(), Instant::now()));
            self.warm().entry(target.clone()).or_default().shared = shared;
        }
    }

    /// Drops what is closed or was idle for too long.
    pub(super) fn reap(&self) {
        self.warm().retain(|_, warm| {
            let is_fresh = |since: &Instant| since.elapsed() < limits::UPSTREAM_IDLE_TIMEOUT;
            warm.idle.retain(|(sender, since)| sender.is_usable() && is_fresh(since));
            let keeps = |(sender, since): &(http2::SendRequest<RequestBody>, Instant)| {
                !sender.is_closed() && is_fresh(since)
            };
            warm.shared = warm.shared.take().filter(keeps);
            warm.shared.is_some() || !warm.idle.is_empty()
        });
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
}

impl std::fmt::Debug for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lease").field("target", &self.target).finish_non_exhaustive()
    }
}

impl Lease {
    pub(super) fn new(pool: Arc<Pool>, target: Target, sender: Sender) -> Self {
        Self { pool, target, sender }
    }

    /// Gives the connection back after the whole body was read.
    pub fn give_back(self) {
        let Self { pool, target, sender } = self;
        match sender {
            Sender::Http2(_) => {}
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
