// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel announces the group, whose address is for the agent to choose.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_IP, IP_ADD_MEMBERSHIP, inet_aton("239.78.70.79") + inet_aton("10.99.0.1")))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn joining_a_group_is_refused() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
