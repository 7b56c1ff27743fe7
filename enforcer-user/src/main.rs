// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parse, run, exit code.

fn main() {}
