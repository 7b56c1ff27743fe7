// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The data is in the SYN, by `sendmmsg`.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp(AF_INET, NO_COOKIE)
name = ctypes.create_string_buffer(name4(V4))
text = ctypes.create_string_buffer(MARKER)
part = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(text), len(MARKER)))
head = struct.pack("=QIIQQQQii", ctypes.addressof(name), 16, 0, ctypes.addressof(part), 1, 0, 0, 0, 0)
both = ctypes.create_string_buffer(head + bytes(8))
check(libc.sendmmsg(s.fileno(), both, 1, FASTOPEN))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn data_in_the_first_packet_by_sendmmsg_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
