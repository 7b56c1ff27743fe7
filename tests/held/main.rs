// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What stands behind the paths of policy, settings, state, socket and program stays there: an agent replaces
//! none of it, and the daemon takes no other folder than the one it opened. Runs on the host's kernel and on
//! older ones (`cargo xtask test --vm`), so it needs no provider and no SDK.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test stops at the first thing that is not as expected"
)]

mod names;
mod replaced;
mod rig;
