// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A foreign source address by the option for proxies, over IPv6.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
s = tcp(AF_INET6, (IPPROTO_IPV6, 75, 1), bind=("fd99::2", 5555))
send(s, V6)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_transparent_ipv6_socket_does_not_make_the_proxy_answer_the_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
