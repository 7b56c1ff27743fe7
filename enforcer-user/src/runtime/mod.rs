// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The few things every room may use: the clock, the drain signal, supervised tasks, alarms, the mount table, a
//! stream that somebody looks on.

mod alarms;
mod chain;
mod clock;
mod drain;
pub mod mounts;
mod replace;
mod spare;
mod tasks;
mod watched;

pub use alarms::{Alarms, Change};
pub use chain::chain;
pub use clock::{Clock, moment};
pub use drain::{Drain, Draining};
pub use replace::replace;
pub use spare::{Spares, has_descriptors, is_out_of_descriptors};
pub use tasks::{Panicked, apart, caught, heavy, spawn};
pub use watched::{Watch, Watched};
