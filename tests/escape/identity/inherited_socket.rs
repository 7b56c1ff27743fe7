// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Made outside, used inside.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
s = tcp()
enter()
send(s, V4)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_socket_that_was_made_before_its_process_was_guarded_is_held() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .hardened_by(&[program::SOCKET_SENDMSG])
        .held_by(&[program::CONNECT4])
        .starting_outside()
        .prove();
}
