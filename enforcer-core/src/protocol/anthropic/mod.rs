// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The Anthropic API: which requests are understood, and what a refused client receives.

mod apis;
mod doors;
mod error;
mod headers;
mod shapes;
mod tables;

use super::family::{Family, Place};

/// The family `anthropic`.
pub static FAMILY: Family = Family {
    name: "anthropic",
    doors: doors::DOORS,
    place: |path| Place { prefix: "", path, model: None },
    shape: &shapes::MESSAGES,
    knows_header: headers::knows_header,
    knows_query: headers::knows_query,
    refusal: error::error_body,
};
