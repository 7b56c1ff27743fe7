// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Secrets in URLs, with the real daemon: in no file of the state, in no line of the log, in no output of a command.

use std::fs;
use std::path::Path;

use crate::scene::{Scene, own_bundle, wait_until};

/// Of no form that a detector knows.
const SECRET: &str = "Qx4.t_Y8-bW1~nV6zL3mC9d";
const RULE: &str = r#"
@id("any-query")
permit (principal, action == Action::"list_models", resource == Endpoint::"openai")
when { context.method == "GET" && context.path == "/v1/models" };
"#;

/// Whether a file below the folder holds the text.
fn is_in(folder: &Path, text: &str) -> bool {
    fs::read_dir(folder).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in(&path, text);
        }
        // Sockets are no files.
        let bytes = fs::read(&path).unwrap_or_default();
        bytes.windows(text.len()).any(|part| part == text.as_bytes())
    })
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_secret_in_a_url_is_in_no_file_of_the_state_and_in_no_line_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let policies = folder.path().join("policies");
    own_bundle("openai-agents", &policies);
    fs::write(policies.join("any-query.cedar"), RULE).unwrap();
    let mut scene = Scene::set(&policies);
    scene.start_daemon();
    let python = enforcer_tests::python().unwrap().display().to_string();
    for line in ["/v1/models?alt=sse&key=", "/v1/other?key=", "/v1/a%2f..%2fb?key="] {
        // The command line, which is recorded, carries it as well.
        let script = format!(
            "import urllib.request as r\ntry: r.urlopen(\"https://api.openai.com{line}{SECRET}\")\nexcept Exception as e: print(e)"
        );
        scene.run(&[&python, "-c", &script]);
    }
    wait_until("the end of the sessions", || scene.alive().is_empty());
    let received = scene.openai.log().received();
    assert_eq!(received.len(), 1, "one is permitted");
    let sessions = scene.sessions();
    assert_eq!(sessions.len(), 3);
    let mut shown = String::new();
    for session in &sessions {
        let id = session["id"].as_str().unwrap();
        for words in [&["session", "show", id][..], &["session", "play", id]] {
            shown += &scene.cli(words).stdout;
            shown += &scene.json(words).to_string();
        }
    }
    for recorded in ["\"query\":\"alt=sse&key=[secret]\"", "key=[secret]"] {
        assert!(shown.contains(recorded), "{recorded}: {shown}");
    }
    shown += &scene.cli(&["status"]).stdout;
    assert!(!shown.contains(SECRET), "{shown}");
    scene.host.stop_daemon().unwrap();
    assert!(!is_in(&scene.host.state(), SECRET));
    assert!(!scene.host.daemon_log().contains(SECRET));
    scene.finish();
}
