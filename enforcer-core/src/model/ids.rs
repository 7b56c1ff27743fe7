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
    /// How people may write [`Self::HOST`].
    pub const HOST_WORD: &str = "host";

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

/// A text that is not the id that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAnId {
    /// Not the id of a session, nor of an exchange.
    #[error("`{0}` is not the id of a session: expected 16 hexadecimal digits")]
    NotASession(String),
    /// Not the id of an exchange, nor of a session.
    #[error("`{0}` is not the id of an exchange: expected 16 hexadecimal digits, `-` and a number")]
    NotAnExchange(String),
    /// An exchange where a session is wanted.
    #[error("`{0}` is an exchange; its session is `{session}`", session = .0.session)]
    IsAnExchange(ExchangeId),
    /// A session where an exchange is wanted.
    #[error("`{0}` is a session; its exchanges are `{0}-1`, `{0}-2` and so on")]
    IsASession(SessionId),
}

/// A session, and the number of an exchange if one is written.
fn parts(text: &str) -> Option<(SessionId, Option<u64>)> {
    let (session, number) = match text.split_once('-') {
        Some((session, number)) => (session, Some(number)),
        None => (text, None),
    };
    let is_hex = session.len() == 16 && session.bytes().all(|byte| byte.is_ascii_hexdigit());
    let session = match session {
        SessionId::HOST_WORD => SessionId::HOST.0,
        _ => is_hex.then(|| u64::from_str_radix(session, 16).ok()).flatten()?,
    };
    let Some(number) = number else { return Some((SessionId(session), None)) };
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let number = is_number.then(|| number.parse().ok()).flatten()?;
    Some((SessionId(session), Some(number)))
}

impl FromStr for SessionId {
    type Err = NotAnId;
    fn from_str(text: &str) -> Result<Self, NotAnId> {
        match parts(text) {
            Some((session, None)) => Ok(session),
            Some((session, Some(number))) => {
                Err(NotAnId::IsAnExchange(ExchangeId { session, number }))
            }
            None => Err(NotAnId::NotASession(text.to_owned())),
        }
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
        match parts(text) {
            Some((session, Some(number))) => Ok(Self { session, number }),
            Some((session, None)) => Err(NotAnId::IsASession(session)),
            None => Err(NotAnId::NotAnExchange(text.to_owned())),
        }
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
        assert_eq!("host".parse(), Ok(SessionId::HOST));
        assert_eq!("host-3".parse(), Ok(ExchangeId { session: SessionId::HOST, number: 3 }));
    }

    #[test]
    fn garbage_is_not_an_id() {
        for text in ["", "12", "+000000000000001", "zzzzzzzzzzzzzzzz", "0000000000000001-"] {
            assert!(text.parse::<SessionId>().is_err() && text.parse::<ExchangeId>().is_err());
        }
    }

    #[test]
    fn an_id_of_the_other_kind_is_called_what_it_is() {
        let said = |error: NotAnId| error.to_string();
        assert_eq!(
            "0000000000001234-5".parse::<SessionId>().map_err(said),
            Err("`0000000000001234-5` is an exchange; its session is `0000000000001234`".to_owned())
        );
        assert_eq!(
            "0000000000001234".parse::<ExchangeId>().map_err(said),
            Err("`0000000000001234` is a session; its exchanges are `0000000000001234-1`, \
                 `0000000000001234-2` and so on"
                .to_owned())
        );
        assert_eq!(
            "12".parse::<SessionId>().map_err(said),
            Err("`12` is not the id of a session: expected 16 hexadecimal digits".to_owned())
        );
    }
}
