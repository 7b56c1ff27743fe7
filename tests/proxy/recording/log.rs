// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the data path says in the log, for tests that look for what must not be in it.

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

static LOG: LazyLock<Log> = LazyLock::new(|| {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new("enforcer_user=trace"))
        .with_writer(log.clone())
        .with_ansi(false)
        .finish();
    tracing_subscriber::util::SubscriberInitExt::init(subscriber);
    log
});

/// Keeps everything that is logged from now on, by all tests of this suite.
pub(crate) fn keep() {
    LazyLock::force(&LOG);
}

/// Whether the log holds this text.
pub(crate) fn has(needle: &str) -> bool {
    String::from_utf8_lossy(&LOG.0.lock().unwrap()).contains(needle)
}

/// The lines of the log that are so.
pub(crate) fn lines(is_so: impl Fn(&str) -> bool) -> Vec<String> {
    let log = String::from_utf8_lossy(&LOG.0.lock().unwrap()).into_owned();
    log.lines().filter(|line| is_so(line)).map(str::to_owned).collect()
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Log {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}
