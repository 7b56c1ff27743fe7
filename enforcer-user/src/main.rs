// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    enforcer_user::cli::main()
}
