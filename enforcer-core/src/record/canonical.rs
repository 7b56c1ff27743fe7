// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The canonical bytes of an event: what is chained, stored and compared.
//!
//! The encoding is JSON without white space, fields in the order in which the types declare them, maps
//! and sets in their sort order, absent options left out. It is canonical because one serializer with
//! one fixed order writes it; bytes from anywhere else are proven by their hash, never by writing them
//! again. Errs towards refusing: bytes that are not exactly one event are an error.

use super::Event;

/// An event that cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CanonicalError {
    /// The stored bytes are not an event.
    #[error("failed to read an event of the journal")]
    Decode(#[source] serde_json::Error),
    /// The event has no JSON form.
    #[error("failed to write the event {sequence} of session `{session}`")]
    Encode {
        /// Its session.
        session: crate::model::SessionId,
        /// Its place in it.
        sequence: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

/// The canonical bytes of `event`.
///
/// # Errors
/// If the event has no JSON form; no event type of today is without one.
pub fn encode(event: &Event) -> Result<Vec<u8>, CanonicalError> {
    serde_json::to_vec(event).map_err(|source| CanonicalError::Encode {
        session: event.session,
        sequence: event.sequence,
        source,
    })
}

/// The event that `bytes` hold.
///
/// # Errors
/// If they are not exactly one event.
pub fn decode(bytes: &[u8]) -> Result<Event, CanonicalError> {
    serde_json::from_slice(bytes).map_err(CanonicalError::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{PolicyVersion, SessionId, UnixMillis};
    use crate::record::{EventBody, Process, Repeated};

    fn check(body: EventBody, expect: &str) {
        let session = SessionId::from_u64(7);
        let event = Event { session, sequence: 3, at: UnixMillis(9), body };
        let bytes = encode(&event).unwrap();
        assert_eq!(String::from_utf8(bytes.clone()).unwrap(), expect);
        assert_eq!(decode(&bytes).unwrap(), event);
    }

    #[test]
    fn an_event_is_written_in_one_fixed_order_and_reads_back() {
        check(
            EventBody::PolicyLoaded { policy: PolicyVersion::new("p1") },
            r#"{"session":"0000000000000007","sequence":3,"at":9,"event":"policy_loaded","policy":"p1"}"#,
        );
        check(
            EventBody::ResolveRefused {
                process: Some(Process::new(1, 2, "a")),
                name: "x.example".into(),
                repeated: Repeated::ONCE,
            },
            r#"{"session":"0000000000000007","sequence":3,"at":9,"event":"resolve_refused","process":{"pid":1,"uid":2,"comm":"a"},"name":"x.example","count":1}"#,
        );
        check(
            EventBody::EventsLost { count: 2 },
            r#"{"session":"0000000000000007","sequence":3,"at":9,"event":"events_lost","count":2}"#,
        );
    }

    #[test]
    fn bytes_that_are_not_one_event_are_an_error() {
        for bytes in [&b""[..], b"{}", b"[1]", b"{\"session\":\"0000000000000007\"}", b"\xff"] {
            assert!(decode(bytes).is_err());
        }
    }
}
