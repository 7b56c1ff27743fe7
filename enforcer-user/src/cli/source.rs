// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Where recorded sessions are read from: the running daemon, or its journal when no daemon runs.
//!
//! INVARIANT: the journal of a running daemon is never opened; a daemon that is there and does not
//! answer is a failure, not a reason to look behind its back.

use std::path::Path;

use enforcer_core::model::SessionId;
use enforcer_core::record::{BodyRef, Event};

use super::Failure;
use crate::admin::Client;
use crate::config::Config;
use crate::runtime::chain;
use crate::store::{self, EventPage, Progress, Reader, SessionSummary, VerifyReport};

/// Where recorded sessions are read from.
#[derive(Debug)]
pub enum Source {
    /// The daemon's admin API.
    Live(Client),
    /// The journal of a stopped daemon.
    Offline(Reader),
}

impl Source {
    /// The daemon that the settings name if it is there, otherwise its journal.
    ///
    /// # Errors
    /// If there is neither.
    pub async fn open(config: &Config) -> Result<Self, Failure> {
        let client = Client::new(&config.socket);
        if client.is_there().await {
            return Ok(Self::Live(client));
        }
        Self::offline(&config.journal())
    }

    /// The journal of a stopped daemon.
    ///
    /// # Errors
    /// If it cannot be read or a daemon has it open.
    pub fn offline(journal: &Path) -> Result<Self, Failure> {
        let opened = Reader::open(&store::Config::at(journal.to_owned()));
        opened.map(Self::Offline).map_err(|error| match &error {
            store::Error::Running(_) => Failure::from(error)
                .hint("the daemon does not listen on `socket` of these settings"),
            store::Error::Disk { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Failure::from(error).hint("nothing was recorded with these settings yet")
            }
            _ => error.into(),
        })
    }

    /// All sessions.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn sessions(&self) -> Result<Vec<SessionSummary>, Failure> {
        match self {
            Self::Live(client) => Ok(client.get("/v1/sessions").await?),
            Self::Offline(reader) => Ok(reader.sessions()?),
        }
    }

    /// One page of the events of a session.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn page(&self, session: SessionId, from: u64) -> Result<EventPage, Failure> {
        match self {
            Self::Live(client) => {
                Ok(client.get(&format!("/v1/sessions/{session}/events?from={from}")).await?)
            }
            Self::Offline(reader) => Ok(reader.page(session, from)?),
        }
    }

    /// All events of a session.
    ///
    /// # Errors
    /// If they cannot be read.
    pub async fn events(&self, session: SessionId) -> Result<Vec<Event>, Failure> {
        let (mut events, mut next) = (Vec::new(), Some(0));
        while let Some(from) = next {
            let page = self.page(session, from).await?;
            events.extend(page.events);
            next = page.next;
        }
        Ok(events)
    }

    /// True if a daemon is there that still records.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self {
            Self::Live(_) => true,
            Self::Offline(_) => false,
        }
    }

    /// The content of a body that this event names, proven by its name; or, in words, why it is not there.
    pub(super) async fn body(&self, event: &Event, body: &BodyRef) -> Result<Vec<u8>, String> {
        match self {
            Self::Live(client) => {
                let Event { session, sequence, .. } = event;
                let path = format!("/v1/sessions/{session}/events/{sequence}/bodies/{}", body.hash);
                let bytes = client.bytes(&path).await;
                bytes.map(|bytes| bytes.to_vec()).map_err(|error| chain(&error))
            }
            Self::Offline(reader) => reader.body(body).map_err(|error| chain(&error)),
        }
    }

    /// Compares everything stored with what was written. A daemon tells no progress.
    ///
    /// # Errors
    /// If the journal cannot be read at all.
    pub async fn verify(
        &self,
        only: Option<SessionId>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<VerifyReport, Failure> {
        match (self, only) {
            (Self::Live(client), None) => Ok(client.get("/v1/verify").await?),
            (Self::Live(client), Some(id)) => {
                Ok(client.get(&format!("/v1/verify?session={id}")).await?)
            }
            (Self::Offline(reader), only) => Ok(reader.verify(only, progress)?),
        }
    }
}
