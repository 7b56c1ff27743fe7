// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Extension headers by `IPV6_2292PKTOPTIONS`, several at once.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
text = bytes([0, 2, 0x1e, 15]) + MARKER + bytes([1, 3, 0, 0, 0])
head = struct.pack("=Qii", 16 + len(text), IPPROTO_IPV6, 4)
send(tcp(AF_INET6, (IPPROTO_IPV6, 6, head + text)), V6, b"x")
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn options_of_packets_by_the_older_interface_are_refused() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .held_by(&[program::SETSOCKOPT, program::CONNECT6, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
