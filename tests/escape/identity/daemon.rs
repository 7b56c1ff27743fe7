// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Twice forked, in a session of its own, with no parent left.

use enforcer_common::program;

use crate::technique::Outcome::Redirected;
use crate::technique::Technique;

const SCRIPT: &str = r#"
end, start = os.pipe()
if os.fork() == 0:
    os.setsid()
    if os.fork():
        os._exit(0)
    os.close(end)
    leave()
    send(tcp(), V4)
    os._exit(0)
os.close(start)
os.read(end, 1)
"#;

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_daemon_of_an_agent_is_guarded() {
    Technique::new(Redirected("10.99.0.2:8080"), SCRIPT)
        .held_by(&[program::EXEC, program::FORK])
        .mutated_as_root()
        .prove();
}
