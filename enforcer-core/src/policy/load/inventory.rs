// SPDX-License-Identifier: Apache-2.0 OR MIT
//! `policy.toml`: who the agents are, what the endpoints are, how to mask.
//!
//! Every section of the language is read strictly. What this version cannot act on is refused with its
//! place: a policy must not look on while it cannot act. Names of broken entries are kept, and where some may have
//! been lost it is known, so that rules which use them are not reported a second time.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use crate::mask::{Builtin, DetectorKind, DetectorSet, DetectorSpec, Style};
use crate::model::{
    AgentName, ApprovalName, BudgetName, Capture, CredentialName, DetectorName, EndpointName,
    LaunchMode, MaskName, Mode, RecordDepth,
};

use super::diagnostic::Diagnostic;
use super::hosts::{HostPattern, Hosts};
use super::sections::{Approval, Budget, Credential, Entry, Sections};
use super::selector::{Claims, Selector};
use super::sheet::{Partial, Section, Sheet, Word};
use super::sources::SourceFile;
use super::{environment, sections, selector, sheet};

/// What is spoken on an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The Anthropic API.
    Anthropic,
    /// HTTP without a codec: method and path are all that is known.
    Http,
    /// The OpenAI API, also as Azure and compatible servers have it.
    OpenAi,
}

impl Protocol {
    /// The word of the language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::Http => "http",
            Self::OpenAi => "openai",
        }
    }
}

/// Whether connections of an endpoint are opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Opened, understood, judged by content.
    Inspect,
    /// Judged by name only and spliced.
    Passthrough,
}

/// A named destination.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in rules.
    pub name: EndpointName,
    /// Host patterns.
    pub hosts: Vec<HostPattern>,
    /// Ports; 443 unless given.
    pub ports: Vec<u16>,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Whether it is opened.
    pub tls: Tls,
    /// Groups it is in.
    pub groups: Vec<String>,
}

impl Endpoint {
    /// What stands for a destination that no endpoint names, in observe mode: no rule is about it, so
    /// everything there would be denied.
    #[must_use]
    pub fn unnamed(port: u16) -> Self {
        Self {
            name: EndpointName::new("-"),
            hosts: Vec::new(),
            ports: vec![port],
            protocol: Protocol::Http,
            tls: Tls::Inspect,
            groups: Vec::new(),
        }
    }
}

/// A named way of masking.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Mask {
    pub(in crate::policy) detectors: Vec<DetectorName>,
    pub(in crate::policy) style: Style,
    pub(in crate::policy) span: Range<usize>,
}

/// Groups, way of being started, variables, how much of its egress is taken, and place of an agent.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Agent {
    pub(in crate::policy) groups: Vec<String>,
    pub(in crate::policy) launch: LaunchMode,
    pub(in crate::policy) environment: environment::Names,
    pub(in crate::policy) capture: Capture,
    pub(in crate::policy) span: Range<usize>,
}

/// What an inventory names, by the key that it stands under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::policy) enum Named {
    Agents,
    Approvals,
    Budgets,
    Credentials,
    Detectors,
    Endpoints,
    /// Groups of agents and of endpoints.
    Groups,
    Masks,
}

impl Named {
    const ALL: [Self; 8] = [
        Self::Agents,
        Self::Approvals,
        Self::Budgets,
        Self::Credentials,
        Self::Detectors,
        Self::Endpoints,
        Self::Groups,
        Self::Masks,
    ];

    const fn key(self) -> &'static str {
        match self {
            Self::Agents => "agents",
            Self::Approvals => "approvals",
            Self::Budgets => "budgets",
            Self::Credentials => "credentials",
            Self::Detectors => "detectors",
            Self::Endpoints => "endpoints",
            Self::Groups => "groups",
            Self::Masks => "masks",
        }
    }

    /// One of them, in words.
    pub(in crate::policy) const fn what(self) -> &'static str {
        match self {
            Self::Agents => "agent",
            Self::Approvals => "approval",
            Self::Budgets => "budget",
            Self::Credentials => "credential",
            Self::Detectors => "detector",
            Self::Endpoints => "endpoint",
            Self::Groups => "group",
            Self::Masks => "mask",
        }
    }
}

/// The checked inventory.
#[derive(Debug, Default)]
pub(in crate::policy) struct Inventory {
    /// Nothing was wrong with it.
    pub(super) is_sound: bool,
    /// What is named by which some entries may be missing here, though not in the file.
    gaps: BTreeSet<Named>,
    pub(in crate::policy) mode: Mode,
    /// How much is kept where no rule says so.
    pub(in crate::policy) record: RecordDepth,
    pub(in crate::policy) agents: BTreeMap<AgentName, Agent>,
    pub(in crate::policy) groups: BTreeSet<String>,
    /// Entries of `match`, with the agent that each stands for.
    pub(in crate::policy) selectors: Vec<(AgentName, Selector)>,
    /// The agent that any process is which no entry describes.
    pub(in crate::policy) any: Option<AgentName>,
    /// Where the first agent says that it captures endpoints only.
    pub(in crate::policy) captures_endpoints: Option<Range<usize>>,
    pub(in crate::policy) endpoints: Vec<Endpoint>,
    pub(in crate::policy) endpoint_spans: Vec<Range<usize>>,
    pub(in crate::policy) endpoint_groups: BTreeSet<String>,
    pub(in crate::policy) hosts: Hosts,
    /// Pattern of each detector of the bundle.
    pub(in crate::policy) detectors: BTreeMap<DetectorName, String>,
    pub(in crate::policy) masks: BTreeMap<MaskName, Mask>,
    pub(in crate::policy) budgets: BTreeMap<BudgetName, Entry<Budget>>,
    pub(in crate::policy) approvals: BTreeMap<ApprovalName, Entry<Approval>>,
    pub(in crate::policy) credentials: BTreeMap<CredentialName, Entry<Credential>>,
}

/// Said of everything in the language that cannot be acted on yet.
pub(super) const LATER: &str = "not supported by this version yet";
const TOP_KEYS: &[&str] = &[
    "version",
    "mode",
    "record",
    "agents",
    "endpoints",
    "detectors",
    "masks",
    "budgets",
    "approvals",
    "credentials",
];
/// Detectors of the language that this version does not have.
const DETECTORS_LATER: &[&str] = &["iban", "phone", "us-ssn"];
/// Protocols of the language that this version does not speak.
const PROTOCOLS_LATER: &[&str] =
    &["gemini", "grpc", "mcp", "mysql", "pinecone", "postgres", "qdrant", "websocket"];

/// Reads and checks the inventory: as much of it as is TOML.
pub(in crate::policy) fn read(file: &SourceFile, found: &mut Vec<Diagnostic>) -> Inventory {
    let Partial { table, trust, errors } = sheet::parse_partly(file);
    let top = Section { table: table.get_ref(), head: 0..0 };
    let mut sheet = Sheet::partly(file, trust);
    sheet.only(&top, TOP_KEYS);
    read_version(&mut sheet, &top);
    let (mode, record) = (read_mode(&mut sheet, &top), read_record(&mut sheet, &top));
    let mut inventory = Inventory { mode, record, ..Inventory::default() };
    let mut claims = Claims::default();
    read_agents(&mut sheet, &top, &mut inventory, &mut claims);
    read_endpoints(&mut sheet, &top, &mut inventory);
    if sheet.has_all(Named::Endpoints.key()) {
        let hosts = inventory.endpoints.iter().flat_map(|endpoint| &endpoint.hosts);
        selector::check_endpoints(&mut sheet, &claims, hosts);
    }
    read_detectors(&mut sheet, &top, &mut inventory);
    read_masks(&mut sheet, &top, &mut inventory);
    let Sections { budgets, approvals, credentials } = sections::read(&mut sheet, &top);
    let Claims { selectors, any, captures_endpoints } = claims;
    let selectors = selector::in_order(selectors);
    inventory = Inventory {
        selectors,
        any,
        captures_endpoints,
        budgets,
        approvals,
        credentials,
        ..inventory
    };
    inventory.is_sound = errors.is_empty() && sheet.found.is_empty();
    inventory.gaps.extend(Named::ALL.iter().filter(|named| !sheet.has_all(named.key())));
    found.extend(errors);
    found.extend(sheet.finish());
    inventory
}

fn read_version(sheet: &mut Sheet<'_>, top: &Section<'_>) {
    if !top.table.contains_key("version") {
        sheet.missing(top, "version");
    }
    if let Some((version, span)) = sheet.integer(top, "version")
        && version != 1
    {
        sheet.error(span, format!("unknown version `{version}` of the policy language")).help =
            Some("this version of Enforcer reads `version = 1`".to_owned());
    }
}

fn read_mode(sheet: &mut Sheet<'_>, top: &Section<'_>) -> Mode {
    let Some(mode) = sheet.text(top, "mode") else { return Mode::Enforce };
    match mode.text.as_str() {
        "enforce" => Mode::Enforce,
        "observe" => Mode::Observe,
        other => {
            unknown(sheet, &mode, &format!("unknown mode `{other}`"), &["enforce", "observe"]);
            Mode::Enforce
        }
    }
}

fn read_record(sheet: &mut Sheet<'_>, top: &Section<'_>) -> RecordDepth {
    let Some(record) = sheet.text(top, "record") else { return RecordDepth::default() };
    let depth = RecordDepth::from_name(&record.text);
    if depth.is_none() {
        let message = format!("unknown record `{}`", record.text);
        unknown(sheet, &record, &message, &RecordDepth::ALL.map(RecordDepth::as_str));
    }
    depth.unwrap_or_default()
}

fn unknown(sheet: &mut Sheet<'_>, word: &Word, message: &str, known: &[&str]) {
    let found = Diagnostic::error(sheet.file, word.span.clone(), message);
    sheet.push(found.suggest(&word.text, known.iter().copied()));
}

fn read_agents(
    sheet: &mut Sheet<'_>,
    top: &Section<'_>,
    inventory: &mut Inventory,
    claims: &mut Claims,
) {
    for (name, section) in sheet.named(top, "agents") {
        let keys = ["match", "groups", "capture", "launch"];
        sheet.only(&section, &[&keys[..], &environment::KEYS].concat());
        let capture = selector::read(sheet, &name, &section, claims);
        let launch = read_launch(sheet, &section);
        let groups = read_groups(sheet, &section);
        inventory.groups.extend(groups.iter().cloned());
        let environment = environment::read(sheet, &section);
        let agent = Agent { groups, launch, environment, capture, span: name.span };
        inventory.agents.insert(AgentName::new(name.text), agent);
    }
}

fn read_launch(sheet: &mut Sheet<'_>, section: &Section<'_>) -> LaunchMode {
    let Some(launch) = sheet.text(section, "launch") else { return LaunchMode::default() };
    let known = [LaunchMode::Confined, LaunchMode::Plain];
    let found = known.into_iter().find(|mode| mode.as_str() == launch.text);
    if found.is_none() {
        let message = format!("unknown launch `{}`", launch.text);
        unknown(sheet, &launch, &message, &known.map(LaunchMode::as_str));
    }
    found.unwrap_or_default()
}

fn read_groups(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Vec<String> {
    let words = sheet.texts(section, "groups").unwrap_or_default();
    for word in &words {
        sheet.check_name(word);
    }
    words.into_iter().map(|word| word.text).collect()
}

fn read_endpoints(sheet: &mut Sheet<'_>, top: &Section<'_>, inventory: &mut Inventory) {
    for (name, section) in sheet.named(top, "endpoints") {
        sheet.only(&section, &["hosts", "ports", "protocol", "tls", "groups"]);
        let tls = read_tls(sheet, &section);
        let protocol = read_protocol(sheet, &section, tls);
        let ports = read_ports(sheet, &section);
        let hosts = read_hosts(sheet, &section);
        let groups = read_groups(sheet, &section);
        inventory.endpoint_groups.extend(groups.iter().cloned());
        claim(sheet, inventory, &hosts, &ports);
        let hosts = hosts.into_iter().map(|(pattern, _)| pattern).collect();
        let endpoint =
            Endpoint { name: EndpointName::new(name.text), hosts, ports, protocol, tls, groups };
        inventory.endpoints.push(endpoint);
        inventory.endpoint_spans.push(name.span);
    }
}

fn claim(
    sheet: &mut Sheet<'_>,
    inventory: &mut Inventory,
    hosts: &[(HostPattern, Range<usize>)],
    ports: &[u16],
) {
    let index = inventory.endpoints.len();
    for (pattern, span) in hosts {
        for port in ports {
            let Some(other) = inventory.hosts.claim(pattern, *port, index) else { continue };
            let owner = inventory.endpoints.get(other).map(|endpoint| endpoint.name.as_str());
            let message = match owner {
                Some(owner) => {
                    format!("host `{pattern}` at port {port} belongs to endpoint `{owner}` already")
                }
                None => format!("host `{pattern}` at port {port} is named twice"),
            };
            let found = Diagnostic::error(sheet.file, span.clone(), message);
            sheet.push(found.label("claimed again here"));
        }
    }
}

fn read_hosts(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Vec<(HostPattern, Range<usize>)> {
    if !section.table.contains_key("hosts") {
        sheet.missing(section, "hosts");
    }
    let Some(words) = sheet.texts(section, "hosts") else { return Vec::new() };
    if let Some(span) = sheet.empty_array(section, "hosts") {
        sheet.error(span, "an endpoint needs at least one host");
    }
    let mut hosts = Vec::new();
    for word in words {
        match HostPattern::parse(&word.text) {
            Ok(pattern) => hosts.push((pattern, word.span)),
            Err(why) => {
                let found = Diagnostic::error(
                    sheet.file,
                    word.span,
                    format!("host `{}` cannot be used", word.text),
                );
                sheet.push(found.label(why));
            }
        }
    }
    hosts
}

fn read_ports(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Vec<u16> {
    let Some(numbers) = sheet.integers(section, "ports") else { return vec![443] };
    let mut ports = Vec::new();
    for (number, span) in numbers {
        match u16::try_from(number) {
            Ok(port) if port > 0 => ports.push(port),
            _ => {
                sheet.error(span, format!("`{number}` is not a port")).help =
                    Some("1 to 65535".to_owned());
            }
        }
    }
    if let Some(span) = sheet.empty_array(section, "ports") {
        sheet.error(span, "an endpoint without a port can match nothing").help =
            Some("leave `ports` out for 443".to_owned());
    }
    ports
}

fn read_tls(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Tls {
    let Some(tls) = sheet.text(section, "tls") else { return Tls::Inspect };
    match tls.text.as_str() {
        "inspect" => Tls::Inspect,
        "passthrough" => Tls::Passthrough,
        other => {
            let message = format!("unknown tls `{other}`");
            unknown(sheet, &tls, &message, &["inspect", "passthrough"]);
            Tls::Inspect
        }
    }
}

fn read_protocol(sheet: &mut Sheet<'_>, section: &Section<'_>, tls: Tls) -> Protocol {
    let Some(protocol) = sheet.text(section, "protocol") else { return Protocol::Http };
    if tls == Tls::Passthrough {
        sheet
            .error(
                protocol.span.clone(),
                "a passed-through endpoint is never opened, so its protocol cannot be judged",
            )
            .help = Some("remove `protocol`, or `tls = \"passthrough\"`".to_owned());
    }
    match protocol.text.as_str() {
        "anthropic" => Protocol::Anthropic,
        "http" => Protocol::Http,
        "openai" => Protocol::OpenAi,
        later if PROTOCOLS_LATER.contains(&later) => {
            sheet.error(protocol.span.clone(), format!("protocol `{later}` is {LATER}")).help =
                Some("this version speaks `anthropic`, `openai` and `http`".to_owned());
            Protocol::Http
        }
        other => {
            unknown(
                sheet,
                &protocol,
                &format!("unknown protocol `{other}`"),
                &["anthropic", "http", "openai"],
            );
            Protocol::Http
        }
    }
}

fn read_detectors(sheet: &mut Sheet<'_>, top: &Section<'_>, inventory: &mut Inventory) {
    for (name, section) in sheet.named(top, "detectors") {
        sheet.only(&section, &["pattern"]);
        if Builtin::from_name(&name.text).is_some() || DETECTORS_LATER.contains(&name.text.as_str())
        {
            let message =
                format!("detector `{}` is built in and cannot be defined again", name.text);
            sheet.error(name.span.clone(), message);
        }
        if !section.table.contains_key("pattern") {
            sheet.missing(&section, "pattern");
        }
        let pattern = sheet.text(&section, "pattern");
        if let Some(pattern) = &pattern
            && let Some(sign) = pattern.text.chars().find(|c| c.is_control())
        {
            let message = format!("the pattern looks for the control character {sign:?}");
            sheet.error(pattern.span.clone(), message).help =
                Some("use single quotes: in double quotes `\\b` is a backspace".to_owned());
        }
        let detector = DetectorName::new(name.text);
        if let Some(pattern) = &pattern {
            let kind = DetectorKind::Pattern(pattern.text.clone());
            let spec = DetectorSpec { name: detector.clone(), kind };
            if let Err(error) = DetectorSet::compile(vec![spec]) {
                let message = format!("pattern of detector `{detector}` cannot be used");
                let found = Diagnostic::error(sheet.file, pattern.span.clone(), message);
                let text = chain(&error);
                let why = text.split_once("`: ").map_or(text.as_str(), |(_, why)| why);
                sheet.push(found.label("this pattern").help(why));
            }
        }
        let pattern = pattern.map(|word| word.text).unwrap_or_default();
        inventory.detectors.insert(detector, pattern);
    }
}

/// An error and everything that caused it, as one text.
pub(in crate::policy) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn read_masks(sheet: &mut Sheet<'_>, top: &Section<'_>, inventory: &mut Inventory) {
    for (name, section) in sheet.named(top, "masks") {
        sheet.only(&section, &["detectors", "style"]);
        if !section.table.contains_key("detectors") {
            sheet.missing(&section, "detectors");
        }
        let words = sheet.texts(&section, "detectors").unwrap_or_default();
        if let Some(span) = sheet.empty_array(&section, "detectors") {
            let message = format!("mask `{}` has no detector, so it would mask nothing", name.text);
            sheet.error(span, message);
        }
        for word in &words {
            check_detector(sheet, word, inventory);
        }
        let mask = Mask {
            detectors: words.into_iter().map(|word| DetectorName::new(word.text)).collect(),
            style: read_style(sheet, &section),
            span: name.span,
        };
        inventory.masks.insert(MaskName::new(name.text), mask);
    }
}

fn check_detector(sheet: &mut Sheet<'_>, word: &Word, inventory: &Inventory) {
    let known = inventory.detector_names();
    if !sheet.has_all(Named::Detectors.key()) || known.iter().any(|name| name.as_str() == word.text)
    {
        return;
    }
    let known: Vec<&str> = known.iter().map(DetectorName::as_str).collect();
    if DETECTORS_LATER.contains(&word.text.as_str()) {
        sheet.error(word.span.clone(), format!("detector `{}` is {LATER}", word.text)).help =
            Some("define it under [detectors] with a `pattern` of your own name".to_owned());
    } else {
        unknown(sheet, word, &format!("unknown detector `{}`", word.text), &known);
    }
}

fn read_style(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Style {
    let Some(style) = sheet.text(section, "style") else { return Style::Label };
    match style.text.as_str() {
        "label" => Style::Label,
        "hash" => Style::Hash,
        "partial" => Style::Partial,
        "token" => {
            sheet.error(style.span, format!("style `token` is {LATER}")).help =
                Some("this version masks with `label`, `hash` or `partial`".to_owned());
            Style::Label
        }
        other => {
            let message = format!("unknown style `{other}`");
            unknown(sheet, &style, &message, &["label", "hash", "partial"]);
            Style::Label
        }
    }
}

impl Inventory {
    /// What stands for an inventory that is not there: nothing is known to be missing.
    pub(in crate::policy) fn absent() -> Self {
        Self { gaps: Named::ALL.into_iter().collect(), ..Self::default() }
    }

    /// Whether what is not named here does not exist.
    pub(in crate::policy) fn has_all(&self, named: Named) -> bool {
        !self.gaps.contains(&named)
    }

    /// All detectors that this bundle may name: the built-in ones and its own.
    pub(in crate::policy) fn detector_names(&self) -> Vec<DetectorName> {
        let builtin = Builtin::ALL.iter().map(|builtin| DetectorName::new(builtin.name()));
        builtin.chain(self.detectors.keys().cloned()).collect()
    }

    /// How a detector is built.
    pub(in crate::policy) fn spec(&self, name: &DetectorName) -> Option<DetectorSpec> {
        let kind = match Builtin::from_name(name.as_str()) {
            Some(builtin) => DetectorKind::Builtin(builtin),
            None => DetectorKind::Pattern(self.detectors.get(name)?.clone()),
        };
        Some(DetectorSpec { name: name.clone(), kind })
    }
}
