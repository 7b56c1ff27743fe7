// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The repository's own rules, as tests over its text. They need nothing but the sources.
//!
//! Tables are read from ARCHITECTURE.md and docs, so that a rule and its explanation are one text. These
//! are rules of thumb over lines, not a parser: they see `crate::room` and plain words, and no macros.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test panics with the cause")]

mod docs;
mod imports;
mod modules;
mod rooms;
mod sources;
mod text;
