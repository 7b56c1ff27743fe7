// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A protocol of the agent's own.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
socket_(AF_INET, SOCK_RAW, 253).sendto(MARKER, ("10.99.0.2", 0))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_raw_socket_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
