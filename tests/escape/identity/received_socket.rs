// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Received from an unguarded process, not yet connected.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Redirected, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
peer = meet()
s = take_socket(peer)
s.settimeout(SHORT)
send(s, V4)
"#;

const HELPER: &str = r#"
with met() as peer:
    pass_socket(peer, tcp())
    peer.recv(1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_somebody_else_made_is_held() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .hardened_by(&[
            program::UNIX_STREAM_CONNECT,
            program::FILE_RECEIVE,
            program::SOCKET_SENDMSG,
        ])
        .where_hardened(Refused(Hook::UnixConnect, Refusal::Helper))
        .held_by(&[program::CONNECT4])
        .with_helper(HELPER)
        .prove();
}
