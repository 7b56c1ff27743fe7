// SPDX-License-Identifier: Apache-2.0 OR MIT
//! L2TP without UDP.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_DGRAM, 115)
check(libc.sendto(s.fileno(), MARKER, 15, 0, struct.pack("=HH", AF_INET, 0) + inet_aton("10.99.0.2") + struct.pack("=I", 7) + bytes(4), 16))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_tunnel_socket_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        .or_absent(&["EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT", "ENOENT"])
        .prove();
}
