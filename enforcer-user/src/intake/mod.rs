// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The door: accepts redirected connections, finds out where they were meant to go and who makes them,
//! and looks at the first bytes to tell what they speak. A peer without an origin is refused.

mod listener;
mod prefixed;
mod sniff;

use std::net::SocketAddr;
use std::sync::Arc;

use enforcer_core::model::{AgentName, Capture, SessionId};
use enforcer_core::record::Process;
use tokio::net::TcpStream;

pub use listener::{Door, Doors, Error, PORTS, accept, places};
pub use prefixed::Prefixed;
pub use sniff::{Sniffed, sniff};

/// Where a connection was meant to go, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Original destination.
    pub destination: SocketAddr,
    /// The session.
    pub session: SessionId,
    /// The agent of that session.
    pub agent: AgentName,
    /// How much of its egress is taken.
    pub capture: Capture,
    /// The process, as the kernel saw it at connect time.
    pub process: Process,
}

/// Finds the origin of a connection; made by the daemon from the kernel's map, or by a test.
pub trait Origins: Send + Sync {
    /// Takes the origin of a connection from this peer, so that it cannot serve a second one.
    fn take(&self, connection: &TcpStream, peer: SocketAddr) -> Option<Origin>;
}

/// A connection with its origin.
#[derive(Debug)]
pub struct Accepted {
    /// The agent's side.
    pub stream: TcpStream,
    /// Where it was meant to go.
    pub origin: Arc<Origin>,
}

/// A peer that is not served.
#[derive(Clone, Debug)]
pub enum Turned {
    /// There is no descriptor left to serve it.
    Late(Arc<Origin>),
    /// Nobody recorded where it comes from.
    Stranger(SocketAddr),
}
