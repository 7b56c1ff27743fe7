// SPDX-License-Identifier: MIT OR GPL-2.0-only
//! Processes that are not guarded and of which only what goes to an endpoint is taken: agents that capture
//! endpoints, and, where the bundle says so, everybody else.
//!
//! An address and port that some endpoint's name has leads to the proxy; a datagram there is refused, so that
//! clients of QUIC fall back to TCP, and a datagram socket that is connected there sends nothing. Everything else
//! goes on as if there were no program. Who is nobody's becomes an agent by its first such attempt. Errs towards
//! leaving alone where an address is not known, and closed where one is.

use aya_ebpf::programs::SockAddrContext;
use enforcer_common::{
    EndpointKey, Hook, NANOSECONDS_IN_TICK, PROTOCOL_TCP, PROTOCOL_UDP, Refusal, Settings, capture,
};

use crate::address::{self, Family};
use crate::connect::{self, GO_ON, REFUSE, SOCK_DGRAM, SOCK_STREAM};
use crate::event::{self, Attempt};
use crate::maps::{self, ENDPOINTS, WATCH};
use crate::select;
use crate::task::{self, Standing, Task};

/// `connect()` of a task that is not guarded.
#[inline(always)]
pub(crate) fn connect(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    standing: &Standing,
) -> i32 {
    if !is_watched(standing) {
        if standing.capture != task::NOBODYS {
            let_go(ctx, &address::attempt(ctx, family));
        }
        return GO_ON;
    }
    let attempt = address::attempt(ctx, family);
    let is_stream = attempt.socket_type == SOCK_STREAM && attempt.protocol == PROTOCOL_TCP;
    let is_datagram = attempt.socket_type == SOCK_DGRAM && attempt.protocol == PROTOCOL_UDP;
    if !(is_stream || is_datagram) {
        return GO_ON;
    }
    if !is_endpoint(&attempt) || is_daemon(settings) {
        let_go(ctx, &attempt);
        return GO_ON;
    }
    let task = taken(settings, standing);
    let verdict = if is_stream {
        redirect(ctx, family, settings, &task, &attempt)
    } else {
        connect::silence(ctx, settings, &task, &attempt)
    };
    match verdict {
        Ok(()) => GO_ON,
        Err(refusal) => {
            event::refused(Hook::Connect, refusal, &task, &attempt);
            REFUSE
        }
    }
}

/// An unconnected datagram of a task that is not guarded.
#[inline(always)]
pub(crate) fn sendmsg(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    standing: &Standing,
) -> i32 {
    if !is_watched(standing) {
        return GO_ON;
    }
    let attempt = address::attempt(ctx, family);
    if attempt.protocol != PROTOCOL_UDP || !is_endpoint(&attempt) || is_daemon(settings) {
        return GO_ON;
    }
    let task = taken(settings, standing);
    event::refused(Hook::Sendmsg, Refusal::Datagram, &task, &attempt);
    REFUSE
}

#[inline(always)]
fn redirect(
    ctx: &SockAddrContext,
    family: Family,
    settings: &Settings,
    task: &Task,
    attempt: &Attempt,
) -> Result<(), Refusal> {
    connect::unbind_device(ctx)?;
    connect::redirect(ctx, family, settings, task, attempt)
}

/// An earlier connection of this socket may have been taken, and this one is not. While one generation of programs
/// replaces another, the second finds our own port as destination: then it was taken just now.
#[inline(always)]
fn let_go(ctx: &SockAddrContext, attempt: &Attempt) {
    let socket = address::socket(ctx);
    if let Some(origin) = maps::socket_origin(socket)
        && !task::door(origin.netns).is_some_and(|door| connect::is_own_port(&door, attempt))
    {
        maps::forget(socket);
    }
}

#[inline(always)]
fn is_watched(standing: &Standing) -> bool {
    standing.capture == capture::ENDPOINTS || WATCH.get(0).is_some_and(|watch| watch.is_any != 0)
}

#[inline(always)]
fn is_endpoint(attempt: &Attempt) -> bool {
    is_endpoint_at(&attempt.address, attempt.port)
}

/// Whether some endpoint has this address and port.
#[inline(always)]
pub(crate) fn is_endpoint_at(address: &[u8; 16], port: u16) -> bool {
    let key = EndpointKey { address: *address, port, padding: [0; 3] };
    // SAFETY: only whether there is an element is asked.
    unsafe { ENDPOINTS.get(&key) }.is_some()
}

/// The daemon connects to the endpoints for others. By its start it is told from whoever has its id after it.
#[inline(always)]
fn is_daemon(settings: &Settings) -> bool {
    WATCH.get(0).is_some_and(|watch| {
        watch.daemon == task::current_tgid()
            && watch.daemon_started == task::started(settings) / NANOSECONDS_IN_TICK
    })
}

/// The task, as an agent if it was none.
#[inline(always)]
fn taken(settings: &Settings, standing: &Standing) -> Task {
    let mut task = standing.task();
    if task.capture == task::NOBODYS {
        task.capture = capture::ANY;
        if let Some(watch) = WATCH.get(0) {
            select::begin(settings, &watch.agent, &mut task);
        }
    }
    task
}
