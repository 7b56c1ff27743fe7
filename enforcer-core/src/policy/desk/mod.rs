// SPDX-License-Identifier: Apache-2.0 OR MIT
//! For people who write bundles: warnings, cases, comparison of two bundles, suggestions, and the reference.
//! Nothing here takes part in a decision.

pub mod cases;
mod contradiction;
pub mod diff;
mod doors;
pub(super) mod probe;
pub mod providers;
pub(super) mod reference;
mod remark;
pub mod suggest;
mod truth;
mod unmasked;
mod unused;
pub(super) mod warnings;
