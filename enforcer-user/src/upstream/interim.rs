// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Counts interim answers (1xx) over HTTP/1.1, of which a provider may send any number before its answer. Over
//! HTTP/2 they are counted from the frames.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use enforcer_core::model::limits;
use hyper::Request;
use tokio::sync::Notify;

/// The interim answers to one request.
#[derive(Default)]
pub(super) struct Interim(Arc<Count>);

#[derive(Default)]
struct Count {
    came: AtomicU32,
    too_many: Notify,
}

impl Interim {
    /// Counts those to this request.
    pub(super) fn of<B>(request: &mut Request<B>) -> Self {
        let interim = Self::default();
        let count = Arc::clone(&interim.0);
        hyper::ext::on_informational(request, move |_| {
            if count.came.fetch_add(1, Ordering::Relaxed) >= limits::UPSTREAM_INTERIM_MAX {
                count.too_many.notify_one();
            }
        });
        interim
    }

    /// Ends when there were more than [`limits::UPSTREAM_INTERIM_MAX`].
    pub(super) async fn too_many(&self) {
        self.0.too_many.notified().await;
    }
}
