// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Echo requests with text, as anybody does it.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
socket_(AF_INET, SOCK_DGRAM, 1).sendto(struct.pack("!BBHHH", 8, 0, 0, 0, 1) + MARKER, ("10.99.0.2", 0))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_ping_socket_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        .after("echo '0 2147483647' > /proc/sys/net/ipv4/ping_group_range")
        .prove();
}
