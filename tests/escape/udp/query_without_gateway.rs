// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An option for hosts on the link only.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET, (SOL_SOCKET, SO_DONTROUTE, 1)).sendto(query(), ("10.99.0.2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_query_that_asks_for_no_gateway_is_redirected() {
    Technique::new(Redirected("10.99.0.2:53"), SCRIPT)
        .held_by(&[program::SENDMSG4, program::EGRESS])
        .prove();
}
