// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Who may do what through the admin socket: users, auditors, root and strangers, each as a process of that user.

use std::fs;
use std::path::Path;
use std::process::Command;

use enforcer_tests::command::{self, Interrupt};
use enforcer_user::admin::{Method, Needs, ROUTES};
use serde_json::{Value, json};

use crate::faults::resolver::mount_bpffs;
use crate::scene::{LIMIT, Scene, bundle, expect_words};

/// Groups that give grades, by the file that the daemon of this suite sees as `/etc/group`.
const USERS: u32 = 64_001;
const AUDITORS: u32 = 64_002;
/// People, by their user ids. No directory knows their names.
const ANN: (u32, u32) = (64_101, USERS);
const BOB: (u32, u32) = (64_102, USERS);
const AUDITOR: (u32, u32) = (64_103, AUDITORS);
const STRANGER: (u32, u32) = (64_104, 64_003);
const ROOT: (u32, u32) = (0, 0);

/// Becomes somebody, asks, prints the status and the answer. It is in the folder of the socket before, so that it
/// needs nothing of the folders above.
const ASK: &str = r#"
import os, socket, sys
folder, uid, group, method, path, body = sys.argv[1:]
os.chdir(folder)
if int(uid):
    os.setgroups([int(group)]); os.setgid(int(uid)); os.setuid(int(uid))
to = socket.socket(socket.AF_UNIX)
try:
    to.connect("enforcer.sock")
except PermissionError:
    print("0"); sys.exit()
head = f"{method} {path} HTTP/1.1\r\nhost: enforcer\r\nconnection: close\r\n"
head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
to.sendall((head + body).encode())
answer = b""
while piece := to.recv(65536):
    answer += piece
head, _, body = answer.partition(b"\r\n\r\n")
sys.stdout.buffer.write(head.split()[1] + b"\n" + body)
"#;

/// A daemon on a host that has both groups.
fn scene() -> Scene {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let groups = scene.host.folder().join("group");
    // This host may have groups of these names, with other members.
    let all = fs::read_to_string("/etc/group").unwrap();
    let others = all.lines().filter(|line| !line.starts_with("enforcer"));
    let own = [format!("enforcer:x:{USERS}:"), format!("enforcer-audit:x:{AUDITORS}:")];
    let all: Vec<&str> = others.chain(own.iter().map(String::as_str)).collect();
    fs::write(&groups, all.join("\n") + "\n").unwrap();
    mount_bpffs(&scene.host.bpffs());
    let script = "mount --bind \"$0\" /etc/group && exec \"$@\"";
    let groups = groups.to_str().unwrap().to_owned();
    scene.host.start_daemon_by(&["unshare", "--mount", "sh", "-c", script, &groups]);
    scene.start_daemon();
    scene
}

/// Status and body of the answer; 0 if the kernel does not let the person connect.
fn ask(scene: &Scene, who: (u32, u32), method: &str, path: &str, body: &str) -> (u16, String) {
    let socket = scene.host.socket();
    let folder: &Path = socket.parent().unwrap();
    let mut command = Command::new("python3");
    command.args(["-I", "-c", ASK, folder.to_str().unwrap()]);
    command.args([&who.0.to_string(), &who.1.to_string(), method, path, body]);
    let output = command::run(command, LIMIT, &Interrupt::default()).unwrap().checked().unwrap();
    let (status, body) = output.stdout.split_once('\n').unwrap();
    (status.trim().parse().unwrap(), body.to_owned())
}

fn get(scene: &Scene, who: (u32, u32), path: &str) -> (u16, Value) {
    let (status, body) = ask(scene, who, "GET", path, "");
    (status, serde_json::from_str(&body).unwrap_or(Value::Null))
}

/// Begins a session of this user, which is over at once.
fn session_of(scene: &Scene, who: (u32, u32)) -> String {
    let start = json!({"agent": "support", "command": ["true"]}).to_string();
    let (status, body) = ask(scene, who, "POST", "/v1/sessions", &start);
    assert_eq!(status, 200, "{body}");
    let started: Value = serde_json::from_str(&body).unwrap();
    started["session"].as_str().unwrap().to_owned()
}

fn ids(sessions: &Value) -> Vec<&str> {
    sessions.as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap()).collect()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn everybody_may_do_what_their_grade_says_and_nothing_else() {
    let scene = scene();
    let own = session_of(&scene, ANN);
    // Which of them the kernel lets connect, and whom a route takes then.
    let people = [
        ("root", ROOT, [true; 4]),
        ("user", ANN, [true, true, false, false]),
        ("auditor", AUDITOR, [false, true, true, false]),
    ];
    for route in ROUTES {
        let path = route.path.replace("/approvals/{id}", "/approvals/1").replace("{id}", &own);
        let path = path.replace("{sequence}", "0").replace("{hash}", &"0".repeat(64));
        let (kernel, _) = ask(&scene, STRANGER, route.method.word(), &path, "");
        assert_eq!(kernel, 0, "a stranger cannot connect");
        for (name, who, [uses, owns, audits, changes]) in people {
            let may = match route.needs {
                Needs::Use => uses,
                Needs::Own => owns,
                Needs::Audit => audits,
                Needs::Change => changes,
            };
            // No body: whoever may do it is told that it is not understood.
            let (status, body) = ask(&scene, who, route.method.word(), &path, "");
            let is_refused = status == 403 && body.contains("may not use");
            assert_eq!(!is_refused, may, "{name}: {} {path}: {status} {body}", route.method.word());
            if is_refused {
                let holders = route.needs.any_of().iter().map(|grade| grade.holder());
                expect_words(&body, &holders.collect::<Vec<_>>());
                expect_words(&body, &[&format!("user {}", who.0), "hint"]);
            }
            assert!(route.method == Method::Get || status != 200, "nothing was changed");
        }
    }
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_user_reads_their_own_sessions_and_who_reads_those_of_others_is_recorded_once() {
    let scene = scene();
    let (of_ann, of_bob) = (session_of(&scene, ANN), session_of(&scene, BOB));
    let (_, seen) = get(&scene, ANN, "/v1/sessions");
    assert_eq!(ids(&seen), [of_ann.as_str()], "{seen}");
    let begun = "/v1/sessions/begun?after=0000000000000000";
    assert_eq!(get(&scene, ANN, begun), (200, json!([of_ann])));
    assert_eq!(get(&scene, ANN, &begun.replace("0000000000000000", &of_ann)), (200, json!([])));
    let events = |id: &str| format!("/v1/sessions/{id}/events");
    assert_eq!(get(&scene, ANN, &events(&of_ann)).0, 200);
    let none = format!("/events/0/bodies/{}", "0".repeat(64));
    for path in [
        events(&of_bob),
        format!("/v1/sessions/{of_bob}{none}"),
        format!("/v1/verify?session={of_bob}"),
        "/v1/verify".to_owned(),
        events("0000000000000000"),
        events("ffffffffffffffff"),
    ] {
        let (status, problem) = get(&scene, ANN, &path);
        assert_eq!(status, 403, "{path}: {problem}");
        expect_words(problem["hint"].as_str().unwrap(), &["enforcer-audit"]);
    }
    let own_body = get(&scene, ANN, &format!("/v1/sessions/{of_ann}{none}"));
    assert_eq!(own_body.0, 404, "no event of it names that body");
    assert_eq!(get(&scene, ANN, &format!("/v1/verify?session={of_ann}")).0, 200);

    for _ in 0..3 {
        assert_eq!(get(&scene, AUDITOR, begun), (200, json!([of_ann, of_bob])));
        assert_eq!(get(&scene, AUDITOR, "/v1/budgets").0, 200);
        let (_, seen) = get(&scene, AUDITOR, "/v1/sessions");
        assert!(ids(&seen).contains(&of_ann.as_str()) && ids(&seen).contains(&of_bob.as_str()));
        assert_eq!(get(&scene, AUDITOR, &events(&of_ann)).0, 200);
        assert_eq!(get(&scene, AUDITOR, "/v1/verify").0, 200);
    }
    let (status, of_host) = get(&scene, AUDITOR, &events("0000000000000000"));
    assert_eq!(status, 200, "{of_host}");
    let acts: Vec<&Value> = of_host["events"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|event| event["event"] == "audited")
        .collect();
    let facts: Vec<_> =
        acts.iter().map(|act| (&act["uid"], &act["what"], &act["of_session"])).collect();
    let uid = json!(AUDITOR.0);
    let (sessions, budgets) = (json!("sessions"), json!("budgets"));
    let (read, of_ann, none) = (json!("events"), json!(of_ann), Value::Null);
    let expected = [(&uid, &sessions, &none), (&uid, &budgets, &none), (&uid, &read, &of_ann)];
    assert_eq!(facts, expected, "{acts:?}");
    let shown = scene.cli(&["session", "show", "0000000000000000"]).stdout;
    expect_words(&shown, &["read the events of session", "read the list of sessions"]);
    scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn the_state_shows_a_user_what_is_theirs_and_an_auditor_everything() {
    let scene = scene();
    let mut guest = scene.guest();
    let (status, seen) = get(&scene, ANN, "/v1/status");
    assert_eq!(
        (status, &seen["sessions"], &seen["sessions_of_others"]),
        (200, &json!([]), &json!(1))
    );
    assert_eq!(seen["asker"], json!({"uid": ANN.0, "grades": ["use"]}));
    let (_, seen) = get(&scene, AUDITOR, "/v1/status");
    assert_eq!(
        (seen["sessions"].as_array().unwrap().len(), &seen["asker"]["grades"]),
        (1, &json!(["audit"]))
    );
    expect_words(&scene.cli(&["status"]).stdout, &["you       are root: you may do everything"]);

    let denied = json!({"do": "chat", "model": "no-such-model", "text": "hi"});
    assert_eq!(guest.ask(&denied)["exception"], "openai.PermissionDeniedError");
    let (_, text) = ask(&scene, AUDITOR, "GET", "/v1/metrics", "");
    let denied =
        "enforcer_denied_total{agent=\"support\",endpoint=\"openai\",reason=\"policy\",rule=\"";
    let judged =
        "enforcer_exchanges_total{agent=\"support\",endpoint=\"openai\",effect=\"deny\"} 1";
    expect_words(&text, &[denied, judged]);
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split([' ', '{']).next().unwrap();
        expect_words(&text, &[&format!("# HELP {name} "), &format!("# TYPE {name} ")]);
    }
    let log = scene.host.daemon_log();
    let line = log.lines().find(|line| line.contains(" denied ")).expect(&log);
    for word in ["agent=\"support\"", "user=0", "endpoint=\"openai\"", "action=\"chat\"", "count=1"]
    {
        assert!(line.contains(word), "`{word}` is not in: {line}");
    }
    guest.end();
    scene.finish();
}
