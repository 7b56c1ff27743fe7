// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From facts to a decision: the policy, what it obliges to, and why it decided so.

mod calls;
pub(super) mod compared;
pub(super) mod comparison;
pub(super) mod environment;
mod evaluate;
pub(super) mod explain;
pub(super) mod masks;
pub(super) mod policy;
pub(super) mod question;
pub(super) mod scope;
pub(super) mod slices;
