// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The connection is made by the kernel, in subflows.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_STREAM, 262)
s.settimeout(SHORT)
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn multipath_tcp_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::CONNECT4, program::INGRESS, program::EGRESS])
        .or_absent(&["EPROTONOSUPPORT"])
        .prove();
}
