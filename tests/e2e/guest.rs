// SPDX-License-Identifier: Apache-2.0 OR MIT
//! A process that stays alive and does what a test asks it, guarded or beside the guarded ones.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};

use enforcer_tests::command::{self, Interrupt};
use serde_json::{Value, json};

use crate::scene::{LIMIT, MODEL, guest_words};

pub(crate) struct Guest {
    child: Child,
    stdin: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Guest {
    pub(crate) fn start(mut command: Command) -> Self {
        command::in_own_group(&mut command);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (sender, answers) = mpsc::channel();
        let stdout = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                // The test may have heard enough.
                sender.send(line).ok();
            }
        });
        Self { stdin: child.stdin.take(), child, answers }
    }

    /// One with nothing of Enforcer around it.
    pub(crate) fn unguarded() -> Self {
        let words = guest_words();
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        Self::start(command)
    }

    pub(crate) fn send(&mut self, ask: &Value) {
        writeln!(self.stdin.as_mut().unwrap(), "{ask}").unwrap();
    }

    pub(crate) fn next(&self) -> Value {
        serde_json::from_str(&self.line()).unwrap()
    }

    /// The next line of what it says.
    pub(crate) fn line(&self) -> String {
        self.answers.recv_timeout(LIMIT).expect("an answer of the process")
    }

    /// All it says until it ends.
    pub(crate) fn rest(mut self) -> Vec<String> {
        drop(self.stdin.take());
        let mut lines = Vec::new();
        while let Ok(line) = self.answers.recv_timeout(LIMIT) {
            lines.push(line);
        }
        lines
    }

    pub(crate) fn ask(&mut self, ask: &Value) -> Value {
        self.send(ask);
        self.next()
    }

    pub(crate) fn connect(&mut self, to: impl ToString) -> Value {
        self.ask(&json!({"do": "connect", "to": to.to_string()}))
    }

    pub(crate) fn datagram(&mut self, to: impl ToString, is_connected: bool) -> Value {
        self.ask(&json!({"do": "datagram", "to": to.to_string(), "connected": is_connected}))
    }

    pub(crate) fn resolve(&mut self, name: &str) -> Value {
        self.ask(&json!({"do": "resolve", "name": name}))
    }

    pub(crate) fn chat(&mut self, text: &str) -> Value {
        self.ask(&json!({"do": "chat", "model": MODEL, "text": text}))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it by ending its input.
    pub(crate) fn end(mut self) {
        drop(self.stdin.take());
        assert_eq!(command::wait(&mut self.child, LIMIT, &Interrupt::default()).unwrap(), Some(0));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        command::kill_group(&mut self.child);
    }
}
