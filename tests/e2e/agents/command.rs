// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `enforcer run` stands aside: input, output, exit code and signals are those of the command.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use enforcer_tests::command::{self, Interrupt};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::guest::Guest;
use crate::scene::{Scene, expect_words, wait_until};

#[test]
#[ignore = "needs root: cargo xtask test"]
fn exit_codes_streams_and_the_environment_pass_through() {
    let scene = Scene::start();
    for code in [0, 1, 7, 255] {
        let output = scene.run(&["sh", "-c", &format!("exit {code}")]);
        assert_eq!(output.code, Some(code));
        assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("", ""));
    }
    let echo = scene.host.agent("support", &["sh", "-c", "cat; echo err >&2; pwd; echo $MARK"]);
    let mut echo = echo.unwrap();
    echo.current_dir("/proc").env("MARK", "kept");
    let limit = Duration::from_secs(60);
    let output = command::run_with_input(echo, "in\n", limit, &Interrupt::default()).unwrap();
    assert_eq!((output.stdout.as_str(), output.stderr.as_str()), ("in\n/proc\nkept\n", "err\n"));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_signal_reaches_the_command_itself() {
    let scene = Scene::start();
    let mut child = scene.host.agent("support", &["sleep", "1000"]).unwrap().spawn().unwrap();
    let pid = Pid::from_raw(child.id().try_into().unwrap());
    let is_sleep =
        || std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().trim() == "sleep";
    wait_until("the command", is_sleep);
    kill(pid, Signal::SIGTERM).unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(Signal::SIGTERM as i32));
    let trap = scene.run(&["sh", "-c", "trap 'exit 9' TERM; kill -TERM $$; exit 1"]);
    assert_eq!(trap.code, Some(9));
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_command_that_is_not_there_is_named_and_no_session_stays() {
    let scene = Scene::start();
    for (word, why) in [("no-such-command", "No such file"), ("/", "Permission denied")] {
        let output = scene.run(&[word]).expect_code(3).unwrap();
        expect_words(&output.stderr, &[&format!("failed to start `{word}`"), why, "hint: "]);
    }
    wait_until("the end of the sessions", || scene.alive().is_empty());
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn many_agents_start_and_end_at_once() {
    let scene = Scene::start();
    let guests: Vec<Guest> = (0..12).map(|_| scene.guest()).collect();
    wait_until("all sessions", || scene.alive().len() == guests.len());
    std::thread::scope(|scope| {
        for mut guest in guests {
            scope.spawn(move || {
                assert_eq!(guest.connect("192.0.2.7:443")["error"], serde_json::Value::Null);
                guest.end();
            });
        }
        // While sessions end, others begin.
        for _ in 0..12 {
            scope.spawn(|| scene.run(&["true"]).checked().unwrap());
        }
    });
    wait_until("the end of all sessions", || scene.alive().is_empty());
    assert_eq!(scene.sessions().len(), 24);
    scene.finish();
}
