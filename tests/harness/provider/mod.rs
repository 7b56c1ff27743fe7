// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A stand-in for the model provider: TLS, HTTP/1.1 and HTTP/2, the wire formats of the OpenAI and the
//! Anthropic API.
//!
//! It answers from a fixed text and writes down everything it received, so that a test can compare what
//! an agent sent with what reached the provider. It runs on a thread of its own, so that tests with and
//! without an async runtime use it alike. It does not judge requests beyond what the real API refuses.

mod answer;
mod certificate;
mod log;
mod messages;
mod response;
mod serve;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

pub use certificate::Authority;
pub use log::{Log, Received, StreamSent};

/// What the assistant says. An e-mail address and a card number, so that masking of answers shows.
pub const ANSWER: &str = "Order A-1001 ships tomorrow. The receipt went to maria.lopez@example.com \
                          and card 4111 1111 1111 1111 was charged.";

/// How a stand-in is set up.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where it listens; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Names in its certificate.
    pub names: Vec<String>,
    /// What the assistant says.
    pub answer: String,
    /// Pause between two events of a streamed answer.
    pub pace: Duration,
    /// Where requests are written down as JSON lines, besides memory.
    pub log_file: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            names: vec!["api.openai.com".to_owned()],
            answer: ANSWER.to_owned(),
            pace: Duration::ZERO,
            log_file: None,
        }
    }
}

/// A running stand-in; it stops when dropped.
#[derive(Debug)]
pub struct FakeUpstream {
    address: SocketAddr,
    log: Log,
    held: watch::Sender<bool>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl FakeUpstream {
    /// Starts a stand-in whose certificate `authority` signs.
    ///
    /// # Errors
    /// If the address is taken, the log file cannot be written, or no certificate can be made.
    pub fn start(authority: &Authority, options: &Options) -> Result<Self> {
        let tls = authority.server_config(&options.names)?;
        let log = Log::open(options.log_file.as_deref())?;
        let (held, held_seen) = watch::channel(false);
        let (stop, stopped) = oneshot::channel();
        let listener = std::net::TcpListener::bind(options.listen)
            .with_context(|| format!("failed to listen on `{}`", options.listen))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let state = Arc::new(serve::State {
            answer: options.answer.clone(),
            pace: options.pace,
            log: log.clone(),
            held: held_seen,
        });
        let thread =
            std::thread::Builder::new().name("stand-in-provider".to_owned()).spawn(move || {
                runtime.block_on(async move {
                    let Ok(listener) = TcpListener::from_std(listener) else { return };
                    tokio::select! {
                        () = serve::accept(listener, tls, state) => {}
                        _ = stopped => {}
                    }
                });
            })?;
        Ok(Self { address, log, held, stop: Some(stop), thread: Some(thread) })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it received and sent.
    #[must_use]
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Holds every streamed answer back after its first event, until [`Self::release`].
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// Lets held answers go on.
    pub fn release(&self) {
        self.held.send_replace(false);
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        self.held.send_replace(false);
        if let Some(stop) = self.stop.take() {
            // A closed channel means that the thread is already gone.
            stop.send(()).ok();
        }
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
