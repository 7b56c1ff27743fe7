// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Why something was refused, in the two forms that must never be mixed up: what the agent may see, and
//! what the operator sees.

use serde::{Deserialize, Serialize};

use super::{RuleId, Step};

/// Stable reason codes. They are part of the wire answer, the record and the docs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenyReason {
    /// A person would have to approve the request and cannot be shown all of it.
    ApprovalNotShowable,
    /// A person has to approve the request, and nobody did yet.
    ApprovalPending,
    /// A person refused the request.
    ApprovalRefused,
    /// The request names another authority than the connection was opened for.
    AuthorityMismatch,
    /// A budget has no room for the request, or for the rest of a streamed answer.
    BudgetSpent,
    /// The client did not accept the certificate: it does not trust the CA, or pins.
    CaUntrusted,
    /// The credential that has to be put in is not there, or two want the same header.
    CredentialUnavailable,
    /// The daemon is draining and takes no new work.
    Draining,
    /// A fault inside Enforcer.
    Internal,
    /// Nothing can be recorded, so nothing may happen.
    JournalUnavailable,
    /// A limit of connections, headers or time was reached.
    Limit,
    /// No endpoint of the bundle names this destination.
    NotAnEndpoint,
    /// The peer has no recorded origin: it did not come through the kernel's redirect.
    OriginUnknown,
    /// A rule forbids it, or no rule permits it.
    Policy,
    /// The bytes are not the protocol of the endpoint.
    ProtocolError,
    /// The request has to be masked and cannot be.
    RequestUndecodable,
    /// The answer has to be read or masked and cannot be.
    ResponseUndecodable,
    /// The client hello names no server.
    SniMissing,
    /// The protocol upgrade is not supported.
    UpgradeUnsupported,
    /// The upstream certificate does not verify.
    UpstreamCertificate,
    /// The upstream name does not resolve.
    UpstreamName,
    /// What the upstream sent is not valid HTTP, or not an answer to what was asked.
    UpstreamProtocol,
    /// The upstream does not answer.
    UpstreamUnreachable,
}

impl DenyReason {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 23] = [
        Self::ApprovalNotShowable,
        Self::ApprovalPending,
        Self::ApprovalRefused,
        Self::AuthorityMismatch,
        Self::BudgetSpent,
        Self::CaUntrusted,
        Self::CredentialUnavailable,
        Self::Draining,
        Self::Internal,
        Self::JournalUnavailable,
        Self::Limit,
        Self::NotAnEndpoint,
        Self::OriginUnknown,
        Self::Policy,
        Self::ProtocolError,
        Self::RequestUndecodable,
        Self::ResponseUndecodable,
        Self::SniMissing,
        Self::UpgradeUnsupported,
        Self::UpstreamCertificate,
        Self::UpstreamName,
        Self::UpstreamProtocol,
        Self::UpstreamUnreachable,
    ];

    /// The code as written on the wire and in the record.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::ApprovalNotShowable => "approval_not_showable",
            Self::ApprovalPending => "approval_pending",
            Self::ApprovalRefused => "approval_refused",
            Self::AuthorityMismatch => "authority_mismatch",
            Self::BudgetSpent => "budget_spent",
            Self::CaUntrusted => "ca_untrusted",
            Self::CredentialUnavailable => "credential_unavailable",
            Self::Draining => "draining",
            Self::Internal => "internal",
            Self::JournalUnavailable => "journal_unavailable",
            Self::Limit => "limit",
            Self::NotAnEndpoint => "not_an_endpoint",
            Self::OriginUnknown => "origin_unknown",
            Self::Policy => "policy",
            Self::ProtocolError => "protocol_error",
            Self::RequestUndecodable => "request_undecodable",
            Self::ResponseUndecodable => "response_undecodable",
            Self::SniMissing => "sni_missing",
            Self::UpgradeUnsupported => "upgrade_unsupported",
            Self::UpstreamCertificate => "upstream_certificate",
            Self::UpstreamName => "upstream_name",
            Self::UpstreamProtocol => "upstream_protocol",
            Self::UpstreamUnreachable => "upstream_unreachable",
        }
    }

    /// HTTP status of the answer (RFC 9110 section 15). 403 for what waiting cannot cure.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::AuthorityMismatch => 421,
            Self::BudgetSpent => 429,
            Self::CredentialUnavailable
            | Self::Draining
            | Self::Internal
            | Self::JournalUnavailable
            | Self::Limit => 503,
            Self::ProtocolError | Self::RequestUndecodable => 400,
            Self::ResponseUndecodable
            | Self::UpstreamCertificate
            | Self::UpstreamName
            | Self::UpstreamProtocol
            | Self::UpstreamUnreachable => 502,
            Self::UpgradeUnsupported => 501,
            Self::ApprovalNotShowable
            | Self::ApprovalPending
            | Self::ApprovalRefused
            | Self::CaUntrusted
            | Self::NotAnEndpoint
            | Self::OriginUnknown
            | Self::Policy
            | Self::SniMissing => 403,
        }
    }

    /// The step at which a request is refused for this reason.
    #[must_use]
    pub const fn step(self) -> Step {
        match self {
            Self::ApprovalNotShowable | Self::ApprovalPending | Self::ApprovalRefused => {
                Step::Approval
            }
            Self::AuthorityMismatch
            | Self::CaUntrusted
            | Self::NotAnEndpoint
            | Self::SniMissing => Step::Connection,
            Self::BudgetSpent => Step::Budget,
            Self::CredentialUnavailable => Step::Credential,
            Self::Draining | Self::Internal => Step::Daemon,
            Self::JournalUnavailable => Step::Record,
            Self::Limit => Step::Limits,
            Self::OriginUnknown => Step::Identity,
            Self::Policy => Step::Rules,
            Self::ProtocolError | Self::UpgradeUnsupported => Step::Decode,
            Self::RequestUndecodable => Step::Mask,
            Self::ResponseUndecodable => Step::Answer,
            Self::UpstreamCertificate
            | Self::UpstreamName
            | Self::UpstreamProtocol
            | Self::UpstreamUnreachable => Step::Upstream,
        }
    }

    /// What to do about it, whatever caused it. The column of `docs/deny-reasons.md` is the same text; where the
    /// record has a cause, its advice is more exact.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::ApprovalNotShowable => {
                "send less in one request, as text, or permit such requests without a person"
            }
            Self::ApprovalPending => {
                "send the same request again when the question is granted (`enforcer approval list`); \
                 after it has expired, that asks anew"
            }
            Self::ApprovalRefused => "ask the person who refused it",
            Self::AuthorityMismatch => "send each host's requests on its own connection",
            Self::BudgetSpent => {
                "name a smaller bound of the answer (`max_tokens`), wait for exchanges under way or for the \
                 next window, or ask for a larger budget; `enforcer budget list` shows what is left"
            }
            Self::CaUntrusted => {
                "start it with `enforcer run`, which sets the trust variables; a client that pins is refused, \
                 not decrypted"
            }
            Self::CredentialUnavailable => {
                "make the secret readable by the daemon, and put one credential into each header"
            }
            Self::Draining => "try again when the daemon runs",
            Self::Internal => "report it with the exchange's id",
            Self::JournalUnavailable => "look at disk space and the daemon's log",
            Self::Limit => "send fewer requests at once; do not pause within a body",
            Self::NotAnEndpoint => "name it in `policy.toml`, if it is wanted",
            Self::OriginUnknown => "do not dial the proxy's port",
            Self::Policy => {
                "change what is asked, or the rule that forbids it; where no rule permits it, write one that does, if it \
                 is wanted"
            }
            Self::ProtocolError => {
                "send a whole and valid request; write names of headers with letters, digits and `-`"
            }
            Self::RequestUndecodable => {
                "remove the text from the header, the path or the query in which it stands; send a body that has to be \
                 masked as plain JSON of the API"
            }
            Self::ResponseUndecodable => {
                "ask for an answer that can be read, or report the provider"
            }
            Self::SniMissing => "connect by name, not by address",
            Self::UpgradeUnsupported => "use the API's plain requests",
            Self::UpstreamCertificate => "look at `[upstream] roots`",
            Self::UpstreamName => "look at the host's resolver and `[upstream.resolve]`",
            Self::UpstreamProtocol => "report the provider, with the detail in the record",
            Self::UpstreamUnreachable => {
                "look at the host's network, and whether the provider is up"
            }
        }
    }

    /// How the sentence for the agent begins. Every beginning names Enforcer, so that nobody takes it for the
    /// provider's, and says what became of the request.
    #[must_use]
    pub const fn lead(self) -> &'static str {
        match self {
            Self::ResponseUndecodable | Self::UpstreamProtocol => "Enforcer withheld the answer",
            Self::UpstreamCertificate | Self::UpstreamName | Self::UpstreamUnreachable => {
                "Enforcer has no answer to pass on"
            }
            Self::ApprovalNotShowable
            | Self::ApprovalPending
            | Self::ApprovalRefused
            | Self::AuthorityMismatch
            | Self::BudgetSpent
            | Self::CaUntrusted
            | Self::CredentialUnavailable
            | Self::Draining
            | Self::Internal
            | Self::JournalUnavailable
            | Self::Limit
            | Self::NotAnEndpoint
            | Self::OriginUnknown
            | Self::Policy
            | Self::ProtocolError
            | Self::RequestUndecodable
            | Self::SniMissing
            | Self::UpgradeUnsupported => "Denied by Enforcer, not by the provider",
        }
    }

    /// One sentence for the agent's developer. Never holds a path, another rule or matched text.
    #[must_use]
    pub const fn sentence(self) -> &'static str {
        match self {
            Self::ApprovalNotShowable => {
                "a person would have to approve this request and cannot be shown all of it"
            }
            Self::ApprovalPending => "a person has to approve this request first",
            Self::ApprovalRefused => "a person refused this request",
            Self::AuthorityMismatch => {
                "the request names another host than the connection was opened for"
            }
            Self::BudgetSpent => "a budget has no room for this request",
            Self::CredentialUnavailable => "the credential for this request is not available",
            Self::CaUntrusted => "the client does not trust the certificate authority of this host",
            Self::Draining => "the enforcement point is restarting",
            Self::Internal => "the enforcement point failed and refuses to guess",
            Self::JournalUnavailable => "the exchange cannot be recorded, so it is refused",
            Self::Limit => "a limit of the enforcement point was reached",
            Self::NotAnEndpoint => "this destination is not an endpoint of the policy",
            Self::OriginUnknown => "the origin of this connection is unknown",
            Self::Policy => "the policy of this host does not permit this request",
            Self::ProtocolError => "the request is not valid for this endpoint",
            Self::RequestUndecodable => "the request has to be masked and cannot be",
            Self::ResponseUndecodable => "the answer has to be read or masked and cannot be",
            Self::SniMissing => "the TLS client hello names no server",
            Self::UpgradeUnsupported => {
                "protocol upgrades are not supported through this enforcement point"
            }
            Self::UpstreamCertificate => "the certificate of the provider could not be verified",
            Self::UpstreamName => "the name of the provider does not resolve",
            Self::UpstreamProtocol => "the provider's answer is not valid",
            Self::UpstreamUnreachable => "the provider does not answer",
        }
    }
}

/// A refusal as the agent may see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// Stable code.
    pub reason: DenyReason,
    /// The rules that denied; empty when no rule permits.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<RuleId>,
    /// More words for the caller: the operator's own, and what exactly is wrong with the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Denied {
    /// A refusal without a rule.
    #[must_use]
    pub const fn because(reason: DenyReason) -> Self {
        Self { reason, rules: Vec::new(), message: None }
    }
}
