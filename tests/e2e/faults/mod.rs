// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What breaks, and what the daemon does about it: alarms, restarts, and what it starts without.

pub(crate) mod alarms;
mod clock;
mod crash;
mod disk;
mod drain;
mod first_start;
mod kernel_faults;
pub(crate) mod resolver;
mod starved;
mod stopped;
