// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The resolver of guarded processes: answers an agent the names of the endpoints that some rule lets it use,
//! refuses all others, and remembers which name an address came from.
//!
//! A query is not passed on but asked anew, so that nothing a process can choose leaves the host but
//! the name and one of five record types: no options, no flags, no letter case, no identifier. An
//! answer is built anew as well, from the records that belong to the question, without the `ech`
//! parameter (an encrypted hello would hide the name from the proxy).
//!
//! It keeps no cache and validates no signatures; the host's own resolver does what it does. It errs
//! closed: what it does not understand is refused, and what it cannot find out in time is SERVFAIL.
//! Limits: `RESOLVES_MAX` questions in flight, `RESOLVE_TIMEOUT` for each.

mod hosts;
mod memory;
mod question;
mod relay;
mod reply;
mod resolver;
mod serve;

#[cfg(test)]
mod tests;

pub use hosts::host_resolvers;
pub use memory::Memory;
pub use resolver::Resolver;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use enforcer_core::model::AgentName;

/// What the resolver works with.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// The host's resolvers, asked in this order.
    pub upstream: Vec<SocketAddr>,
    /// `[upstream.resolve]`: names answered here instead of by DNS.
    pub fixed: BTreeMap<String, Vec<SocketAddr>>,
}

/// Which names an agent may resolve; the daemon answers from the policy in force.
pub trait Names {
    /// Whether this agent may use some endpoint of this name: lower case, without a trailing dot.
    fn allows(&self, agent: &AgentName, name: &str) -> bool;
}

/// What came of one query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The bytes to send back; nothing for what deserves no answer.
    pub reply: Option<Vec<u8>>,
    /// What happened, for the record.
    pub outcome: Outcome,
}

/// What happened to one query. Names are lower case without a trailing dot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The host's resolver answered, possibly with "no such name".
    Answered {
        /// The name asked for.
        name: String,
        /// The addresses given to the client.
        addresses: Vec<IpAddr>,
    },
    /// The host's resolver did not answer; the client got SERVFAIL.
    Failed {
        /// The name asked for.
        name: String,
        /// Why.
        failure: Failure,
    },
    /// Answered from `[upstream.resolve]`.
    Fixed {
        /// The name asked for.
        name: String,
        /// The addresses given to the client.
        addresses: Vec<IpAddr>,
    },
    /// Not a DNS query.
    Garbage,
    /// Not asked upstream at all; the client got REFUSED.
    Refused {
        /// The name asked for; escaped as in zone files if it is no host name.
        name: String,
        /// Why.
        refusal: Refusal,
    },
}

/// Why a query was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Not one plain question of class IN for a host name.
    Form,
    /// A record type that carries more than addresses; its number (RFC 6895 section 3.1).
    Kind(u16),
    /// No endpoint of that agent uses the name, or nobody knows who asks.
    Name,
}

/// Why a question got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The answer could not be built.
    #[error("the answer cannot be written")]
    Answer,
    /// The host has no resolver.
    #[error("no resolver is configured on this host")]
    NoResolver,
    /// Too many questions in flight.
    #[error("too many questions are in flight")]
    Overload,
    /// The system has no random numbers.
    #[error("the random source of this system cannot be read")]
    Random,
    /// The resolvers turned the question down; the last response code.
    #[error("the resolver answered with code {0}")]
    Response(u16),
    /// No answer in time.
    #[error("the resolvers did not answer in time")]
    Timeout,
    /// The resolvers cannot be reached.
    #[error("the resolvers cannot be reached")]
    Unreachable,
}

impl Failure {
    /// True if it says something of the host's resolvers, and not of one question.
    #[must_use]
    pub const fn is_of_the_host(self) -> bool {
        match self {
            Self::NoResolver | Self::Timeout | Self::Unreachable => true,
            Self::Answer | Self::Overload | Self::Random | Self::Response(_) => false,
        }
    }
}

/// What can go wrong in this room.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The list of resolvers could not be read.
    #[error("failed to read the resolvers of this host from `{path}`")]
    Hosts {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Not a host name.
    #[error("`{name}` is not a host name")]
    Name {
        /// The name.
        name: String,
    },
    /// The name has no address.
    #[error("`{name}` has no address")]
    NoAddress {
        /// The name.
        name: String,
    },
    /// The name could not be looked up.
    #[error("failed to look up `{name}`")]
    Lookup {
        /// The name.
        name: String,
        /// Why.
        #[source]
        source: Failure,
    },
    /// A client's socket failed.
    #[error("failed to {operation} DNS clients")]
    Socket {
        /// What was attempted.
        operation: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}
