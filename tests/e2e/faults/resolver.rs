// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The host's resolver goes away and comes back.

use std::fs;
use std::net::UdpSocket;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use nix::mount::{MsFlags, mount};
use serde_json::{Value, json};

use crate::faults::alarms::{recorded, wait_for_health, wait_for_shown};
use crate::scene::{Scene, bundle};

/// An address of the loopback network that nobody else on the host uses as a resolver.
const ADDRESS: &str = "127.0.0.153:53";

/// Answers every query for an address with the provider's.
struct Resolver {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    fn start() -> Self {
        let socket = UdpSocket::bind(ADDRESS).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut query = [0; 1500];
            while !over.load(Ordering::SeqCst) {
                if let Ok((length, peer)) = socket.recv_from(&mut query) {
                    socket.send_to(&answer(&query[..length]), peer).unwrap();
                }
            }
        });
        Self { is_over, thread: Some(thread) }
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.thread.take().unwrap().join().unwrap();
    }
}

/// 127.0.0.1 for questions of type A, nothing for others (RFC 1035 section 4).
fn answer(query: &[u8]) -> Vec<u8> {
    let name = query[12..].iter().position(|byte| *byte == 0).unwrap() + 13;
    let is_a = query[name..name + 2] == [0, 1];
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
    answer.extend(&query[12..name + 4]);
    if is_a {
        answer.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    answer
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn without_the_hosts_resolver_names_are_refused_until_it_is_back() {
    let mut scene = Scene::set(&bundle("openai-agents"));
    let text = fs::read_to_string(scene.host.config()).unwrap();
    let (before, _) = text.split_once("[upstream.resolve]").unwrap();
    fs::write(scene.host.config(), before).unwrap();
    let conf = scene.host.folder().join("resolv.conf");
    fs::write(&conf, "nameserver 127.0.0.153\n").unwrap();
    // The daemon gets a list of resolvers of its own. Its pins stay where the host sees them.
    mount_bpffs(&scene.host.bpffs());
    let script = "mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let conf = conf.to_str().unwrap().to_owned();
    scene.host.start_daemon_by(&["unshare", "--mount", "sh", "-c", script, &conf]);
    let resolver = Resolver::start();
    scene.start_daemon();
    let mut guest = scene.guest();
    assert_eq!(guest.resolve("api.openai.com")["addresses"], json!(["127.0.0.1"]));

    drop(resolver);
    let failed = guest.resolve("api.openai.com");
    assert_eq!(failed["error"], "EAI_AGAIN", "SERVFAIL, by the C library: {failed}");
    wait_for_shown(&scene, "resolver", &["/etc/resolv.conf"]);
    let to = "192.0.2.7:443";
    let refused = guest.ask(&json!({"do": "post", "to": to, "host": "api.openai.com"}));
    assert_eq!(refused["status"], 502, "{refused}");
    assert_eq!(refused["code"], "enforcer_upstream_name", "{refused}");

    let resolver = Resolver::start();
    wait_for_health(&scene);
    assert_eq!(guest.resolve("api.openai.com")["error"], Value::Null);
    assert_eq!(recorded(&scene, "resolver"), ["fault_began", "fault_ended"]);
    guest.end();
    scene.finish();
    drop(resolver);
}

/// Mounts the file system of the pins where the host sees it, for a daemon with mounts of its own.
pub(crate) fn mount_bpffs(at: &Path) {
    mount(Some("enforcer"), at, Some("bpf"), MsFlags::empty(), Some("mode=0700")).unwrap();
}
