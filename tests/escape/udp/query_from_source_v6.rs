// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the host's own address, over IPv6.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6, bind=("fd99::1", 0)).sendto(query(), ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ipv6_query_from_a_chosen_source_is_redirected() {
    Technique::new(Redirected("[fd99::2]:53"), SCRIPT)
        .held_by(&[program::SENDMSG6, program::EGRESS])
        .prove();
}
