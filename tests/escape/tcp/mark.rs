// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The mark by which proxies let their own traffic pass.

use enforcer_common::program;

use crate::technique::Outcome::{Kernel, Redirected};
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(AF_INET, (SOL_SOCKET, SO_MARK, 1)), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_mark_exempts_nobody() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
