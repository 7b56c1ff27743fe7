// SPDX-License-Identifier: Apache-2.0 OR MIT
//! An IPv6 socket that becomes one of IPv4 after its first connection.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp(AF_INET6)
s.connect(MAPPED)
s.setsockopt(IPPROTO_IPV6, 1, AF_INET)
check(libc.connect(s.fileno(), bytes(16), 16))
s.setblocking(True)
s.setsockopt(SOL_SOCKET, SO_SNDTIMEO, struct.pack("ll", 0, 300000))
check(libc.connect(s.fileno(), name4(V4), 16))
s.sendall(MARKER)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_changes_its_family_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT6, program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
