// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Root attaches a program to the same hook that turns the redirect around.

use enforcer_common::{Hook, Refusal, program};

use crate::technique::Outcome::{Kernel, Refused};
use crate::technique::Technique;

const SCRIPT: &str = r#"
if not OUTSIDE:
    if USER:
        run("/", "/bin/true")
    send(tcp(), V4)
elif USER == 0 and not os.fork():
    run(os.path.dirname(OUTSIDE), "/bin/true")
elif USER:
    run(os.path.dirname(OUTSIDE), "/bin/true")
os.wait()
send(tcp(), ("10.99.0.2", 1))
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_program_of_the_agent_after_ours_does_not_lead_outside() {
    Technique::new(Refused(Hook::Egress, Refusal::Device), SCRIPT)
        .with_program("rewrite")
        .hardened_by(&[program::BPF])
        .where_hardened(Refused(Hook::Bpf, Refusal::Programs))
        .held_by(&[program::INGRESS, program::EGRESS])
        .for_nobody(Kernel("EPERM"))
        .prove();
}
