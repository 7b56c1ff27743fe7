// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The device is part of the address, and stays when the address is rewritten.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
udp(AF_INET6).sendto(query(), ("fe80::99", 53, 0, device()))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_query_to_a_link_local_name_server_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .held_by(&[program::SENDMSG6, program::EGRESS])
        .prove();
}
