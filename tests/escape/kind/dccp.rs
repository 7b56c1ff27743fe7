// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Another transport that connects.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::Refused;
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = socket_(AF_INET, 6, 33)
s.settimeout(SHORT)
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_dccp_connection_is_refused() {
    Technique::new(Refused(Hook::SockCreate, Refusal::SocketKind), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::SOCK_CREATE, program::EGRESS])
        // Nobody answers there in this protocol, but the question is out.
        .gets_out(Way::Frame)
        .or_absent(&["EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT", "ENOENT"])
        .prove();
}
