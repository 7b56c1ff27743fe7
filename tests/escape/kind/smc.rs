// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Its inner TCP connection is made by the kernel.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_STREAM, 256)
s.settimeout(SHORT)
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connection_over_shared_memory_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::CONNECT4, program::INGRESS, program::EGRESS])
        .or_absent(&["EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT", "ENOENT"])
        .prove();
}
