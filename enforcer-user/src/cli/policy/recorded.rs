// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Recorded exchanges that a command of the desk needs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use enforcer_core::model::{ExchangeId, Facts, SessionId};
use enforcer_core::record::{Event, EventBody, ExchangeOpened};

use crate::cli::source::Source;
use crate::cli::{Failure, wait};

/// Opens what is recorded: below the folder that is given, or where the settings say.
pub type Journal<'j> = dyn Fn(Option<&Path>) -> Result<Source, Failure> + 'j;

/// The facts of some exchanges; those that are not recorded are left out.
pub(super) fn facts(
    named: &BTreeSet<ExchangeId>,
    state: Option<&Path>,
    journal: &Journal<'_>,
) -> Result<BTreeMap<ExchangeId, Facts>, Failure> {
    let source = journal(state)?;
    let sessions: BTreeSet<SessionId> = named.iter().map(|id| id.session).collect();
    let mut facts = BTreeMap::new();
    wait(async {
        for session in sessions {
            let events = source.events(session).await?;
            let all = events.into_iter().filter_map(opened);
            let wanted = all.filter(|opened| named.contains(&opened.exchange));
            facts.extend(wanted.map(|opened| (opened.exchange, opened.facts.into_facts())));
        }
        Ok(facts)
    })
}

/// The exchange that an event opens.
pub(super) fn opened(event: Event) -> Option<ExchangeOpened> {
    match event.body {
        EventBody::ExchangeOpened(opened) => Some(*opened),
        _ => None,
    }
}
