// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Supervised tasks: a panic in one is told, and never opens anything.

use std::future::Future;

use tokio::task::JoinHandle;

/// Spawns `task`; if it panics, an error is logged under `name`.
#[expect(clippy::disallowed_methods, reason = "this is the supervised spawn that the rule points to")]
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let inner = tokio::spawn(task);
    tokio::spawn(async move {
        if let Err(error) = inner.await
            && error.is_panic()
        {
            tracing::error!(task = name, "task panicked; its work was refused");
        }
    })
}
