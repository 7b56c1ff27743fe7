// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Anthropic API: which requests are understood, and what a refused client receives.

mod apis;
mod batches;
mod content;
mod doors;
mod error;
mod headers;
mod messages;
mod shapes;
mod tables;
mod tokens;
mod tools;

#[cfg(test)]
mod tests;

use super::family::{Family, Place, as_sent};

/// The family `anthropic`.
pub static FAMILY: Family = Family {
    name: "anthropic",
    doors: doors::DOORS,
    place: |path| Place { prefix: "", path, model: None },
    shape: &shapes::MESSAGES,
    knows_header: headers::knows_header,
    knows_query: headers::knows_query,
    spelled: as_sent,
    refusal: error::error_body,
};
