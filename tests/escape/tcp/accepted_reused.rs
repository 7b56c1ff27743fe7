// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A socket that no connect made: accepted from oneself, disconnected, and used for a connect.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
listener = tcp(bind=("0.0.0.0", 0))
listener.listen()
client = tcp()
client.connect(("127.0.0.1", listener.getsockname()[1]))
s = listener.accept()[0]
s.settimeout(SHORT)
check(libc.connect(s.fileno(), bytes(16), 16))
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_accepted_socket_that_is_connected_elsewhere_is_redirected() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::CONNECT4, program::INGRESS, program::EGRESS])
        .prove();
}
