// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For people who write bundles: warnings, cases, comparison of two bundles, suggestions, and the reference.
//! Nothing here takes part in a decision.

pub mod cases;
pub(super) mod contradiction;
pub mod diff;
pub(super) mod probe;
pub mod providers;
pub(super) mod reference;
pub mod suggest;
pub(super) mod truth;
pub(super) mod unmasked;
pub(super) mod unused;
pub(super) mod warnings;
