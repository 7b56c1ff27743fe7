// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the stand-in received and sent, in memory and, where asked, as JSON lines in a file.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

/// One request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Counted from 0.
    pub number: usize,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub protocol: String,
    /// Server name of the client hello.
    pub server_name: String,
    /// Request method.
    pub method: String,
    /// Path with query.
    pub path: String,
    /// Header names in lower case with their values, in order.
    pub headers: Vec<(String, String)>,
    /// The body, invalid UTF-8 replaced.
    pub body: String,
}

impl Received {
    /// The body as JSON, or null.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }

    /// The first value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// One streamed answer as it left.
#[derive(Clone, Copy, Debug)]
pub struct StreamSent {
    /// The request it answers.
    pub number: usize,
    /// When its first event was handed over, in milliseconds since the Unix epoch.
    pub first_ms: u64,
    /// When its last event was handed over.
    pub last_ms: u64,
    /// Events sent.
    pub events: usize,
    /// False if the client went away before the end.
    pub finished: bool,
}

#[derive(Debug, Default)]
struct Entries {
    received: Vec<Received>,
    streams: Vec<StreamSent>,
    connections: usize,
    file: Option<File>,
}

/// A shared handle to what was received.
#[derive(Clone, Debug, Default)]
pub struct Log {
    shared: Arc<(Mutex<Entries>, Condvar)>,
}

impl Log {
    pub(super) fn open(path: Option<&Path>) -> Result<Self> {
        let log = Self::default();
        if let Some(path) = path {
            let file = File::create(path)
                .with_context(|| format!("failed to create the log `{}`", path.display()))?;
            log.entries().file = Some(file);
        }
        Ok(log)
    }

    /// Everything received so far.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        self.entries().received.clone()
    }

    /// Streamed answers that ended so far.
    #[must_use]
    pub fn streams(&self) -> Vec<StreamSent> {
        self.entries().streams.clone()
    }

    /// TCP connections accepted so far, whatever came of them.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.entries().connections
    }

    /// Waits until at least `count` requests have arrived.
    ///
    /// # Errors
    /// If they have not arrived in time.
    pub fn wait_for(&self, count: usize, limit: Duration) -> Result<Vec<Received>> {
        let (_, changed) = &*self.shared;
        let (entries, timeout) = changed
            .wait_timeout_while(self.entries(), limit, |entries| entries.received.len() < count)
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            let seen = entries.received.len();
            bail!("the provider received {seen} requests, expected {count}");
        }
        Ok(entries.received.clone())
    }

    pub(super) fn connected(&self) {
        self.entries().connections += 1;
    }

    /// Writes a request down and gives it its number.
    pub(super) fn add(&self, mut request: Received) -> usize {
        let mut entries = self.entries();
        request.number = entries.received.len();
        let body = match request.json() {
            Value::Null => Value::String(request.body.clone()),
            json => json,
        };
        let headers: serde_json::Map<String, Value> =
            request.headers.iter().map(|(k, v)| (k.clone(), Value::String(v.clone()))).collect();
        write_line(
            &mut entries,
            &json!({
                "kind": "request",
                "number": request.number,
                "at_ms": request.at_ms,
                "protocol": request.protocol,
                "server_name": request.server_name,
                "method": request.method,
                "path": request.path,
                "headers": headers,
                "body": body,
            }),
        );
        let number = request.number;
        entries.received.push(request);
        self.shared.1.notify_all();
        number
    }

    pub(super) fn add_stream(&self, sent: StreamSent) {
        let mut entries = self.entries();
        write_line(
            &mut entries,
            &json!({
                "kind": "stream",
                "number": sent.number,
                "first_ms": sent.first_ms,
                "last_ms": sent.last_ms,
                "events": sent.events,
                "finished": sent.finished,
            }),
        );
        entries.streams.push(sent);
        self.shared.1.notify_all();
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Milliseconds since the Unix epoch.
#[must_use]
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn write_line(entries: &mut Entries, line: &Value) {
    // A full disk must not change what the stand-in answers; memory holds the same.
    if let Some(file) = &mut entries.file {
        writeln!(file, "{line}").ok();
    }
}
