// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `match` of an agent: which processes become it without being started through `enforcer run`.
//!
//! Reads and checks what a bundle says; finding files, users and cgroups on a host is the daemon's. What can
//! match nothing on any host is refused, and so is an entry that two agents claim: nobody is guessed at.

use std::collections::BTreeSet;
use std::ops::Range;

use crate::model::limits::{
    CGROUP_NAME_BYTES_MAX, CONTAINER_PLACES, PATH_BYTES_MAX, PLACES_MAX, SELECTORS_MAX,
};
use crate::model::{AgentName, Capture};

use super::container::Container;
use super::diagnostic::Diagnostic;
use super::hosts::HostPattern;
use super::sheet::{Section, Sheet, Word};

/// One entry of `match`. A process that everything in it describes belongs to the agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Selector {
    /// Absolute path of the program's file; symbolic links are followed on the host.
    pub exe: Option<String>,
    /// What the file of `exe` has to hash to.
    pub sha256: Option<[u8; 32]>,
    /// Name of a systemd unit.
    pub unit: Option<String>,
    /// Path of a cgroup below the root of cgroup v2; what is below it is meant, too.
    pub cgroup: Option<String>,
    /// A container.
    pub container: Option<Container>,
    /// Name or number of the real user.
    pub user: Option<String>,
    /// Name or number of the real group.
    pub group: Option<String>,
    /// Absolute path of the parent's program.
    pub parent: Option<String>,
}

impl Selector {
    /// How many entries it takes on a host: a container that is named may be one of several runtimes'.
    fn entry_count(&self) -> usize {
        self.container.as_ref().map_or(1, container_places)
    }

    /// How many keys an entry has: one with more of them says more.
    #[must_use]
    pub fn key_count(&self) -> usize {
        let texts = [&self.exe, &self.unit, &self.cgroup, &self.user, &self.group, &self.parent];
        let given = texts.into_iter().filter(|text| text.is_some()).count();
        given + usize::from(self.sha256.is_some()) + usize::from(self.container.is_some())
    }
}

/// What the entries of all agents claim.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Entries, with the agent that each stands for.
    pub(super) selectors: Vec<(AgentName, Selector)>,
    /// The agent that any process is which no entry describes.
    pub(super) any: Option<AgentName>,
    /// Where the first agent says that it captures endpoints only.
    pub(super) captures_endpoints: Option<Range<usize>>,
}

const KEYS: &[&str] =
    &["exe", "sha256", "unit", "cgroup", "container", "user", "group", "parent", "any"];
/// What a unit's name ends in when processes live in it (systemd.unit(5)).
const UNIT_SUFFIXES: &[&str] = &[".service", ".scope", ".slice"];
const SHA256_DIGITS: usize = 64;

/// Reads `match` and `capture` of an agent.
pub(super) fn read(
    sheet: &mut Sheet<'_>,
    agent: &Word,
    section: &Section<'_>,
    claims: &mut Claims,
) -> Capture {
    let (capture, span) = read_capture(sheet, section);
    if let Some(span) = span {
        if !section.table.contains_key("match") {
            sheet
                .error(span.clone(), "capture `endpoints` without `match` would have no effect")
                .help = Some("what `enforcer run` starts is guarded as a whole".to_owned());
        }
        claims.captures_endpoints.get_or_insert(span);
    }
    if let Some(span) = sheet.empty_array(section, "match") {
        sheet.error(span, "a `match` without an entry can match nothing").help = Some(format!(
            "leave it out: `{0}` is then what `enforcer run --agent {0} -- CMD` starts",
            agent.text
        ));
    }
    for entry in sheet.listed(section, "match") {
        let name = AgentName::new(agent.text.clone());
        match read_entry(sheet, &entry, capture) {
            Some(selector) if selector.key_count() == 0 => {
                claim_any(sheet, claims, name, entry.head);
            }
            Some(selector) => claim(sheet, claims, name, selector, entry.head),
            None => {}
        }
    }
    capture
}

/// `capture`, and where it stands if only endpoints are captured.
fn read_capture(sheet: &mut Sheet<'_>, section: &Section<'_>) -> (Capture, Option<Range<usize>>) {
    let Some(capture) = sheet.text(section, "capture") else { return (Capture::All, None) };
    let known = [Capture::All, Capture::Endpoints];
    match known.into_iter().find(|known| known.as_str() == capture.text) {
        Some(Capture::Endpoints) => (Capture::Endpoints, Some(capture.span)),
        Some(Capture::All) => (Capture::All, None),
        None => {
            let message = format!("unknown capture `{}`", capture.text);
            let found = Diagnostic::error(sheet.file, capture.span.clone(), message);
            sheet.push(found.suggest(&capture.text, known.map(Capture::as_str)));
            (Capture::All, None)
        }
    }
}

/// Where only connections to endpoints are captured, these have to have names that can be looked up.
pub(super) fn check_endpoints<'h>(
    sheet: &mut Sheet<'_>,
    claims: &Claims,
    mut hosts: impl Iterator<Item = &'h HostPattern>,
) {
    let Some(span) = &claims.captures_endpoints else { return };
    if hosts.any(|host| host.exact().is_some()) {
        return;
    }
    let message = "capture `endpoints` can take nothing: no endpoint has a host without a wildcard";
    sheet.error(span.clone(), message).help =
        Some("an endpoint is known by the addresses of its names".to_owned());
}

/// An entry, without a key for `any`; none when something about it was reported.
fn read_entry(sheet: &mut Sheet<'_>, entry: &Section<'_>, capture: Capture) -> Option<Selector> {
    let before = sheet.found.len();
    sheet.only(entry, KEYS);
    if entry.table.is_empty() {
        sheet.error(entry.head.clone(), "an entry without a key can match nothing").help =
            Some(format!("known: {}", KEYS.join(", ")));
    }
    let selector = Selector {
        exe: read_path(sheet, entry, "exe"),
        sha256: read_sha256(sheet, entry),
        unit: read_unit(sheet, entry),
        cgroup: read_cgroup(sheet, entry),
        container: read_container(sheet, entry),
        user: read_account(sheet, entry, "user"),
        group: read_account(sheet, entry, "group"),
        parent: read_path(sheet, entry, "parent"),
    };
    refuse_root(sheet, entry, &selector);
    check_any(sheet, entry, capture);
    (sheet.found.len() == before).then_some(selector)
}

fn read_path(sheet: &mut Sheet<'_>, entry: &Section<'_>, key: &str) -> Option<String> {
    let word = sheet.text(entry, key)?;
    let why = if !word.text.starts_with('/') {
        "only an absolute path names a file"
    } else if word.text.ends_with('/') {
        "a folder is no program"
    } else if word.text.contains('*') {
        "a path is not a pattern; name each program in an entry of its own"
    } else if word.text.contains('\0') || word.text.len() > PATH_BYTES_MAX {
        "no file has such a path"
    } else {
        return Some(word.text);
    };
    refuse(sheet, &word, key, why);
    None
}

fn read_sha256(sheet: &mut Sheet<'_>, entry: &Section<'_>) -> Option<[u8; 32]> {
    let word = sheet.text(entry, "sha256")?;
    if !entry.table.contains_key("exe") {
        sheet.error(word.span.clone(), "`sha256` without `exe` can match nothing").help =
            Some("say which file has to have this hash: `exe = \"/path\"`".to_owned());
    }
    let hash = from_hex(&word.text);
    if hash.is_none() {
        refuse(sheet, &word, "sha256", &format!("needs {SHA256_DIGITS} hexadecimal digits"));
    }
    hash
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let is_hex = text.len() == SHA256_DIGITS && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut hash = [0; 32];
    for (index, byte) in hash.iter_mut().enumerate() {
        let digits = is_hex.then(|| text.get(index * 2..index * 2 + 2)).flatten()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(hash)
}

fn read_unit(sheet: &mut Sheet<'_>, entry: &Section<'_>) -> Option<String> {
    let word = sheet.text(entry, "unit")?;
    let suffix = UNIT_SUFFIXES.iter().find(|suffix| word.text.ends_with(**suffix));
    let name = suffix.and_then(|suffix| word.text.strip_suffix(suffix)).unwrap_or_default();
    let why = if word.text.contains(['/', '*', '\0']) {
        "the name of a unit is neither a path nor a pattern"
    } else if name.is_empty() {
        "processes live in units that end in `.service`, `.scope` or `.slice`"
    } else if name.ends_with('@') {
        "a template has no processes; its instances have"
    } else if word.text.len() > CGROUP_NAME_BYTES_MAX {
        "longer than what can be compared in the kernel"
    } else {
        return Some(word.text);
    };
    refuse(sheet, &word, "unit", why);
    None
}

fn read_cgroup(sheet: &mut Sheet<'_>, entry: &Section<'_>) -> Option<String> {
    let word = sheet.text(entry, "cgroup")?;
    let Some(below_root) = word.text.strip_prefix('/') else {
        refuse(sheet, &word, "cgroup", "begins with `/`, the root of cgroup v2");
        return None;
    };
    let is_name = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(['*', '\0']);
    let why = if below_root.is_empty() {
        "every process is in the root; an agent is some of them"
    } else if !below_root.split('/').all(is_name) {
        "no cgroup has such a path"
    } else if word.text.len() > CGROUP_NAME_BYTES_MAX {
        "longer than what can be compared in the kernel"
    } else {
        return Some(word.text);
    };
    refuse(sheet, &word, "cgroup", why);
    None
}

fn read_container(sheet: &mut Sheet<'_>, entry: &Section<'_>) -> Option<Container> {
    let word = sheet.text(entry, "container")?;
    match Container::parse(&word.text) {
        Ok(container) => Some(container),
        Err(why) => {
            refuse(sheet, &word, "container", why);
            None
        }
    }
}

/// A user or a group: as it stands in passwd(5) and group(5), or its number.
fn read_account(sheet: &mut Sheet<'_>, entry: &Section<'_>, key: &str) -> Option<String> {
    let word = sheet.text(entry, key)?;
    let is_number = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    let is_outside = |text: &str| text.parse::<u32>().is_ok_and(|number| number < u32::MAX);
    let why = if is_number && !is_outside(&word.text) {
        "larger than any number of a user or group"
    } else if word.text.is_empty() || word.text.contains([':', '*', '/', '\0', ' ', '\n']) {
        "nobody has such a name"
    } else {
        return Some(word.text);
    };
    refuse(sheet, &word, key, why);
    None
}

fn refuse(sheet: &mut Sheet<'_>, word: &Word, key: &str, why: &str) {
    let message = format!("{key} `{}` can match nothing", word.text);
    sheet.push(Diagnostic::error(sheet.file, word.span.clone(), message).label(why));
}

/// SECURITY: as root run the shells, the services and the tools of whoever looks after the host; they would be
/// guarded, and could not look after Enforcer any more.
fn refuse_root(sheet: &mut Sheet<'_>, entry: &Section<'_>, selector: &Selector) {
    let is_root = |account: &Option<String>| {
        account.as_deref().is_none_or(|name| name == "root" || name == "0")
    };
    let names_more = [&selector.exe, &selector.unit, &selector.cgroup, &selector.parent];
    let has_account = selector.user.is_some() || selector.group.is_some();
    let is_alone = names_more.into_iter().all(Option::is_none) && selector.container.is_none();
    if has_account && is_alone && is_root(&selector.user) && is_root(&selector.group) {
        sheet.error(entry.head.clone(), "root alone is the host itself, not an agent").help = Some(
            "say which of its processes: `exe`, `unit`, `cgroup`, `container` or `parent`"
                .to_owned(),
        );
    }
}

fn check_any(sheet: &mut Sheet<'_>, entry: &Section<'_>, capture: Capture) {
    let Some((key, _)) = entry.table.get_key_value("any") else { return };
    let span = key.span();
    match sheet.boolean(entry, "any") {
        Some(false) => {
            sheet.error(span, "`any = false` can match nothing").help =
                Some("remove it".to_owned());
        }
        Some(true) if entry.table.len() > 1 => {
            sheet.error(span, "`any` stands alone: the other keys would mean nothing").help =
                Some("remove `any`, or the other keys".to_owned());
        }
        Some(true) if capture == Capture::All => {
            sheet.error(span, "`any` needs `capture = \"endpoints\"`").help = Some(
                "otherwise every process of the host would be an agent, Enforcer too".to_owned(),
            );
        }
        Some(true) | None => {}
    }
}

fn claim_any(sheet: &mut Sheet<'_>, claims: &mut Claims, agent: AgentName, span: Range<usize>) {
    if let Some(owner) = &claims.any {
        let message = format!("any other process is agent `{owner}` already");
        let found = Diagnostic::error(sheet.file, span, message);
        sheet.push(found.label("claimed again here"));
        return;
    }
    claims.any = Some(agent);
}

/// SECURITY: which agent a process is must not depend on the order of a file.
fn claim(
    sheet: &mut Sheet<'_>,
    claims: &mut Claims,
    agent: AgentName,
    selector: Selector,
    span: Range<usize>,
) {
    let same = claims.selectors.iter().find(|(_, other)| *other == selector);
    if let Some((owner, _)) = same {
        let message = if *owner == agent {
            format!("agent `{agent}` has this entry twice")
        } else {
            format!("this entry belongs to agent `{owner}` already")
        };
        let found = Diagnostic::error(sheet.file, span, message);
        sheet.push(found.label("claimed again here"));
        return;
    }
    let taken = |selectors: &[(AgentName, Selector)]| -> usize {
        selectors.iter().map(|(_, entry)| entry.entry_count()).sum()
    };
    let before = taken(&claims.selectors);
    if before <= SELECTORS_MAX && before + selector.entry_count() > SELECTORS_MAX {
        let message = format!("more than {SELECTORS_MAX} entries of `match` in one bundle");
        sheet.error(span.clone(), message).help =
            Some("every start of a program is compared with each of them".to_owned());
    }
    let before = place_count(claims);
    claims.selectors.push((agent, selector));
    // Told once, at the entry that is too much.
    if before <= PLACES_MAX && place_count(claims) > PLACES_MAX {
        let message = format!("more than {PLACES_MAX} units, cgroups and containers in one bundle");
        sheet.error(span, message).help =
            Some("name a slice or a cgroup that holds several of them".to_owned());
    }
}

/// Names of cgroups that the entries ask for.
fn place_count(claims: &Claims) -> usize {
    let entries = || claims.selectors.iter().map(|(_, entry)| entry);
    let named = entries().flat_map(|entry| [&entry.unit, &entry.cgroup]);
    let places: BTreeSet<&String> = named.flatten().collect();
    let containers: BTreeSet<&Container> =
        entries().filter_map(|entry| entry.container.as_ref()).collect();
    places.len() + containers.into_iter().map(container_places).sum::<usize>()
}

const fn container_places(container: &Container) -> usize {
    match container {
        Container::Id(_) => 1,
        Container::Name(_) => CONTAINER_PLACES,
    }
}

/// The entries in the order in which they are tried: what says more goes first, then by name of the agent.
pub(in crate::policy) fn in_order(
    mut all: Vec<(AgentName, Selector)>,
) -> Vec<(AgentName, Selector)> {
    all.sort_by(|(left_agent, left), (right_agent, right)| {
        let more = right.key_count().cmp(&left.key_count());
        more.then_with(|| left_agent.cmp(right_agent)).then_with(|| left.cmp(right))
    });
    all
}

#[cfg(test)]
mod tests {
    use super::super::sources::SourceFile;
    use super::*;

    fn of(exe: Option<&str>, user: Option<&str>) -> Selector {
        let text = |text: Option<&str>| text.map(str::to_owned);
        Selector { exe: text(exe), user: text(user), ..Selector::default() }
    }

    #[test]
    fn what_says_more_is_tried_first_wherever_it_stands() {
        let all = vec![
            (AgentName::new("b"), of(None, Some("svc"))),
            (AgentName::new("c"), of(Some("/x"), Some("svc"))),
            (AgentName::new("a"), of(Some("/x"), None)),
        ];
        let mut backwards = all.clone();
        backwards.reverse();
        let names: Vec<String> =
            in_order(all.clone()).iter().map(|(agent, _)| agent.to_string()).collect();
        assert_eq!(names, ["c", "a", "b"]);
        assert_eq!(in_order(all), in_order(backwards));
    }

    #[test]
    fn more_entries_or_places_than_the_kernel_has_room_for_are_refused_once() {
        let check = |key: &str, count: usize, expect: &[&str]| {
            let entries: Vec<String> =
                (0..count).map(|number| format!("{{ {key} = \"/a{number}\" }}")).collect();
            let text = format!(
                "version = 1\nmode = \"enforce\"\n[agents.a]\nmatch = [{}]\n",
                entries.join(", ")
            );
            let file = SourceFile { path: "policy.toml".to_owned(), text };
            let mut found = Vec::new();
            super::super::inventory::read(&file, &mut found);
            let messages: Vec<&str> = found.iter().map(|found| found.message.as_str()).collect();
            assert_eq!(messages, expect, "{count} of {key}");
        };
        check("exe", SELECTORS_MAX, &[]);
        check("exe", SELECTORS_MAX + 1, &["more than 64 entries of `match` in one bundle"]);
        check("cgroup", PLACES_MAX, &[]);
        check(
            "cgroup",
            PLACES_MAX + 2,
            &["more than 32 units, cgroups and containers in one bundle"],
        );
    }

    #[test]
    fn a_hash_is_64_digits() {
        assert_eq!(from_hex(&"0f".repeat(32)), Some([15; 32]));
        for wrong in ["", "0f", &"0g".repeat(32), &"0f".repeat(33), &"ä".repeat(32)] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
