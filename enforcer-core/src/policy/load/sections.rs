// SPDX-License-Identifier: Apache-2.0 OR MIT
//! The sections of `policy.toml` that obligations name: budgets, approvals, credentials.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use crate::model::limits;
use crate::model::{ApprovalName, BudgetName, CredentialName};

use super::diagnostic::Diagnostic;
use super::sheet::{Section, Sheet, Word};

/// What a budget is counted for: each of these has one of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    /// The agent of this name, whatever user runs it.
    Agent,
    /// The user that the process runs as.
    User,
    /// The endpoint.
    Endpoint,
    /// The host as a whole.
    Host,
}

impl Per {
    /// The word of the language.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::User => "user",
            Self::Endpoint => "endpoint",
            Self::Host => "host",
        }
    }
}

/// How much may be used in a window of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// What it is counted for.
    pub per: Per,
    /// Tokens, if they are counted.
    pub tokens: Option<u64>,
    /// Requests, if they are counted.
    pub requests: Option<u64>,
    /// Tokens that are reserved for the answer of a request that names no bound, for each choice.
    pub answer_tokens: u64,
    /// Length of a window; windows begin at whole multiples of it since the Unix epoch (UTC).
    pub window: Duration,
}

/// Who is asked, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Who may answer: `user:NAME` or `group:NAME` of the host.
    pub by: Vec<Approver>,
    /// How long a request waits for the answer.
    pub hold: Duration,
    /// How long the question stands; an answer in that time counts when the same is asked again.
    pub expire: Duration,
}

/// Who may answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approver {
    /// A user of the host.
    User(String),
    /// Every member of a group of the host.
    Group(String),
}

/// What is put into a request that the agent does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Where the secret is.
    pub secret: Secret,
    /// Header that carries it, lower case.
    pub header: String,
    /// Value of the header, with `{secret}` in it.
    pub value: String,
}

/// Where a secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Secret {
    /// A file.
    File(String),
    /// A variable in the environment of the daemon.
    Env(String),
    /// A credential of the unit of the daemon (`LoadCredential=`, systemd.exec(5)).
    Systemd(String),
}

/// An entry and its place.
#[derive(Clone, Debug)]
pub(in crate::policy) struct Entry<T> {
    pub(in crate::policy) value: T,
    pub(in crate::policy) span: Range<usize>,
}

/// What stands where in the value of a credential.
const SECRET: &str = "{secret}";

/// The three sections of an inventory.
#[derive(Debug, Default)]
pub(super) struct Sections {
    pub(super) budgets: BTreeMap<BudgetName, Entry<Budget>>,
    pub(super) approvals: BTreeMap<ApprovalName, Entry<Approval>>,
    pub(super) credentials: BTreeMap<CredentialName, Entry<Credential>>,
}

pub(super) fn read(sheet: &mut Sheet<'_>, top: &Section<'_>) -> Sections {
    let mut sections = Sections::default();
    for (name, section) in sheet.named(top, "budgets") {
        sheet.only(&section, &["per", "tokens", "requests", "answer_tokens", "window"]);
        let value = read_budget(sheet, &name, &section);
        let span = name.span;
        sections.budgets.insert(BudgetName::new(name.text), Entry { value, span });
    }
    for (name, section) in sheet.named(top, "approvals") {
        sheet.only(&section, &["by", "hold", "expire"]);
        let value = read_approval(sheet, &name, &section);
        let span = name.span;
        sections.approvals.insert(ApprovalName::new(name.text), Entry { value, span });
    }
    for (name, section) in sheet.named(top, "credentials") {
        sheet.only(&section, &["secret", "header", "value"]);
        let value = read_credential(sheet, &section);
        let span = name.span;
        sections.credentials.insert(CredentialName::new(name.text), Entry { value, span });
    }
    sections
}

fn read_budget(sheet: &mut Sheet<'_>, name: &Word, section: &Section<'_>) -> Budget {
    let per = read_per(sheet, section);
    let (tokens, requests) = (amount(sheet, section, "tokens"), amount(sheet, section, "requests"));
    if !["tokens", "requests"].iter().any(|key| section.table.contains_key(*key)) {
        let message = format!("budget `{}` limits nothing", name.text);
        sheet.error(name.span.clone(), message).help =
            Some("give it `tokens`, `requests` or both".to_owned());
    }
    let answer_tokens = amount(sheet, section, "answer_tokens");
    if let Some(span) = sheet.value_span(section, "answer_tokens")
        && !section.table.contains_key("tokens")
    {
        let message = format!("budget `{}` counts no tokens, so it reserves none", name.text);
        sheet.error(span, message).help = Some("give it `tokens`, too".to_owned());
    }
    if let (Some(answer), Some(tokens)) = (answer_tokens, tokens)
        && answer > tokens
        && let Some(span) = sheet.value_span(section, "answer_tokens")
    {
        let message = format!(
            "budget `{}` has {tokens} tokens and would reserve {answer} for one answer",
            name.text
        );
        let found = Diagnostic::error(sheet.file, span, message);
        let found = found.label("a request that names no bound would never go through");
        sheet.push(found.help("`answer_tokens` is at most `tokens`"));
    }
    let answer_tokens = answer_tokens.unwrap_or(limits::ANSWER_TOKENS_DEFAULT);
    let range = (limits::BUDGET_WINDOW_MIN, limits::BUDGET_WINDOW_MAX);
    let window = required_duration(sheet, section, "window", range);
    Budget { per, tokens, requests, answer_tokens, window }
}

fn read_per(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Per {
    if !section.table.contains_key("per") {
        sheet.missing(section, "per");
    }
    let Some(word) = sheet.text(section, "per") else { return Per::Agent };
    let known = [Per::Agent, Per::User, Per::Endpoint, Per::Host];
    if let Some(per) = known.into_iter().find(|per| per.as_str() == word.text) {
        return per;
    }
    if word.text == "fleet" {
        sheet
            .error(word.span, "a fleet budget needs a shared store, and none can be configured")
            .help = Some("`host` counts on this host alone".to_owned());
    } else {
        let found =
            Diagnostic::error(sheet.file, word.span, format!("unknown per `{}`", word.text));
        sheet.push(found.suggest(&word.text, known.map(Per::as_str)));
    }
    Per::Agent
}

fn amount(sheet: &mut Sheet<'_>, section: &Section<'_>, key: &str) -> Option<u64> {
    let (number, span) = sheet.integer(section, key)?;
    let amount = u64::try_from(number).ok().filter(|amount| *amount > 0);
    if amount.is_none() {
        sheet.error(span, format!("`{key}` is at least 1, not {number}")).help =
            Some("what may never happen is a `forbid`".to_owned());
    }
    amount
}

fn read_approval(sheet: &mut Sheet<'_>, name: &Word, section: &Section<'_>) -> Approval {
    if !section.table.contains_key("by") {
        sheet.missing(section, "by");
    }
    let words = sheet.texts(section, "by").unwrap_or_default();
    if let Some(span) = sheet.empty_array(section, "by") {
        let message = format!("nobody can answer approval `{}`", name.text);
        sheet.error(span, message).help = Some("`group:NAME` or `user:NAME`".to_owned());
    }
    let mut by = Vec::new();
    for word in words {
        match word.text.split_once(':') {
            Some(("group", name)) if is_account(name) => by.push(Approver::Group(name.to_owned())),
            Some(("user", name)) if is_account(name) => by.push(Approver::User(name.to_owned())),
            _ => {
                sheet.error(word.span, format!("`{}` names nobody", word.text)).help =
                    Some("`group:NAME` or `user:NAME`, as on this host".to_owned());
            }
        }
    }
    let hold = (limits::APPROVAL_HOLD_MIN, limits::APPROVAL_HOLD_MAX);
    let expire = (limits::APPROVAL_HOLD_MIN, limits::APPROVAL_EXPIRE_MAX);
    let hold = duration(sheet, section, "hold", hold).unwrap_or(limits::APPROVAL_HOLD);
    let expire = duration(sheet, section, "expire", expire).unwrap_or(limits::APPROVAL_EXPIRE);
    if expire < hold {
        let message = "the question ends before those who ask stop waiting";
        let span = sheet.value_span(section, "expire").unwrap_or_else(|| name.span.clone());
        sheet.error(span, message).help = Some("`expire` is at least as long as `hold`".to_owned());
    }
    Approval { by, hold, expire }
}

/// What user and group names may look like (useradd(8), with room for directory services).
fn is_account(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-@$".contains(&byte);
    !name.is_empty() && name.len() <= 256 && name.bytes().all(is_plain)
}

fn read_credential(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Credential {
    for key in ["secret", "header", "value"] {
        if !section.table.contains_key(key) {
            sheet.missing(section, key);
        }
    }
    let secret = read_secret(sheet, section);
    let header = sheet.text(section, "header");
    if let Some(word) = &header
        && let Some(why) = unusable_header(&word.text)
    {
        let message = format!("header `{}` cannot carry a credential", word.text);
        let found = Diagnostic::error(sheet.file, word.span.clone(), message);
        sheet.push(found.label(why));
    }
    let value = sheet.text(section, "value");
    if let Some(word) = &value {
        let is_plain = word.text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
        if !is_plain {
            sheet.error(word.span.clone(), "the value of a header is printable ASCII");
        } else if word.text.matches(SECRET).count() != 1 {
            sheet.error(word.span.clone(), "the value holds `{secret}` once").help =
                Some("for example `Bearer {secret}`".to_owned());
        }
    }
    let text = |word: Option<Word>| word.map(|word| word.text).unwrap_or_default();
    Credential { secret, header: text(header).to_ascii_lowercase(), value: text(value) }
}

fn read_secret(sheet: &mut Sheet<'_>, section: &Section<'_>) -> Secret {
    let none = || Secret::File(String::new());
    let Some(word) = sheet.text(section, "secret") else { return none() };
    match word.text.split_once(':') {
        Some(("file", path)) if path.starts_with('/') => Secret::File(path.to_owned()),
        Some(("env", name)) if is_account(name) => Secret::Env(name.to_owned()),
        Some(("systemd", name)) if is_account(name) => Secret::Systemd(name.to_owned()),
        _ => {
            sheet.error(word.span, format!("`{}` is no place of a secret", word.text)).help = Some(
                "`systemd:NAME`, `file:/PATH` or `env:NAME`; never the secret itself".to_owned(),
            );
            none()
        }
    }
}

/// Why a header may not be set by a credential.
fn unusable_header(name: &str) -> Option<&'static str> {
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > 64 || !name.bytes().all(is_token) {
        return Some("not the name of a header");
    }
    let taken = [
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let lower = name.to_ascii_lowercase();
    let is_taken = taken.contains(&lower.as_str()) || lower.starts_with("x-enforcer-");
    is_taken.then_some("belongs to the connection")
}

fn required_duration(
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    key: &str,
    range: (Duration, Duration),
) -> Duration {
    if !section.table.contains_key(key) {
        sheet.missing(section, key);
    }
    duration(sheet, section, key, range).unwrap_or(range.0)
}

/// A number and a unit: `90s`, `30m`, `12h`, `1d`.
fn duration(
    sheet: &mut Sheet<'_>,
    section: &Section<'_>,
    key: &str,
    (least, most): (Duration, Duration),
) -> Option<Duration> {
    let word = sheet.text(section, key)?;
    let Some(found) = parse_duration(&word.text) else {
        sheet.error(word.span, format!("`{}` is no length of time", word.text)).help =
            Some("a number and `s`, `m`, `h` or `d`, for example `90s`".to_owned());
        return None;
    };
    if found < least || found > most {
        let range = format!("{} to {}", show(least), show(most));
        sheet.error(word.span, format!("`{key}` is {range}, not `{}`", word.text));
        return None;
    }
    Some(found)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit = text.chars().next_back()?;
    let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        'd' => 86_400,
        _ => return None,
    };
    Some(Duration::from_secs(number.checked_mul(seconds)?))
}

fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit =
        units.into_iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    let (length, unit) = unit.unwrap_or((1, "s"));
    format!("{}{unit}", seconds / length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        let check = |text: &str, seconds: Option<u64>| {
            assert_eq!(parse_duration(text), seconds.map(Duration::from_secs), "{text}");
        };
        check("90s", Some(90));
        check("30m", Some(1800));
        check("1d", Some(86_400));
        for text in ["", "s", "1", "-1s", "1.5h", "1 d", "1w", "99999999999999999999d", "é"] {
            check(text, None);
        }
        assert_eq!(show(Duration::from_secs(86_400)), "1d");
        assert_eq!(show(Duration::from_secs(90)), "90s");
    }

    #[test]
    fn headers_of_the_connection_carry_no_credential() {
        for name in ["Authorization", "x-api-key", "api-key"] {
            assert_eq!(unusable_header(name), None, "{name}");
        }
        for name in ["", "Host", "content-length", "X-Enforcer-Denied", "a b", "a:b"] {
            assert!(unusable_header(name).is_some(), "{name}");
        }
    }
}
