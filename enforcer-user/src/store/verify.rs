// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Compares everything stored with what was written and signed, and names the record that is touched.
//!
//! Never stops at the first problem and never panics on what it reads: whatever is wrong becomes a line
//! of the report. Errs towards reporting: a changed byte in unused space of a sealed file is a problem
//! too, with the record next to it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use enforcer_core::model::limits::{JOURNAL_FINDINGS_MAX, JOURNAL_PAGE_EVENTS_MAX};
use enforcer_core::model::{ExchangeId, SessionId};
use enforcer_core::record::{BodyRef, Content, Event, EventBody, Frame, Hash, Head, Verifier};
use serde::{Deserialize, Serialize};

use super::checkpoint::{self, Statement};
use super::latest::Reach;
use super::live::{Live, LiveContent};
use super::locate::Locator;
use super::period::ENGINE_DIR;
use super::reader::Reader;
use super::scan::Scan;
use super::{Error, files};

/// Records between two reports of progress.
const PROGRESS_RECORDS: u64 = 256;

/// One thing that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mismatch {
    /// The session that is touched, where it can be told.
    pub session: Option<SessionId>,
    /// The record of it.
    pub sequence: Option<u64>,
    /// The exchange that the record is about.
    pub exchange: Option<ExchangeId>,
    /// What is wrong, in words.
    pub what: String,
}

/// How far a verification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Records looked at.
    pub records: u64,
    /// Records there are, by what was signed last.
    pub of: u64,
}

/// How often a difference that a running daemon may make is looked at again.
const REACH_LOOKS: usize = 3;

/// What a verification found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifyReport {
    /// Sessions looked at.
    pub sessions: u64,
    /// Records looked at.
    pub records: u64,
    /// Bodies looked at.
    pub bodies: u64,
    /// The fingerprint of the key that the signatures were checked with; empty without one. Whoever can
    /// write the journal can sign it with a key of their own, so a person compares this with one noted
    /// earlier.
    pub key: String,
    /// What is wrong; empty: everything is as it was written.
    pub problems: Vec<Mismatch>,
    /// What is not wrong and limits what could be proven.
    pub notes: Vec<String>,
}

impl VerifyReport {
    /// True if everything is as it was written.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }
}

type Heads = BTreeMap<SessionId, Head>;

struct Verification<'a> {
    reader: &'a Reader,
    only: Option<SessionId>,
    report: VerifyReport,
    /// What became of each body: none if it is as it was written.
    bodies: HashMap<Hash, Option<String>>,
    starts: Heads,
    heads: Heads,
}

/// Verifies what `reader` reads, or one session of it.
pub(super) fn verify(
    reader: &Reader,
    only: Option<SessionId>,
    progress: &mut dyn FnMut(Progress),
) -> Result<VerifyReport, Error> {
    let mut verification = Verification {
        reader,
        only,
        report: VerifyReport::default(),
        bodies: HashMap::new(),
        starts: Heads::new(),
        heads: Heads::new(),
    };
    // Signed heads first: what is written while this runs is beyond them.
    verification.periods()?;
    verification.records(progress)?;
    if let Some(live) = &reader.live {
        verification.live(live)?;
    }
    Ok(verification.finish())
}

impl Verification<'_> {
    fn periods(&mut self) -> Result<(), Error> {
        let reader = self.reader;
        let public = match checkpoint::public_key(&reader.dir) {
            Ok(public) => public,
            Err(error) => {
                self.problem(None, error.chain());
                Vec::new()
            }
        };
        // A running daemon knows its key; a stopped journal has only what lies beside it.
        let public = match reader.live.as_ref().map(Live::public) {
            Some(signing) => {
                if signing != public {
                    let what = "`checkpoint.pub` is not the public key of the running journal";
                    self.problem(None, what.to_owned());
                }
                signing.to_vec()
            }
            None => public,
        };
        if !public.is_empty() {
            self.report.key = checkpoint::fingerprint(&public);
        }
        self.reach(&public)?;
        let names = files::periods(&reader.dir)?;
        for (index, (name, scan)) in reader.archive.iter().enumerate() {
            let earlier = reader.archive.get(..index).unwrap_or_default();
            self.period(name, Some(scan), earlier, &public, &names)?;
        }
        if let Some(live) = &reader.live {
            self.period(&live.name, None, &reader.archive, &public, &names)?;
        }
        Ok(())
    }

    /// Compares how far the journal goes with what was signed about that.
    fn reach(&mut self, public: &[u8]) -> Result<(), Error> {
        let mut finding = Reach::of(&self.reader.dir, public)?.finding;
        if self.reader.live.is_some() {
            // A running daemon may sign more than once between two looks.
            for _ in 0..REACH_LOOKS {
                finding = match finding {
                    Some(_) => Reach::of(&self.reader.dir, public)?.finding,
                    None => break,
                };
            }
        }
        if let Some(finding) = finding {
            self.problem(None, finding);
        }
        Ok(())
    }

    fn period(
        &mut self,
        name: &str,
        scan: Option<&Arc<Scan>>,
        earlier: &[(String, Arc<Scan>)],
        public: &[u8],
        names: &[String],
    ) -> Result<(), Error> {
        let path = files::period_dir(&self.reader.dir, name);
        let nearest = scan.and_then(|scan| scan.records.keys().next_back().copied());
        let statement = match checkpoint::read(&path, name, public) {
            Ok(Some(statement)) => statement,
            Ok(None) => {
                self.problem(nearest, format!("the period `{name}` has no checkpoint"));
                return Ok(());
            }
            Err(error) => {
                self.problem(nearest, error.chain());
                return Ok(());
            }
        };
        if let Some(previous) = &statement.previous {
            let is_there =
                |other: &String| other == previous || other.starts_with(&format!("{previous}."));
            if !names.iter().any(is_there) {
                self.problem(None, format!("the period `{previous}` is gone"));
            }
        }
        for finding in &statement.findings {
            self.problem(None, format!("when a run began in the period `{name}`: {finding}"));
        }
        self.take_heads(&statement, earlier);
        let Some(scan) = scan else { return Ok(()) };
        match &statement.seal {
            Some(seal) => {
                let engine = path.join(ENGINE_DIR);
                let changes = seal.changes(&engine)?;
                let locator = (!changes.is_empty()).then(|| Locator::new(&engine, scan));
                for change in &changes {
                    let located = locator.as_ref().map(|l| l.locate(change)).transpose()?;
                    for (place, what) in located.unwrap_or_default() {
                        self.problem(place, format!("{what} (period `{name}`)"));
                    }
                }
            }
            None => {
                let count = scan.records.keys().filter(|(session, sequence)| {
                    *sequence >= statement.heads.next_sequence(*session)
                });
                let count = count.count();
                self.note(format!(
                    "the period `{name}` is not sealed, because the daemon did not close it or it is \
                     still read: its records are proven by their chain and, but for {count} newer \
                     ones, by the last signature, its unused bytes are not"
                ));
            }
        }
        self.broken(scan);
        Ok(())
    }

    /// Where sessions start and how far they reach. A start counts only for a session that no earlier
    /// period has.
    fn take_heads(&mut self, statement: &Statement, earlier: &[(String, Arc<Scan>)]) {
        for (session, head) in statement.starts.chains() {
            let has = |scan: &Scan| {
                scan.records.range((session, 0)..=(session, u64::MAX)).next().is_some()
            };
            if !self.heads.contains_key(&session) && !earlier.iter().any(|(_, scan)| has(scan)) {
                self.starts.insert(session, head);
            }
        }
        self.heads.extend(statement.heads.chains());
        if let Some(only) = self.only {
            self.starts.retain(|session, _| *session == only);
            self.heads.retain(|session, _| *session == only);
        }
    }

    fn broken(&mut self, scan: &Scan) {
        for broken in &scan.broken {
            let place = (broken.session, broken.sequence);
            let is_replaced = scan.records.get(&place).is_some_and(|p| p.epoch > broken.epoch);
            if !is_replaced {
                self.problem(Some(place), "a stored copy of it was altered".to_owned());
            }
        }
    }

    fn records(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<(), Error> {
        let of = self.heads.values().map(|head| head.count).sum();
        let heads = self.heads.clone();
        let mut verifier = Verifier::new(&self.starts, &heads);
        let mut last = None;
        for frame in self.reader.frames() {
            let frame = frame?;
            if self.only.is_some_and(|only| only != frame.session) {
                continue;
            }
            if last.replace(frame.session) != Some(frame.session) {
                self.report.sessions += 1;
            }
            self.report.records += 1;
            verifier.push(&frame);
            self.content(&frame);
            if self.report.records.is_multiple_of(PROGRESS_RECORDS) {
                progress(Progress { records: self.report.records, of });
            }
        }
        progress(Progress { records: self.report.records, of });
        for finding in verifier.finish() {
            let place = Some((finding.session, finding.sequence));
            self.problem(place, finding.kind.to_string());
        }
        Ok(())
    }

    /// Checks that the record says something, and the bodies that it refers to.
    fn content(&mut self, frame: &Frame) {
        let place = Some((frame.session, frame.sequence));
        if let Content::Body(content) = &frame.content
            && let Some(what) = self.body(&content.hash)
        {
            self.problem(place, what);
            return;
        }
        match self.reader.event(frame) {
            // An altered record is found by its chain.
            Err(error) if frame.is_intact() => self.problem(place, error.chain()),
            Err(_) => {}
            Ok(event) => self.bodies(&event),
        }
    }

    fn bodies(&mut self, event: &Event) {
        let (exchange, bodies) = match &event.body {
            EventBody::ExchangeClosed(closed) => {
                (closed.exchange, [closed.request.as_ref(), closed.response.as_ref()])
            }
            EventBody::ExchangeOpened(opened) => (opened.exchange, [opened.request.as_ref(), None]),
            EventBody::JournalRecovered { detail } => {
                let at = format!("session {} record {}", event.session, event.sequence);
                self.note(format!("{at} says: {detail}"));
                return;
            }
            EventBody::ConnectionRefused { .. }
            | EventBody::ConnectionsCut { .. }
            | EventBody::EventsLost { .. }
            | EventBody::FaultBegan { .. }
            | EventBody::ApprovalAnswered { .. }
            | EventBody::ApprovalAsked { .. }
            | EventBody::Audited { .. }
            | EventBody::BudgetReset { .. }
            | EventBody::FaultEnded { .. }
            | EventBody::KernelEventsLost { .. }
            | EventBody::NetworkRefused(_)
            | EventBody::PolicyLoaded { .. }
            | EventBody::ResolveRefused { .. }
            | EventBody::SessionClosed {}
            | EventBody::SessionOpened(_)
            | EventBody::TunnelClosed { .. } => return,
        };
        for BodyRef { hash, .. } in bodies.into_iter().flatten() {
            let what = match hash.parse() {
                Ok(hash) => self.body(&hash),
                Err(error) => Some(error.to_string()),
            };
            if let Some(what) = what {
                self.push(Mismatch {
                    session: Some(event.session),
                    sequence: Some(event.sequence),
                    exchange: Some(exchange),
                    what,
                });
            }
        }
    }

    fn body(&mut self, hash: &Hash) -> Option<String> {
        if let Some(known) = self.bodies.get(hash) {
            return known.clone();
        }
        self.report.bodies += 1;
        let what = self.reader.body_of(hash).err().map(|error| error.chain());
        self.bodies.insert(*hash, what.clone());
        what
    }

    /// The engine of a running daemon answers from memory; this looks at its files as well. What is
    /// being written or moved meanwhile looks wrong once, so only what is wrong twice counts.
    fn live(&mut self, live: &Live) -> Result<(), Error> {
        let Some(scan) = flushed(live)? else { return Ok(()) };
        let absent = absent(live, &scan)?;
        if scan.broken.is_empty() && absent.is_empty() {
            return Ok(());
        }
        let Some(mut again) = flushed(live)? else { return Ok(()) };
        again.broken.retain(|broken| scan.broken.contains(broken));
        self.broken(&again);
        for place in absent.into_iter().filter(|place| !again.records.contains_key(place)) {
            self.problem(Some(place), "is not on the disk as it was written".to_owned());
        }
        Ok(())
    }

    fn problem(&mut self, place: Option<(SessionId, u64)>, what: String) {
        let (session, sequence) = place.unzip();
        if self.only.is_none() || session.is_none() || session == self.only {
            self.push(Mismatch { session, sequence, exchange: None, what });
        }
    }

    fn note(&mut self, note: String) {
        if self.report.notes.len() < JOURNAL_FINDINGS_MAX {
            self.report.notes.push(note);
        }
    }

    fn push(&mut self, problem: Mismatch) {
        if self.report.problems.len() < JOURNAL_FINDINGS_MAX {
            self.report.problems.push(problem);
        }
    }

    fn finish(mut self) -> VerifyReport {
        if self.report.problems.len() >= JOURNAL_FINDINGS_MAX {
            self.report
                .notes
                .push(format!("only the first {JOURNAL_FINDINGS_MAX} problems are listed"));
        }
        self.report.problems.sort();
        self.report.problems.dedup();
        self.report
    }
}

/// The records in the files of the open period; none if it is not open any more. Then its records were
/// read from its files.
fn flushed(live: &Live) -> Result<Option<Scan>, Error> {
    let LiveContent::Open(period) = live.content()? else { return Ok(None) };
    period.flush()?;
    let path = period.path().to_owned();
    drop(period);
    Scan::of(&path).map(Some)
}

/// Records that the engine has and the files do not show.
fn absent(live: &Live, scan: &Scan) -> Result<Vec<(SessionId, u64)>, Error> {
    let (mut absent, mut next) = (Vec::new(), Some((SessionId::HOST, 0)));
    while let Some((session, sequence)) = next {
        let LiveContent::Open(period) = live.content()? else { break };
        let frames = period.frames(session, sequence, JOURNAL_PAGE_EVENTS_MAX)?;
        let places = frames.iter().map(|frame| (frame.session, frame.sequence));
        absent.extend(places.filter(|place| !scan.records.contains_key(place)));
        next = frames.last().map(|last| (last.session, last.sequence.saturating_add(1)));
        if absent.len() >= JOURNAL_FINDINGS_MAX {
            break;
        }
    }
    Ok(absent)
}
