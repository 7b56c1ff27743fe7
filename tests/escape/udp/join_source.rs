// SPDX-License-Identifier: Apache-2.0 OR MIT
//! By `IP_ADD_SOURCE_MEMBERSHIP`; the source is announced too.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_IP, 39, inet_aton("239.78.70.79") + inet_aton("10.99.0.1") + inet_aton("10.99.0.7")))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn joining_a_group_of_one_source_is_refused() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
