// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The kernel announces the group, of which fourteen bytes are for the agent to choose.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
group = b"\xff\x05" + MARKER[:14]
udp(AF_INET6, (IPPROTO_IPV6, 20, group + struct.pack("=I", device())))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn joining_an_ipv6_group_is_refused() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
