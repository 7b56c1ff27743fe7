// SPDX-License-Identifier: Apache-2.0 OR MIT
//! One socket, many peers: no connect at all.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = socket_(AF_INET, SOCK_SEQPACKET, 132)
s.settimeout(SHORT)
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_sctp_socket_of_many_connections_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        // Nobody answers there in this protocol, but the question is out.
        .gets_out(Way::Frame)
        .or_absent(&["EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT", "ENOENT"])
        .prove();
}
