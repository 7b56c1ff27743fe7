// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Ways past a rewritten destination: each puts payload on the wire without us, and nothing with us.

use enforcer_common::{Hook, Refusal};
use enforcer_user::kernel::Tier;

use enforcer_tests::lab::child;
use enforcer_tests::lab::wire::{MARKER, World, contains};
use enforcer_tests::lab::{Lab, isolated};

/// Fast Open with payload in the SYN, out of a chosen device; anybody may do that.
const BOUND_DEVICE: &str = r#"
s = socket_(); s.settimeout(2)
s.setsockopt(IPPROTO_TCP, 34, 1)
show(outcome(s.setsockopt, SOL_SOCKET, SO_BINDTODEVICE, b"near"))
input()
show(outcome(s.sendto, b"ENFORCER-MARKER", 0x20000000, ("10.99.0.2", 8080)))
"#;

/// The same with a segment routing header that leads to the outside; anybody may do that.
const SOURCE_ROUTE: &str = r#"
s = socket_(AF_INET6); s.settimeout(2)
s.setsockopt(IPPROTO_TCP, 34, 1)
segments = inet_pton(AF_INET6, "::") + inet_pton(AF_INET6, "fd99::2")
route = struct.pack("BBBBBBH", 0, 4, 4, 1, 1, 0, 0) + segments
show(outcome(s.setsockopt, IPPROTO_IPV6, IPV6_RTHDR, route))
input()
show(outcome(s.sendto, b"ENFORCER-MARKER", 0x20000000, ("fd99::2", 8080)))
"#;

fn leaks(world: &World) -> usize {
    world.arrived().iter().filter(|frame| contains(frame, MARKER)).count()
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_bound_device_does_not_lead_past_the_proxy() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        let as_nobody = format!("as_nobody()\n{BOUND_DEVICE}");
        let mut unguarded = child::start(None, &as_nobody);
        unguarded.go_on();
        unguarded.finish();
        world.wait_until_ended();
        assert_ne!(leaks(&world), 0, "the technique does not work: the test proves nothing");

        let mut guarded = lab.start_guarded(&as_nobody);
        assert_eq!(guarded.line(), "EPERM");
        let (hook, refusal, event) = lab.event();
        assert_eq!((hook, refusal), (Hook::Setsockopt, Refusal::SocketOption));
        assert_eq!((event.option_level, event.option_name), (1, 25));
        drop(guarded);

        // One that was bound before anybody guarded had the socket.
        let refused = |lab: &Lab| match lab.kernel().tier() {
            Tier::Kernel { .. } => (Hook::Connect, Refusal::Device),
            Tier::Hardened => (Hook::SocketSend, Refusal::ForeignSocket),
        };
        let mut late = |script: &str| {
            let mut late = lab.start_beside(script);
            assert_eq!(late.line(), "None");
            lab.guard_process(late.pid());
            late.go_on();
            let said = late.finish();
            if said == ["EPERM"] {
                let (hook, refusal, _) = lab.event();
                assert_eq!((hook, refusal), refused(&lab));
            }
            said
        };
        // The kernel lets only a privileged caller unbind, even when it is a program that asks.
        assert_eq!(late(&as_nobody), ["EPERM"]);
        let by_root = late(BOUND_DEVICE);
        let expect = match lab.kernel().tier() {
            Tier::Kernel { .. } => "15",
            Tier::Hardened => "EPERM",
        };
        assert_eq!(by_root, [expect], "redirected, or none of the session's sockets");
        assert_eq!(world.arrived(), Vec::<Vec<u8>>::new());
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_source_route_does_not_lead_past_the_backstop() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        let mut unguarded = child::start(None, &format!("as_nobody()\n{SOURCE_ROUTE}"));
        unguarded.go_on();
        unguarded.finish();
        world.wait_until_ended();
        assert_ne!(leaks(&world), 0, "the technique does not work: the test proves nothing");

        let mut guarded = lab.start_guarded(&format!("as_nobody()\n{SOURCE_ROUTE}"));
        assert_eq!(guarded.line(), "EPERM");
        let (hook, refusal, event) = lab.event();
        assert_eq!((hook, refusal), (Hook::Setsockopt, Refusal::SocketOption));
        assert_eq!((event.option_level, event.option_name), (41, 57));
        drop(guarded);

        // One that was set before anybody guarded had the socket.
        let mut late = lab.start_beside(SOURCE_ROUTE);
        assert_eq!(late.line(), "None");
        lab.guard_process(late.pid());
        late.go_on();
        late.finish();
        assert_eq!(world.arrived(), Vec::<Vec<u8>>::new());
        let (hook, refusal, event) = lab.event();
        let expect = match lab.kernel().tier() {
            Tier::Kernel { .. } => (Hook::Egress, Refusal::Device),
            // It sends on a socket that no session made, which is noticed earlier.
            Tier::Hardened => (Hook::SocketSend, Refusal::ForeignSocket),
        };
        assert_eq!((hook, refusal), expect);
        assert_ne!(event.tgid, 0, "the socket knows who made the connect");
    });
}

#[test]
#[ignore = "needs root: cargo xtask test"]
fn a_guarded_listener_cannot_be_dialled_from_outside() {
    isolated(|| {
        let world = World::new();
        let mut lab = Lab::new();
        let mut listener = lab.start_guarded(
            "s = socket_(); s.bind(('10.99.0.1', 8080)); s.listen(); show('ready'); input()",
        );
        assert_eq!(listener.line(), "ready");
        world.dial("10.99.0.1:8080");
        let (hook, refusal, _) = lab.event();
        assert_eq!((hook, refusal), (Hook::Ingress, Refusal::Device));
        listener.go_on();
        listener.finish();
        let answers = world.arrived().into_iter().filter(|frame| frame.get(23) == Some(&6));
        assert_eq!(answers.filter(|frame| frame.get(26..30) == Some(&[10, 99, 0, 1])).count(), 0);
    });
}
