// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Sent without a connect: the data is in the SYN.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
tcp(AF_INET, NO_COOKIE).sendto(MARKER, FASTOPEN, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn data_in_the_first_packet_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
