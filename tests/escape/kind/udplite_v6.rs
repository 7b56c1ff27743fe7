// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A relative of UDP with a protocol number of its own.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
socket_(AF_INET6, SOCK_DGRAM, 136).sendto(MARKER, V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_ipv6_udp_lite_datagram_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::SENDMSG6, program::EGRESS])
        .or_absent(&["EPROTONOSUPPORT"])
        .prove();
}
