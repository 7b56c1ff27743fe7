// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A connect that sends nothing until there is data.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
send(tcp(AF_INET, TCP_FASTOPEN_CONNECT, NO_COOKIE), V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn data_in_the_first_packet_after_a_connect_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
