// SPDX-License-Identifier: Apache-2.0 OR MIT
//! What a command is about: a session, or one exchange of it.

use std::str::FromStr;

use enforcer_core::model::{ExchangeId, SessionId};
use enforcer_core::record::{Event, EventBody};

use crate::cli::Failure;
use crate::cli::source::Source;

/// A session, or one exchange of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// One exchange.
    Exchange(ExchangeId),
    /// All of a session.
    Session(SessionId),
}

impl FromStr for Target {
    type Err = enforcer_core::model::NotAnId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.contains('-') {
            return text.parse().map(Self::Exchange);
        }
        text.parse().map(Self::Session)
    }
}

impl Target {
    /// Its events, in order; of an exchange after that of its session's beginning, which says whose it is.
    pub(super) async fn events(self, source: &Source) -> Result<Vec<Event>, Failure> {
        let session = match self {
            Self::Exchange(id) => id.session,
            Self::Session(id) => id,
        };
        let mut events = source.events(session).await?;
        match self {
            Self::Exchange(id) => {
                let is_its = |event: &Event| event.body.exchange() == Some(id);
                if !events.iter().any(is_its) {
                    return Err(super::unknown_exchange(id));
                }
                let begins = |event: &Event| matches!(event.body, EventBody::SessionOpened(_));
                events.retain(|event| is_its(event) || begins(event));
                Ok(events)
            }
            Self::Session(id) => {
                if events.is_empty() {
                    Err(super::unknown(id))
                } else {
                    Ok(events)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_session_or_an_exchange() {
        let session = SessionId::from_u64(0x1234);
        assert_eq!("0000000000001234".parse(), Ok(Target::Session(session)));
        let exchange = ExchangeId { session, number: 2 };
        assert_eq!("0000000000001234-2".parse(), Ok(Target::Exchange(exchange)));
        assert_eq!("host".parse(), Ok(Target::Session(SessionId::HOST)));
        assert!("1234".parse::<Target>().is_err() && "host-".parse::<Target>().is_err());
    }
}
