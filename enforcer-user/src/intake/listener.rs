// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The listening sockets. Ports are below 1024, so that no unprivileged process can take the place of a
//! daemon that is down; they are kept over a restart, because the pinned programs point at them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use enforcer_core::model::{Fault, limits};
use tokio::net::{TcpListener, TcpSocket, UdpSocket};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Accepted, Origins, Turned};
use crate::kernel;
use crate::runtime::{self, Alarms, Draining, Spares, is_out_of_descriptors};

/// Ports that are tried when there is no earlier one to keep. Unassigned by IANA in this range.
pub const PORTS: std::ops::RangeInclusive<u16> = 914..=988;
/// Pause after a failed accept; the kernel's queue holds the rest.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(50);

/// Why the door could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A port that the running programs point at is taken.
    #[error("failed to listen on port {port} of the loopback addresses")]
    Listen {
        /// The port.
        port: u16,
        /// What the kernel said.
        #[source]
        source: std::io::Error,
    },
    /// No free port in the whole range.
    #[error("no free port in {}-{} on the loopback addresses", PORTS.start(), PORTS.end())]
    NoPort,
}

/// The sockets of the daemon, on both loopback addresses.
#[derive(Debug)]
pub struct Doors {
    /// TCP for redirected connections; IPv4, and IPv6 where the host has it.
    pub tcp: Vec<TcpListener>,
    /// UDP for redirected name queries, likewise.
    pub udp: Vec<UdpSocket>,
    /// Port of the TCP sockets.
    pub proxy_port: u16,
    /// First port of the UDP sockets.
    pub resolver_port: u16,
}

impl Doors {
    /// Opens the doors, on the recorded ports `(proxy, resolver)` if there are any.
    ///
    /// # Errors
    /// [`Error::Listen`] if a recorded port is taken by somebody else: then guarded processes stay
    /// refused rather than talk to a stranger.
    pub async fn open(recorded: Option<(u16, u16)>) -> Result<Self, Error> {
        if let Some((proxy, resolver)) = recorded {
            let tcp = tcp(proxy).map_err(|source| Error::Listen { port: proxy, source })?;
            let udp =
                udp(resolver).await.map_err(|source| Error::Listen { port: resolver, source })?;
            return Ok(Self { tcp, udp, proxy_port: proxy, resolver_port: resolver });
        }
        // Each instance begins elsewhere, so that it does not take the port of one that is down just now.
        let first = usize::try_from(std::process::id()).unwrap_or(0) % PORTS.len();
        for port in PORTS.skip(first).chain(PORTS.take(first)) {
            if let (Ok(tcp), Ok(udp)) = (tcp(port), udp(port).await) {
                return Ok(Self { tcp, udp, proxy_port: port, resolver_port: port });
            }
        }
        Err(Error::NoPort)
    }
}

const LOOPBACKS: [IpAddr; 2] = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];

fn tcp(port: u16) -> std::io::Result<Vec<TcpListener>> {
    let mut open = Vec::new();
    for ip in LOOPBACKS {
        match listen(SocketAddr::new(ip, port)) {
            Ok(listener) => open.push(listener),
            Err(error) if is_absent(ip, &error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(open)
}

/// Listens, and keeps what tells one connection from a later one of the same port.
fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    kernel::keep_syn(&socket).map_err(std::io::Error::other)?;
    socket.listen(limits::ACCEPT_QUEUE_MAX)
}

async fn udp(first: u16) -> std::io::Result<Vec<UdpSocket>> {
    let mut open = Vec::new();
    for port in (first..).take(usize::from(enforcer_common::RESOLVER_PORTS)) {
        for ip in LOOPBACKS {
            match UdpSocket::bind(SocketAddr::new(ip, port)).await {
                Ok(socket) => open.push(socket),
                Err(error) if is_absent(ip, &error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(open)
}

/// A host without IPv6 has no `::1`; then no guarded process can be redirected to it either.
fn is_absent(ip: IpAddr, error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    ip.is_ipv6() && matches!(error.kind(), ErrorKind::AddrNotAvailable | ErrorKind::Unsupported)
}

/// A listener and what it shares with the others.
#[derive(Debug)]
pub struct Door {
    /// The listener.
    pub listener: TcpListener,
    /// Places for connections, over all listeners.
    pub places: Arc<Semaphore>,
    /// Where it says why it cannot take connections.
    pub alarms: Alarms,
}

/// Serves one listener until the drain begins. At most [`limits::CONNECTIONS_MAX`] at once over all
/// listeners that share their places; more wait in the kernel's queue. Without descriptors a peer is turned
/// away at once rather than left to wait.
pub async fn accept<F>(
    door: Door,
    origins: Arc<dyn Origins>,
    mut draining: Draining,
    serve: impl Fn(Result<Accepted, Turned>) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let Door { listener, places, alarms } = door;
    let spare = Spares::hold(1);
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = draining.begun() => return,
        };
        let accepted = match accepted {
            Err(error) if is_out_of_descriptors(&error) => {
                alarms.raise(Fault::Descriptors, error.to_string());
                spare.release();
                listener.accept().await
            }
            accepted => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                if !is_of_the_peer(&error) && !is_out_of_descriptors(&error) {
                    alarms.shows(Fault::Listener, format!("accept failed: {error}"));
                }
                tracing::debug!(%error, "accept failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let origin = origins.take(&stream, peer).map(Arc::new);
        let accepted = match origin {
            None => Err(Turned::Stranger(peer)),
            // What is left belongs to those who ask for the state, and to who is served already.
            Some(origin) if alarms.is_on(Fault::Descriptors) => Err(Turned::Late(origin)),
            Some(origin) => match stream.set_nodelay(true) {
                Ok(()) => Ok(Accepted { stream, origin }),
                Err(error) => {
                    tracing::debug!(%error, "peer left at once");
                    continue;
                }
            },
        };
        // Only after the descriptor of one who was turned away is free again.
        spare.refill();
        let served = serve(accepted);
        drop(runtime::spawn("connection", hold(place, draining.clone(), served)));
    }
}

/// True for errors of one connection that `accept` passes on (accept(2)); the next one may be taken.
fn is_of_the_peer(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
    )
}

async fn hold(place: OwnedSemaphorePermit, draining: Draining, served: impl Future<Output = ()>) {
    served.await;
    drop((place, draining));
}

/// Places for all listeners together.
#[must_use]
pub fn places() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(limits::CONNECTIONS_MAX))
}
