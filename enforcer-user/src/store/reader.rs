// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Reads what is stored: the open period through its engine, all others from their raw bytes.
//!
//! A reader of a stopped journal changes nothing and can be used on a copy without its owner's rights.
//! Every call blocks on the disk. A reader of a running journal has its engine only while it reads one
//! page; it ends with an error when the journal closes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use enforcer_core::model::SessionId;
use enforcer_core::model::limits::JOURNAL_PAGE_EVENTS_MAX;
use enforcer_core::record::{BodyRef, Content, Event, Frame, Hash, decode};
use serde::{Deserialize, Serialize};

use super::journal::Shared;
use super::live::{self, Live, LiveContent};
use super::scan::Scan;
use super::summary::SessionSummary;
use super::verify::{Progress, VerifyReport};
use super::{Config, Error, body, files, resume, verify};

/// Reads a journal.
#[derive(Debug)]
pub struct Reader {
    pub(super) dir: PathBuf,
    /// Periods that are not open, oldest first.
    pub(super) archive: Vec<(String, Arc<Scan>)>,
    /// The open one.
    pub(super) live: Option<Live>,
}

/// Some events of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventPage {
    /// In order.
    pub events: Vec<Event>,
    /// Where the next page starts, if there is one.
    pub next: Option<u64>,
}

impl Reader {
    /// A reader of the journal of a stopped daemon.
    ///
    /// # Errors
    /// If a daemon has it open, or its folders cannot be read.
    pub fn open(config: &Config) -> Result<Self, Error> {
        let dir = config.dir.clone();
        // Without the folder there is no journal, which is not the same as one without sessions.
        std::fs::metadata(&dir).map_err(|source| Error::disk("open the journal", &dir, source))?;
        resume::refuse_running(&dir)?;
        let mut archive = Vec::new();
        for name in files::periods(&dir)? {
            let (scan, _is_sealed) = live::scan(&dir, &name)?;
            archive.push((name, Arc::new(scan)));
        }
        Ok(Self { dir, archive, live: None })
    }

    pub(super) fn live(shared: &Arc<Shared>) -> Result<Self, Error> {
        let (dir, live) = (shared.dir.clone(), Live::of(shared));
        let open = live.as_ref().map(|live| live.name.as_str());
        let mut archive = Vec::new();
        for name in files::periods(&dir)?.into_iter().filter(|name| Some(name.as_str()) != open) {
            let scan = live::scan_past(shared, &name)?;
            archive.push((name, scan));
        }
        Ok(Self { dir, archive, live })
    }

    /// All sessions, oldest first. The daemon's own session is the first.
    ///
    /// # Errors
    /// If the journal cannot be read. An event that cannot be read is left out: see [`Reader::verify`].
    pub fn sessions(&self) -> Result<Vec<SessionSummary>, Error> {
        let mut sessions: BTreeMap<SessionId, SessionSummary> = BTreeMap::new();
        for frame in self.frames() {
            let frame = frame?;
            let Ok(event) = self.event(&frame) else { continue };
            let summary = sessions
                .entry(event.session)
                .or_insert_with(|| SessionSummary::new(event.session, event.at));
            summary.add(&event);
        }
        Ok(sessions.into_values().collect())
    }

    /// The sessions with larger ids than this one, the first of them first and at most so many. Ids begin with the time.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn begun_after(&self, session: SessionId, most: usize) -> Result<Vec<SessionId>, Error> {
        let mut found = Vec::new();
        let mut next = successor(session, u64::MAX);
        while let Some((session, sequence)) = next
            && found.len() < most
            && let Some(frame) = self.frame_page(session, sequence, 1)?.into_iter().next()
        {
            found.push(frame.session);
            next = successor(frame.session, u64::MAX);
        }
        Ok(found)
    }

    /// The events of a session from `from` on, in order.
    pub fn events(
        &self,
        session: SessionId,
        from: u64,
    ) -> impl Iterator<Item = Result<Event, Error>> {
        self.frames_from(session, from)
            .take_while(move |frame| frame.as_ref().map_or(true, |f| f.session == session))
            .map(|frame| self.event(&frame?))
    }

    /// One page of the events of a session. An event that cannot be read ends it with an error.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn page(&self, session: SessionId, from: u64) -> Result<EventPage, Error> {
        let events = self.events(session, from).take(JOURNAL_PAGE_EVENTS_MAX);
        let events = events.collect::<Result<Vec<_>, _>>()?;
        let is_full = events.len() == JOURNAL_PAGE_EVENTS_MAX;
        let next = events.last().filter(|_| is_full).map(|last| last.sequence.saturating_add(1));
        Ok(EventPage { events, next })
    }

    /// The content of a body, proven by its name.
    ///
    /// # Errors
    /// If it is not there or was altered.
    pub fn body(&self, reference: &BodyRef) -> Result<Vec<u8>, Error> {
        let hash = reference.hash.parse::<Hash>().map_err(|error| {
            Error::disk("name a body in", &self.dir, std::io::Error::other(error))
        })?;
        self.body_of(&hash)
    }

    /// The content of the body with this hash.
    ///
    /// # Errors
    /// If it is not there or was altered.
    pub fn body_of(&self, hash: &Hash) -> Result<Vec<u8>, Error> {
        body::read(&self.bodies(), hash)
    }

    /// Compares everything stored with what was written. `progress` is told now and then.
    ///
    /// # Errors
    /// If the journal cannot be read at all; whatever is wrong with what was read is in the report.
    pub fn verify(
        &self,
        only: Option<SessionId>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<VerifyReport, Error> {
        verify::verify(self, only, progress)
    }

    pub(super) fn bodies(&self) -> PathBuf {
        self.dir.join("bodies")
    }

    /// The event in a record.
    pub(super) fn event(&self, frame: &Frame) -> Result<Event, Error> {
        match &frame.content {
            Content::Inline(bytes) => Ok(decode(bytes)?),
            Content::Body(content) => Ok(decode(&self.body_of(&content.hash)?)?),
        }
    }

    /// All records in order.
    pub(super) fn frames(&self) -> impl Iterator<Item = Result<Frame, Error>> {
        self.frames_from(SessionId::HOST, 0)
    }

    fn frames_from(
        &self,
        session: SessionId,
        sequence: u64,
    ) -> impl Iterator<Item = Result<Frame, Error>> {
        let mut next = Some((session, sequence));
        let mut page = Vec::new().into_iter();
        std::iter::from_fn(move || {
            loop {
                if let Some(frame) = page.next() {
                    return Some(Ok(frame));
                }
                let (session, sequence) = next.take()?;
                let frames = match self.frame_page(session, sequence, JOURNAL_PAGE_EVENTS_MAX) {
                    Ok(frames) => frames,
                    Err(error) => return Some(Err(error)),
                };
                next = frames.last().and_then(|f| successor(f.session, f.sequence));
                page = frames.into_iter();
            }
        })
    }

    /// The next records of all periods, in order and at most so many. A later period counts where two have the same
    /// one.
    fn frame_page(
        &self,
        session: SessionId,
        sequence: u64,
        most: usize,
    ) -> Result<Vec<Frame>, Error> {
        let live = self.live.as_ref().map(Live::content).transpose()?;
        let past = match &live {
            Some(LiveContent::Past(scan)) => Some(scan),
            Some(LiveContent::Open(_)) | None => None,
        };
        let mut places = BTreeMap::new();
        for scan in self.archive.iter().map(|(_, scan)| scan).chain(past) {
            let range = scan.records.range((session, sequence)..).take(most);
            places.extend(range.map(|(key, place)| (*key, (scan, place))));
        }
        let mut frames = BTreeMap::new();
        for (key, (scan, place)) in places.into_iter().take(most) {
            if let Some(frame) = scan.read(place)? {
                frames.insert(key, frame);
            }
        }
        if let Some(LiveContent::Open(period)) = &live {
            for frame in period.frames(session, sequence, most)? {
                frames.insert((frame.session, frame.sequence), frame);
            }
        }
        Ok(frames.into_values().take(most).collect())
    }
}

fn successor(session: SessionId, sequence: u64) -> Option<(SessionId, u64)> {
    match sequence.checked_add(1) {
        Some(next) => Some((session, next)),
        None => session.as_u64().checked_add(1).map(|id| (SessionId::from_u64(id), 0)),
    }
}
