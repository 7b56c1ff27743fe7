// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Client processes: Python, because it reaches every socket option in one line and its errors are the
//! kernel's. A process enters its cgroup before it runs its first instruction.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// What every script may use.
const PRELUDE: &str = r#"
import errno, os, socket, struct, sys, time
from socket import *
PATIENCE = 20 * int(os.environ.get("ENFORCER_TEST_SLOWNESS", 1))
socket_ = socket
def show(*words):
    print(*words, flush=True)
def outcome(f, *args):
    "The result as text, or the errno's name."
    try:
        return str(f(*args))
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error))
def at(name):
    return "%s:%s" % (name[0], name[1])
def ask(family, address, bind=None, options=()):
    "Connects, and returns what the proxy says the destination was, next to what getpeername says."
    with socket_(family, SOCK_STREAM) as s:
        s.settimeout(PATIENCE)
        for option in options:
            s.setsockopt(*option)
        if bind:
            s.bind(bind)
        s.connect(address)
        return s.recv(200).decode() + " " + at(s.getpeername())
def as_nobody():
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
"#;

/// A running script; killed when it is dropped.
#[derive(Debug)]
pub struct Script {
    child: Child,
    input: Option<ChildStdin>,
    lines: Lines<BufReader<ChildStdout>>,
}

/// Starts a script, in a cgroup or outside any.
#[must_use]
pub fn start(cgroup: Option<&Path>, script: &str) -> Script {
    let python =
        if Path::new("/usr/bin/python3").exists() { "/usr/bin/python3" } else { "python3" };
    // Alone and without packages of the site: that starts in half the time.
    program(cgroup, python, &["-I", "-S", "-c", &format!("{PRELUDE}\n{script}")])
}

/// Starts a program, in a cgroup or outside any.
pub fn program(cgroup: Option<&Path>, path: &str, arguments: &[&str]) -> Script {
    let mut command = match cgroup {
        Some(cgroup) => {
            let mut command = Command::new("sh");
            command.args(["-c", "echo $$ > \"$0/cgroup.procs\" && exec \"$@\""]);
            command.arg(cgroup).arg(path);
            command
        }
        None => Command::new(path),
    };
    command.args(arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let input = child.stdin.take();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    Script { child, input, lines }
}

/// Runs a script to its end and returns its lines.
pub fn run(cgroup: Option<&Path>, script: &str) -> Vec<String> {
    start(cgroup, script).finish()
}

impl Script {
    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The next line, without its end.
    pub fn line(&mut self) -> String {
        self.lines.next().expect("the script ended early").unwrap()
    }

    /// Lets a script go on that waits in `input()`.
    pub fn go_on(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// Gives a script a line.
    pub fn say(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// The remaining lines of a script that has to end well.
    pub fn finish(mut self) -> Vec<String> {
        drop(self.input.take());
        let lines: Vec<_> = self.lines.by_ref().map(Result::unwrap).collect();
        let status = self.child.wait().unwrap();
        assert!(status.success(), "the script failed after {lines:?}");
        lines
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
