// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A subflow of the kernel that has the data in its SYN.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_STREAM, 262)
s.settimeout(SHORT)
s.setsockopt(*NO_COOKIE)
s.sendto(MARKER, FASTOPEN, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn multipath_tcp_with_data_in_the_first_packet_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::CONNECT4, program::INGRESS, program::EGRESS])
        // ENOPROTOOPT: before 6.2 it has no Fast Open.
        .or_absent(&["EPROTONOSUPPORT", "ENOPROTOOPT"])
        .prove();
}
