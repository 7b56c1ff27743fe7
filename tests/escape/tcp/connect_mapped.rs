// SPDX-License-Identifier: Apache-2.0 OR MIT
//! IPv4 through an IPv6 socket.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(AF_INET6), MAPPED)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connect_to_a_mapped_address_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
