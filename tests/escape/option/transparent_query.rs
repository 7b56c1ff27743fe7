// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A query from a foreign source address by the option for proxies.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::{Technique, Way};

const SCRIPT: &str = r#"
udp(AF_INET, (IPPROTO_IP, 19, 1), bind=("10.99.0.2", 5555)).sendto(query(), ("10.99.0.2", 53))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_transparent_socket_does_not_make_the_resolver_answer_the_outside() {
    Technique::new(Refused(Hook::Setsockopt, Refusal::SocketOption), SCRIPT)
        .gets_out(Way::Frame)
        .held_by(&[program::SETSOCKOPT])
        .for_nobody(Kernel("EPERM"))
        .after("echo 1 > /proc/sys/net/ipv4/conf/all/route_localnet")
        .prove();
}
