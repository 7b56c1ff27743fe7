// SPDX-License-Identifier: Apache-2.0 OR MIT
//! config

pub mod bundle;
