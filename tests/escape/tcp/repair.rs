// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Connected without a packet, as if a checkpoint were restored; then it sends.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp()
s.setsockopt(IPPROTO_TCP, 19, 1)
s.connect(V4)
s.setsockopt(IPPROTO_TCP, 29, struct.pack("=5I", 0, 65535, 65535, 65535, 0))
s.setsockopt(IPPROTO_TCP, 19, -1)
s.send(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_connection_that_is_declared_to_exist_is_held() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::CONNECT4, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
