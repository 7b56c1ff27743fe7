// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The agent writes the IP header itself.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
header = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 35, 0, 0, 64, 17, 0, inet_aton("10.99.0.1"), inet_aton("10.99.0.2"))
socket_(AF_INET, SOCK_RAW, IPPROTO_RAW).sendto(header + MARKER, ("10.99.0.2", 0))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_raw_socket_with_its_own_header_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
