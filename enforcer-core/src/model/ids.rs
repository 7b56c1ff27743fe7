// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Names and ids; one type each, so that two of them cannot be swapped.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $type(String);

        impl $type {
            /// Wraps a name as it stands in the bundle.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

name!(
    /// Name of an agent: a labelled process tree (`[agents.NAME]`).
    AgentName
);
name!(
    /// Name of an endpoint: a named destination (`[endpoints.NAME]`).
    EndpointName
);
name!(
    /// Name of a mask (`[masks.NAME]`).
    MaskName
);
name!(
    /// Name of a detector, built in or `[detectors.NAME]`.
    DetectorName
);
name!(
    /// Name of a budget (`[budgets.NAME]`).
    BudgetName
);
name!(
    /// Name of a kind of approval (`[approvals.NAME]`).
    ApprovalName
);
name!(
    /// Name of a credential (`[credentials.NAME]`).
    CredentialName
);
name!(
    /// The `@id` of a rule.
    RuleId
);
name!(
    /// Hash of the sources of a bundle; says which policy decided.
    PolicyVersion
);

/// Milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub u64);

/// One life of an agent's root process. Written as 16 hexadecimal digits; ids sort by start time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(u64);

impl SessionId {
    /// Session 0 belongs to the daemon: it carries what happens outside any agent.
    pub const HOST: Self = Self(0);

    /// Builds an id from the start time and 20 random bits.
    #[must_use]
    pub fn new(started: UnixMillis, random: u32) -> Self {
        Self((started.0 << 20) | u64::from(random & 0xf_ffff))
    }

    /// The id as the number that the kernel side carries.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The id from the number that the kernel side carries.
    #[must_use]
    pub const fn from_u64(value: u64) -> Self {
        Self(value)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// A text that is not an id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not an id: expected 16 hexadecimal digits, for an exchange followed by `-NUMBER`"
)]
pub struct NotAnId(pub String);

impl FromStr for SessionId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let is_hex = text.len() == 16 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let value = is_hex.then(|| u64::from_str_radix(text, 16).ok()).flatten();
        value.map(Self).ok_or_else(|| NotAnId(text.to_owned()))
    }
}

/// One request and its answer: the session and a number counted from 1 within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExchangeId {
    /// The session it belongs to.
    pub session: SessionId,
    /// Counted from 1 within the session.
    pub number: u64,
}

impl fmt::Display for ExchangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.session, self.number)
    }
}

impl FromStr for ExchangeId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let not = || NotAnId(text.to_owned());
        let (session, number) = text.split_once('-').ok_or_else(not)?;
        let is_number = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
        let number = is_number.then(|| number.parse().ok()).flatten().ok_or_else(not)?;
        Ok(Self { session: session.parse()?, number })
    }
}

macro_rules! serde_as_text {
    ($type:ident) => {
        impl Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
serde_as_text!(SessionId);
serde_as_text!(ExchangeId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_read_back_as_written_and_sort_by_time() {
        let early = SessionId::new(UnixMillis(1_700_000_000_000), u32::MAX);
        let late = SessionId::new(UnixMillis(1_700_000_000_001), 0);
        assert!(early < late);
        assert_eq!(early.to_string().parse(), Ok(early));
        let exchange = ExchangeId { session: late, number: 12 };
        assert_eq!(exchange.to_string().parse(), Ok(exchange));
    }

    #[test]
    fn garbage_is_not_an_id() {
        for text in ["", "12", "+000000000000001", "zzzzzzzzzzzzzzzz", "0000000000000001-"] {
            assert!(text.parse::<SessionId>().is_err() && text.parse::<ExchangeId>().is_err());
        }
    }
}
