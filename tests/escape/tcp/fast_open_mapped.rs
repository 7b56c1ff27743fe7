// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data is in the SYN, to IPv4 through an IPv6 socket.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET6, NO_COOKIE).sendto(MARKER, FASTOPEN, MAPPED)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn data_in_the_first_packet_to_a_mapped_address_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT6, program::INGRESS, program::EGRESS])
        .prove();
}
