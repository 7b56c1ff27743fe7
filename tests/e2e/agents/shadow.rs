// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Processes that are nobody's agent: on their way to an endpoint they are judged and recorded, and nowhere else.

use std::fs;
use std::process::Output;

use serde_json::{Value, json};

use crate::agents::select::Chosen;
use crate::guest::Guest;
use crate::scene::{Scene, alone, wait_until};

/// The stand-in answers 401 to whom it does not know.
///
/// A bundle in which everybody is watched. `inner.example` is an endpoint at the port of the stand-in, and
/// `passed.example` one at 443 that is not opened.
fn set() -> Chosen {
    let mut chosen = Chosen::set("/bin/sh");
    let folder = chosen.scene.host.folder().join("bundle");
    let port = chosen.scene.openai.address().port();
    let path = folder.join("policy.toml");
    let mut text = fs::read_to_string(&path).unwrap();
    text.push_str(&format!(
        "[agents.shadow]\nmatch = [{{ any = true }}]\ncapture = \"endpoints\"\n\
         [endpoints.inner]\nhosts = [\"inner.example\"]\nports = [{port}]\n\
         [endpoints.passed]\nhosts = [\"passed.example\"]\ntls = \"passthrough\"\n"
    ));
    fs::write(&path, text).unwrap();
    let rules = "@id(\"shadow-list\")\npermit (principal == Agent::\"shadow\", action == Action::\"list_models\", \
                 resource == Endpoint::\"openai\") when { context.path == \"/v1/models\" };\n\
                 @id(\"shadow-passed\")\npermit (principal == Agent::\"shadow\", action == Action::\"connect\", \
                 resource == Endpoint::\"passed\");\n";
    fs::write(folder.join("shadow.cedar"), rules).unwrap();
    let config = chosen.scene.host.config();
    let mut text = fs::read_to_string(&config).unwrap();
    for name in ["inner.example", "passed.example"] {
        text.push_str(&format!("\"{name}\" = [\"{}\"]\n", chosen.scene.openai.address()));
    }
    fs::write(config, text).unwrap();
    chosen.scene.start_daemon();
    chosen
}

/// `curl` to a name that is at 127.0.0.1, below the cgroup of the programs; `more` are further words.
fn curl(chosen: &Chosen, host: &str, port: u16, path: &str, more: &[&str]) -> Output {
    let resolve = format!("{host}:{port}:127.0.0.1");
    let url = format!("https://{host}:{port}{path}");
    let words = [
        "curl",
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "--write-out",
        " %{http_code} %{remote_port}",
    ];
    let words = [&words[..], &["--resolve", &resolve, &url], more].concat();
    chosen.command(&words).output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn events(scene: &Scene, kind: &str) -> Vec<Value> {
    let sessions = scene.sessions();
    let ids = sessions.iter().map(|session| session["id"].as_str().unwrap());
    let events = ids.flat_map(|id| scene.events(id));
    events.filter(|event| event["event"] == kind).collect()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn who_is_nobodys_agent_is_judged_and_recorded_on_the_way_to_an_endpoint() {
    let chosen = set();
    let refused = curl(&chosen, "api.openai.com", 443, "/v1/files", &[]);
    assert!(text(&refused).contains(" 403 443"), "{}", text(&refused));
    let listed = curl(&chosen, "api.openai.com", 443, "/v1/models", &[]);
    assert!(text(&listed).contains(" 401 443"), "{}", text(&listed));

    let opened = events(&chosen.scene, "session_opened");
    assert_eq!(opened.len(), 2, "each process is a session: {opened:?}");
    assert_eq!(
        (&opened[0]["agent"], &opened[0]["process"]["comm"]),
        (&json!("shadow"), &json!("curl"))
    );
    assert_eq!(opened[0]["selected"]["capture"], "endpoints");
    let exchanges = events(&chosen.scene, "exchange_opened");
    let seen = &exchanges[0]["process"]["details"];
    assert!(seen["exe"].as_str().unwrap().ends_with("/curl"), "{}", exchanges[0]);
    assert!(seen["started_ns"].as_u64() > Some(0) && seen["cgroup"].as_u64() > Some(0));
    assert_eq!(seen["ancestors"][0], json!(std::process::id()));
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());

    // Who does not trust the authority cannot be looked into, and is told so.
    let ca = chosen.scene.host.folder().join("upstream-ca.pem");
    let ca = ["--cacert", ca.to_str().unwrap()];
    let output = curl(&chosen, "api.openai.com", 443, "/v1/models", &ca);
    assert_eq!(output.status.code(), Some(60), "{}", text(&output));
    assert_eq!(events(&chosen.scene, "connection_refused")[0]["denied"]["reason"], "ca_untrusted");
    // What is passed through is judged by name only, whatever the process trusts.
    let passed = curl(&chosen, "passed.example", 443, "/v1/models", &["--insecure"]);
    assert!(text(&passed).contains(" 401 443"), "{}", text(&passed));
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn what_is_not_for_an_endpoint_goes_on_untouched_even_at_its_address() {
    let mut chosen = set();
    let port = chosen.scene.openai.address().port();
    let refused = curl(&chosen, "inner.example", port, "/v1/models", &[]);
    assert!(text(&refused).contains(&format!(" 403 {port}")), "{}", text(&refused));
    // Another name at the same address and port: the provider itself answers, with its own certificate.
    let own = chosen.scene.host.folder().join("upstream-ca.pem");
    let own = ["--cacert", own.to_str().unwrap(), "--connect-to", "::127.0.0.1:"];
    let resolve = format!("api.openai.com:{port}:127.0.0.1");
    let aside = curl(
        &chosen,
        "api.openai.com",
        port,
        "/v1/models",
        &[&own[..], &["--resolve", &resolve]].concat(),
    );
    assert!(text(&aside).contains(&format!(" 401 {port}")), "{}", text(&aside));
    // Without a name nobody can tell.
    let unnamed = curl(&chosen, "127.0.0.1", port, "/v1/models", &["--insecure"]);
    assert_ne!(unnamed.status.code(), Some(0), "{}", text(&unnamed));
    let refused = events(&chosen.scene, "connection_refused");
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert_eq!(refused[0]["denied"]["reason"], "sni_missing");

    // Without a daemon the way to endpoints is closed, and no other is.
    let alone = alone();
    chosen.scene.host.kill_daemon().unwrap();
    let closed = curl(&chosen, "inner.example", port, "/v1/models", &[]);
    assert_eq!(closed.status.code(), Some(7), "{}", text(&closed));
    let other = chosen.command(&["python3", "-c", "import socket\nl = socket.create_server(('127.0.0.1', 0))\nsocket.create_connection(l.getsockname()); print('free')"]);
    let mut other = other;
    assert_eq!(text(&other.output().unwrap()), "free\n");
    chosen.scene.host.start_daemon().unwrap();
    drop(alone);
    let again = curl(&chosen, "inner.example", port, "/v1/models", &[]);
    assert!(text(&again).contains(&format!(" 403 {port}")), "{}", text(&again));
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn who_was_taken_may_still_look_after_enforcer_and_the_daemon_itself_is_never_taken() {
    let chosen = set();
    // The daemon is moved to where everybody is watched; it goes to the endpoint for others all the same.
    let status = chosen.scene.json(&["status"]);
    let pid = status["pid"].to_string();
    let own = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).unwrap();
    let home = enforcer_tests::cgroup::mount().unwrap().join(own);
    fs::write(chosen.scene.host.cgroup().join("cgroup.procs"), &pid).unwrap();
    let listed = curl(&chosen, "api.openai.com", 443, "/v1/models", &[]);
    fs::write(home.join("cgroup.procs"), &pid).unwrap();
    assert!(text(&listed).contains(" 401 443"), "{}", text(&listed));
    // A shell that went to an endpoint by itself.
    let enforcer = chosen.scene.host.enforcer(&["status", "--output", "json"]).unwrap();
    let words: Vec<&str> = std::iter::once(enforcer.get_program())
        .chain(enforcer.get_args())
        .map(|word| word.to_str().unwrap())
        .collect();
    let script = "exec 3<>/dev/tcp/127.0.0.1/443; exec 3>&-; \"$@\"; exit $?";
    let output =
        chosen.command(&[&["bash", "-c", script, "bash"], &words[..]].concat()).output().unwrap();
    let status: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let sessions = status["sessions"].as_array().unwrap();
    assert!(sessions.iter().any(|session| session["agent"] == "shadow"), "{status}");
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    chosen.scene.finish();
}

/// Makes a network namespace, brings loopback up, and becomes a command in there.
const INSIDE: &str = "exec unshare --net sh -c 'ip link set lo up && exec \"$@\"' sh \"$@\"";

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_container_that_the_bundle_names_is_the_agent_in_its_own_namespace() {
    let mut chosen = Chosen::set("/bin/sh");
    let id = "c0ffee".repeat(10) + "1234";
    chosen.select(&format!("{{ container = \"{}\" }}", &id.chars().take(12).collect::<String>()));
    chosen.scene.start_daemon();
    // As docker lays it out under systemd.
    let cgroup = chosen.scene.host.cgroup().join("system.slice").join(format!("docker-{id}.scope"));
    let other = cgroup.with_file_name(format!("docker-{}.scope", id.replace("1234", "12345")));
    for folder in [&cgroup, &other] {
        fs::create_dir_all(folder).unwrap();
    }
    let inside = |folder: &std::path::Path, script: &str| {
        let enter = format!("echo $$ > {}/cgroup.procs; {INSIDE}", folder.display());
        chosen.command(&["sh", "-c", &enter, "sh", "bash", "-c", script]).output().unwrap()
    };
    // Until the doors are open it is refused, which an SDK tries again.
    let ask = "for i in $(seq 100); do \
               curl --silent --max-time 30 --write-out ' %{http_code}' --resolve api.openai.com:443:192.0.2.7 \
               https://api.openai.com/v1/files && exit; sleep 0.2; done";
    let output = inside(&cgroup, ask);
    assert!(text(&output).contains(" 403"), "{}", text(&output));
    let open = "exec 3<>/dev/tcp/192.0.2.7/443";
    assert!(text(&inside(&other, open)).contains("unreachable"), "it was looked at");
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    let opened = events(&chosen.scene, "session_opened");
    assert_eq!(opened.len(), 1, "{opened:?}");
    assert_eq!(
        (&opened[0]["agent"], &opened[0]["selected"]["capture"]),
        (&json!("support"), &Value::Null)
    );
    for folder in [&cgroup, &other] {
        fs::remove_dir(folder).unwrap();
    }
    fs::remove_dir(cgroup.parent().unwrap()).unwrap();
    chosen.scene.finish();
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn in_a_namespace_of_its_own_the_next_process_is_served_after_the_first_was_refused() {
    let chosen = set();
    // A connection by each line that it is told; nothing is left of one when the next begins.
    let script = "while read line; do curl --silent --max-time 30 --output /dev/null --write-out '%{http_code}\\n' \
                  --resolve api.openai.com:443:127.0.0.1 https://api.openai.com/v1/files; done";
    let mut inside =
        Guest::start(chosen.command(&["sh", "-c", INSIDE, "sh", "bash", "-c", script]));
    let mut ask = || {
        inside.send(&Value::Null);
        inside.line()
    };
    assert_eq!(ask(), "000", "nobody listened there yet");
    wait_until("a judged connection", || ask() == "403");
    let namespaces = || chosen.scene.json(&["status"])["namespaces"].clone();
    wait_until("the end of the sessions", || chosen.scene.alive().is_empty());
    // Somebody who was labeled would have kept the doors open.
    assert_eq!((ask(), namespaces()), ("403".to_owned(), json!(1)));
    inside.end();
    wait_until("the end of the namespace", || namespaces() == 0);
    chosen.scene.finish();
}
