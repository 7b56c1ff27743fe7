// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why the upstream could not be used, and whether it can have got anything.

use std::io;

use enforcer_core::model::DenyReason;

/// Why the upstream could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server took no request on a fresh connection within [`UPSTREAM_CONNECT_TIMEOUT`](enforcer_core::model::limits::UPSTREAM_CONNECT_TIMEOUT).
    #[error("`{host}` takes no request on a new connection")]
    Busy {
        /// The name.
        host: String,
    },
    /// The certificate does not prove the name.
    #[error("certificate of `{host}` refused")]
    Certificate {
        /// The name.
        host: String,
        /// What the verifier said.
        #[source]
        source: io::Error,
    },
    /// [`UPSTREAM_CONNECTIONS_MAX`](enforcer_core::model::limits::UPSTREAM_CONNECTIONS_MAX) or [`UPSTREAM_EXCHANGES_OF_AGENT_MAX`](enforcer_core::model::limits::UPSTREAM_EXCHANGES_OF_AGENT_MAX) was reached.
    #[error("no place for a request to `{host}`: too many {what}")]
    Crowded {
        /// The name.
        host: String,
        /// What there is too much of.
        what: &'static str,
    },
    /// The connection broke after the request was sent, or what came back is not HTTP.
    #[error("exchange with `{host}` failed")]
    Exchange {
        /// The name.
        host: String,
        /// What the carrier said.
        #[source]
        source: hyper::Error,
    },
    /// More than [`UPSTREAM_INTERIM_MAX`](enforcer_core::model::limits::UPSTREAM_INTERIM_MAX) interim answers.
    #[error("`{host}` sends interim answers without end")]
    Interim {
        /// The name.
        host: String,
    },
    /// No address is known for the name.
    #[error("no address for `{host}`")]
    Name {
        /// The name.
        host: String,
    },
    /// No response head within [`UPSTREAM_HEAD_TIMEOUT`](enforcer_core::model::limits::UPSTREAM_HEAD_TIMEOUT).
    #[error("`{host}` did not answer in time")]
    Silent {
        /// The name.
        host: String,
    },
    /// An answer 101 that nobody asked for: what follows it is not HTTP.
    #[error("`{host}` switched protocols unasked")]
    Switched {
        /// The name.
        host: String,
    },
    /// No address took the connection.
    #[error("failed to connect to `{host}`")]
    Unreachable {
        /// The name.
        host: String,
        /// The last attempt's failure.
        #[source]
        source: io::Error,
    },
    /// The connection ended before the request was sent.
    #[error("connection to `{host}` ended before the request was sent")]
    Unsent {
        /// The name.
        host: String,
        /// What the carrier said.
        #[source]
        source: hyper::Error,
    },
}

impl Error {
    /// The reason the agent is told.
    #[must_use]
    pub fn reason(&self) -> DenyReason {
        match self {
            Self::Certificate { .. } => DenyReason::UpstreamCertificate,
            Self::Crowded { .. } => DenyReason::Limit,
            Self::Exchange { source, .. } if is_invalid(source) => DenyReason::UpstreamProtocol,
            Self::Interim { .. } | Self::Switched { .. } => DenyReason::UpstreamProtocol,
            Self::Name { .. } => DenyReason::UpstreamName,
            Self::Busy { .. }
            | Self::Exchange { .. }
            | Self::Silent { .. }
            | Self::Unreachable { .. }
            | Self::Unsent { .. } => DenyReason::UpstreamUnreachable,
        }
    }

    /// Whether no byte of the request can have reached the provider.
    #[must_use]
    pub const fn is_unsent(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::Certificate { .. }
            | Self::Crowded { .. }
            | Self::Name { .. }
            | Self::Unreachable { .. }
            | Self::Unsent { .. } => true,
            Self::Exchange { .. }
            | Self::Interim { .. }
            | Self::Silent { .. }
            | Self::Switched { .. } => false,
        }
    }
}

/// What the observer of the frames ends a connection with; nothing else on the way to a provider fails so.
pub(super) const FLOODED: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// Whether what came is at fault, and not merely missing.
fn is_invalid(error: &hyper::Error) -> bool {
    let cause = std::error::Error::source(error);
    // Our side of HTTP/2 says that the other broke the protocol.
    let is_h2 =
        cause.and_then(|it| it.downcast_ref::<h2::Error>()).is_some_and(h2::Error::is_library);
    let io = cause.and_then(|it| it.downcast_ref::<io::Error>());
    error.is_parse() || is_h2 || io.is_some_and(|io| io.kind() == FLOODED)
}
