// SPDX-License-Identifier: Apache-2.0 OR MIT
//! To a multicast group that every host is in; the copy that the kernel delivers to a service of
//! this host belongs to no socket.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = udp(AF_INET, (IPPROTO_IP, IP_MULTICAST_IF, inet_aton("10.99.0.1")))
try:
    s.connect(("224.0.0.1", 8080))
except OSError:
    return
outcome(s.send, MARKER)
peer = meet()
if MARKER in peer.recv(99):
    show("escaped")
"#;

const HELPER: &str = r#"
s = udp(AF_INET, bind=("224.0.0.1", 8080))
s.settimeout(SHORT)
report(s, met())
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_group_is_not_connected_to() {
    Technique::new(Refused(Hook::Connect, Refusal::Datagram), SCRIPT)
        .gets_out(Way::Says)
        .hardened_by(&[program::UNIX_STREAM_CONNECT])
        .held_by(&[program::CONNECT4])
        .with_helper(HELPER)
        .prove();
}
