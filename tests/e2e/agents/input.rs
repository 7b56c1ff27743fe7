// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Bad settings, bad bundles, bad moments: what a person reads, and the exit code.

use std::fs;

use crate::scene::{Scene, bundle, expect_words};
use enforcer_tests::repository;

const AS_NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

#[test]
#[ignore = "needs root: cargo xtask test"]
fn settings_with_several_mistakes_show_all_of_them_with_line_and_caret() {
    let scene = Scene::set(&bundle("openai-agents"));
    let good = fs::read_to_string(scene.host.config()).unwrap();
    let bad = "policys = \"/etc/x\"\nstate = 7\nsocket = \"run/x.sock\"\n[upstream]\nroots = [1]\n               [upstream.resolve]\n\"api.openai.com\" = [\"10.0.0.7\"]\n";
    fs::write(scene.host.config(), bad).unwrap();
    for words in [&["daemon"], &["status"]] {
        let output = scene.cli(words).expect_code(2).unwrap();
        assert_eq!(output.stdout, "");
        for (line, word) in
            [(1, "policies"), (2, "state = 7"), (3, "run/x.sock"), (5, "roots"), (7, "10.0.0.7")]
        {
            expect_words(&output.stderr, &[&format!("enforcer.toml:{line}:"), word]);
        }
        assert!(output.stderr.matches("──").count() >= 5, "carets:\n{}", output.stderr);
    }
    fs::remove_file(scene.host.config()).unwrap();
    let output = scene.cli(&["daemon"]).expect_code(2).unwrap();
    expect_words(&output.stderr, &["enforcer.toml", "No such file", "hint: ", "--config"]);
    fs::write(scene.host.config(), good).unwrap();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bundle_with_five_mistakes_shows_five_and_keeps_the_daemon_from_starting() {
    let folder = repository().join("tests/fixtures/policy/broken/five-mistakes");
    let scene = Scene::set(&folder);
    let check = ["policy", "check", folder.to_str().unwrap()];
    for words in [check.as_slice(), &["daemon"]] {
        let output = scene.cli(words).expect_code(4).unwrap();
        let all = output.stdout + &output.stderr;
        for place in [
            "policy.toml:8:1",
            "policy.toml:11:14",
            "rules.cedar:2:2",
            "rules.cedar:3:22",
            "rules.cedar:4:8",
        ] {
            expect_words(&all, &[place]);
        }
        assert!(all.matches("╭─[").count() == 5, "{all}");
    }
    assert!(
        !scene.host.state().join("journal").exists(),
        "nothing is made before the policy is valid"
    );
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_a_daemon_commands_that_need_it_end_with_3_and_say_what_to_do() {
    let scene = Scene::set(&bundle("openai-agents"));
    for words in [["status"].as_slice(), &["run", "--agent", "support", "--", "true"]] {
        let output = scene.cli(words).expect_code(3).unwrap();
        expect_words(
            &output.stderr,
            &["no daemon answers on", "enforcer.sock", "hint: ", "enforcer daemon"],
        );
    }
    scene.cli(&["session", "list"]).expect_code(3).unwrap();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_user_without_privilege_is_told_so_with_5() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let program = enforcer_tests::built("enforcer").unwrap().display().to_string();
    let config = scene.host.config().display().to_string();
    let as_nobody = |scene: &Scene, words: &[&str]| {
        let all = [AS_NOBODY.as_slice(), &[&program, "--config", &config], words].concat();
        let output = scene.host.unguarded(&all).unwrap().expect_code(5).unwrap();
        expect_words(&output.stderr, &["error: ", "hint: ", "root"]);
    };
    as_nobody(&scene, &["daemon"]);
    as_nobody(&scene, &["uninstall"]);
    scene.start_daemon();
    as_nobody(&scene, &["daemon"]);
    as_nobody(&scene, &["status"]);
    as_nobody(&scene, &["session", "list"]);
    as_nobody(&scene, &["run", "--agent", "support", "--", "true"]);
    scene.host.stop_daemon().unwrap();
    as_nobody(&scene, &["session", "list"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_second_daemon_is_refused_and_changes_nothing_for_the_first() {
    let scene = Scene::start();
    let mut guest = scene.guest();
    scene.cli(&["daemon"]).expect_code(3).unwrap();
    // One that shares the kernel's side and the socket only must not take them over.
    let text = fs::read_to_string(scene.host.config()).unwrap();
    let second = scene.host.folder().join("second.toml");
    let state = scene.host.state().display().to_string();
    fs::write(&second, text.replace(&state, &format!("{state}-2"))).unwrap();
    let program = enforcer_tests::built("enforcer").unwrap().display().to_string();
    let words = [&program, "daemon", "--config", second.to_str().unwrap()];
    let output = scene.host.unguarded(&words).unwrap().expect_code(3).unwrap();
    expect_words(&output.stderr, &["another daemon", "hint: "]);
    // Nor one that only has the socket in common.
    let cgroup = scene.host.cgroup().display().to_string();
    let other = enforcer_tests::cgroup::Cgroup::new(&format!(
        "{}-other",
        cgroup.rsplit('/').next().unwrap()
    ))
    .unwrap();
    let text = fs::read_to_string(&second).unwrap();
    let text = text.replace(&format!("{cgroup}\""), &format!("{}\"", other.path().display()));
    fs::write(&second, text.replace("/bpf\"", "/bpf-2\"")).unwrap();
    let output = scene.host.unguarded(&words).unwrap().expect_code(3).unwrap();
    expect_words(&output.stderr, &["enforcer.sock", "another daemon answers"]);
    assert!(!scene.host.folder().join("bpf-2").exists(), "nothing was attached");
    fs::remove_dir_all(format!("{state}-2")).ok();
    fs::remove_dir(other.path().join("enforcer")).unwrap();
    assert_eq!(guest.chat("hello")["exception"], serde_json::Value::Null);
    guest.end();
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn an_unknown_agent_is_refused_with_the_known_ones() {
    let scene = Scene::start();
    let output = scene.cli(&["run", "--agent", "suport", "--", "true"]).expect_code(2).unwrap();
    expect_words(&output.stderr, &["no agent `suport`", "hint: ", "support"]);
    assert!(scene.sessions().is_empty());
    let output = scene.cli(&["run", "--agent", "support"]).expect_code(2).unwrap();
    expect_words(&output.stderr, &["CMD"]);
    for verb in ["show", "play", "verify"] {
        let output = scene.cli(&["session", verb, "0123456789abcdef"]).expect_code(2).unwrap();
        expect_words(&output.stderr, &["no session", "hint: "]);
    }
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn from_inside_a_guarded_session_nothing_of_enforcer_can_be_asked() {
    // A confined root cannot leave its cgroup.
    let folder = tempfile::tempdir().unwrap();
    let scene = Scene::start_plain(&folder.path().join("bundle"));
    let program = enforcer_tests::built("enforcer").unwrap().display().to_string();
    let config = scene.host.config().display().to_string();
    let inside =
        |words: &[&str]| scene.run(&[&[program.as_str(), "--config", &config], words].concat());
    for words in
        [["run", "--agent", "support", "--", "true"].as_slice(), &["status"], &["session", "list"]]
    {
        let output = inside(words).expect_code(5).unwrap();
        expect_words(&output.stderr, &["guarded process", "hint: "]);
        assert_eq!(output.stdout, "");
    }
    let socket = scene.host.socket().display().to_string();
    let all = [
        "curl",
        "--silent",
        "--unix-socket",
        &socket,
        "--write-out",
        "%{http_code}",
        "http://x/v1/status",
    ];
    let output = scene.run(&all);
    assert!(output.stdout.ends_with("403"), "{}", output.stdout);
    // Nor by one that has left the cgroup.
    let root = enforcer_user::kernel::find_cgroup2().unwrap().join("cgroup.procs");
    let left = format!("echo $$ > {} && exec \"$0\" \"$@\"", root.display());
    let output = scene.run(&[&["sh", "-c", &left], all.as_slice()].concat());
    assert!(output.stdout.ends_with("403"), "{}{}", output.stdout, output.stderr);
    let output = inside(&["uninstall"]);
    assert_eq!(output.code, Some(3), "{}{}", output.stdout, output.stderr);
    scene.finish();
}
