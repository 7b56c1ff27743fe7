// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What the suites and the demo share: a stand-in provider, and a host with its own cgroup, pins and state.
#![forbid(unsafe_code)]

pub mod provider;

pub use provider::{Authority, FakeUpstream};
