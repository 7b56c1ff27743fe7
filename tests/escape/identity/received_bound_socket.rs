// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Received from an unguarded process that has bound it to a device.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Redirected, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
peer = meet()
s = take_socket(peer)
s.sendto(MARKER, FASTOPEN, V4)
"#;

const HELPER: &str = r#"
with met() as peer:
    pass_socket(peer, tcp(AF_INET, NO_COOKIE, BOUND))
    peer.recv(1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_somebody_else_bound_to_a_device_is_held() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .hardened_by(&[
            program::UNIX_STREAM_CONNECT,
            program::FILE_RECEIVE,
            program::SOCKET_SENDMSG,
        ])
        .where_hardened(Refused(Hook::UnixConnect, Refusal::Helper))
        .held_by(&[program::CONNECT4])
        .with_helper(HELPER)
        .for_nobody(Refused(Hook::Connect, Refusal::Device))
        .prove();
}
