// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The few things every room may use: the clock, the drain signal, supervised tasks, the mount table.

mod chain;
mod clock;
mod drain;
pub mod mounts;
mod tasks;

pub use chain::chain;
pub use clock::Clock;
pub use drain::{Drain, Draining};
pub use tasks::{Panicked, apart, caught, heavy, spawn};
