// SPDX-License-Identifier: Apache-2.0 OR MIT
//! cli

pub mod policy;
