// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host daemon and its command line; one module for each room of ARCHITECTURE.md.
#![deny(unsafe_code)]

pub mod admin;
pub mod approval;
pub mod budget;
pub mod cli;
pub mod config;
pub mod daemon;
pub mod dns;
pub mod enforce;
pub mod identity;
pub mod intake;
pub mod kernel;
pub mod launch;
pub mod proxy;
pub mod runtime;
pub mod store;
pub mod tls;
pub mod upstream;
