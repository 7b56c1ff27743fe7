// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To the port of name servers, over IPv6.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6).sendto(query(), ("fd99::2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ipv6_name_query_is_redirected() {
    Technique::new(Redirected("[fd99::2]:53"), SCRIPT)
        .held_by(&[program::SENDMSG6, program::EGRESS])
        .prove();
}
