// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Keeps what is logged, so that a test can ask whether a line is there.

use std::sync::{Mutex, PoisonError};

use ::log::{LevelFilter, Log, Metadata, Record};

struct Kept(Mutex<Vec<String>>);

static KEPT: Kept = Kept(Mutex::new(Vec::new()));

impl Log for Kept {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.push(record.args().to_string());
    }

    fn flush(&self) {}
}

/// Starts keeping lines; before the first program is loaded.
pub fn install() {
    // Another test of this process was first: fine.
    let _ = ::log::set_logger(&KEPT);
    ::log::set_max_level(LevelFilter::Debug);
}

/// Whether a line with this text was logged.
#[must_use]
pub fn has(text: &str) -> bool {
    let lines = KEPT.0.lock().unwrap_or_else(PoisonError::into_inner);
    lines.iter().any(|line| line.contains(text))
}
