// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reference pages that are written from the program: settings, the record, the admin API, metrics. `cargo xtask gen`
//! writes them anew; these tests compare, and try what the pages say on the program.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test panics with the cause")]

mod admin;
mod apis;
mod metrics;
mod page;
mod record;
mod round;
mod settings;
mod types;

use std::fs;

use enforcer_tests::repository;

/// Compares a page with its file, or writes it.
fn expect_page(path: &str, page: &str) {
    let file = repository().join(path);
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(&file, page).unwrap();
    }
    let stands = fs::read_to_string(&file).unwrap_or_default();
    assert!(stands == page, "`{path}` is old: run `cargo xtask gen`");
}
