// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The ordinary way, over IPv6.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(AF_INET6), V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ipv6_connect_is_redirected() {
    Technique::new(Redirected("[fd99::2]:8080"), SCRIPT)
        .held_by(&[program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
