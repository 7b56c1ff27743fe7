// SPDX-License-Identifier: Apache-2.0 OR MIT
//! By `MCAST_JOIN_GROUP`, over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
group = struct.pack("=HHI", AF_INET6, 0, 0) + b"\xff\x05" + MARKER[:14] + bytes(104)
udp(AF_INET6, (IPPROTO_IPV6, 42, struct.pack("=II", device(), 0) + group))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn joining_an_ipv6_group_by_the_newer_interface_is_refused() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT])
        .prove();
}
