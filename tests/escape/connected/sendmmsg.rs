// SPDX-License-Identifier: Apache-2.0 OR MIT
//! With `sendmmsg`.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = udp()
s.connect(V4)
text = ctypes.create_string_buffer(MARKER)
part = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(text), len(MARKER)))
head = struct.pack("=QIIQQQQii", 0, 0, 0, ctypes.addressof(part), 1, 0, 0, 0, 0)
both = ctypes.create_string_buffer(head + bytes(8))
check(libc.sendmmsg(s.fileno(), both, 1, 0))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn connected_datagrams_by_sendmmsg_are_dropped() {
    Technique::new(Refused(Hook::Egress, Refusal::Datagram), SCRIPT)
        .held_by(&[program::EGRESS])
        .prove();
}
