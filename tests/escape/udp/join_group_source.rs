// SPDX-License-Identifier: Apache-2.0 OR MIT
//! By `MCAST_JOIN_SOURCE_GROUP`.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_IP, 46, struct.pack("=II", device(), 0) + name4(("239.78.70.79", 0)) + bytes(112) + name4(("10.99.0.7", 0)) + bytes(112)))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn joining_a_group_of_one_source_by_the_newer_interface_is_refused() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
