// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Supervised work: a panic is told, and never opens anything; heavy work does not hold up the others.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The work ended in a panic. Whoever gets this denies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the work panicked")]
pub struct Panicked;

/// Spawns `task`; if it panics, an error is logged under `name`.
#[expect(
    clippy::disallowed_methods,
    reason = "this is the supervised spawn that the rule points to"
)]
pub fn spawn<F>(name: &'static str, task: F) -> JoinHandle<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    tokio::spawn(async move {
        if caught(task).await.is_err() {
            tracing::error!(task = name, "task panicked; its work was refused");
        }
    })
}

/// Runs `work`; a panic in it becomes a value.
///
/// # Errors
/// [`Panicked`]; what the work held was dropped on the way, so its guards have closed themselves.
pub async fn caught<F: Future>(work: F) -> Result<F::Output, Panicked> {
    let mut work = pin!(work);
    std::future::poll_fn(move |cx| {
        // The work is not polled again after a panic, so what it left half done is never seen.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
            Ok(poll) => poll.map(Ok),
            Err(_panic) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// Runs computing that takes long on a thread made for it, so that other connections go on.
///
/// # Errors
/// [`Panicked`].
pub async fn heavy<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    tokio::task::spawn_blocking(work).await.map_err(|_panic| Panicked)
}

/// Runs work on a thread of its own that ends with it: for what changes the thread, such as the namespace it
/// is in.
///
/// # Errors
/// [`Panicked`], also when no thread can be made.
pub async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Panicked> {
    let (done, result) = oneshot::channel();
    let thread = std::thread::Builder::new().name("apart".to_owned());
    let started = thread.spawn(move || {
        // Who does not wait any more does not need it.
        let _gone = done.send(work());
    });
    started.map_err(|_none| Panicked)?;
    result.await.map_err(|_panic| Panicked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_a_value_and_the_rest_goes_on() {
        assert_eq!(caught(async { 7 }).await, Ok(7));
        assert_eq!(caught(async { panic!("on purpose") }).await, Err::<(), _>(Panicked));
        assert_eq!(heavy(|| panic!("on purpose")).await, Err::<(), _>(Panicked));
        spawn("test", async { panic!("on purpose") }).await.unwrap();
    }
}
