// SPDX-License-Identifier: Apache-2.0 OR MIT
//! How processes become agents, what they are started with, and what they do without meaning harm.

pub(crate) mod calls;
mod command;
mod confined;
mod descendants;
mod environment;
mod input;
mod lookups;
mod namespace;
pub(crate) mod select;
mod shadow;
