// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connected first: no hook sees this connect.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_DGRAM, 136)
s.connect(V4)
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connected_udp_lite_socket_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        .or_absent(&["EPROTONOSUPPORT"])
        .prove();
}
