// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Texts that may stand in a record or in the log: what agents choose has passed the masker, by type.
//!
//! A [`Recorded`] comes from a masker, from the source code, or from a record that is read back; there is no
//! other way to make one. Errs to masking: a text is looked at as it is, as JSON if it begins like that, and
//! behind percent signs. A value that is split over two texts is found only where the module says so
//! ([`Recorded::command`]).

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::fmt;
use std::ops::Deref;

use serde::{Deserialize, Serialize};

use crate::facts;
use crate::mask::{Masker, hide_in_query};
use crate::model::{Facts, Rewrite, limits};

/// What stands where the middle of a text was left out.
const LEFT_OUT: &str = "…";

/// A text without what the policy in force hides in the record.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Recorded(String);

impl Recorded {
    /// A text that somebody else chose, masked. One of more than [`limits::RECORDED_TEXT_BYTES_MAX`] bytes
    /// loses its middle.
    #[must_use]
    pub fn of(text: &str, masker: &Masker) -> Self {
        Self(shortened(masked(text, masker), limits::RECORDED_TEXT_BYTES_MAX))
    }

    /// A text of ours, as it stands in the source code.
    #[must_use]
    pub fn fixed(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// The words of a command line, masked, also across words; where something stands across words they become
    /// one. Words beyond [`limits::RECORDED_COMMAND_BYTES_MAX`] bytes are left out.
    #[must_use]
    pub fn command(words: &[String], masker: &Masker) -> Vec<Self> {
        let each: Vec<String> = words.iter().map(|word| masked(word, masker)).collect();
        let line = each.join(" ");
        let together = masked(&line, masker);
        let each = if together == line { each } else { vec![together] };
        let mut room = limits::RECORDED_COMMAND_BYTES_MAX;
        let mut kept = Vec::new();
        for word in each {
            let word = shortened(word, limits::RECORDED_TEXT_BYTES_MAX);
            match room.checked_sub(word.len()) {
                Some(rest) => room = rest,
                None => {
                    kept.push(Self::fixed(LEFT_OUT));
                    break;
                }
            }
            kept.push(Self(word));
        }
        kept
    }

    /// The same text under the masks of another policy, beside those that it has passed.
    #[must_use]
    pub fn again(&self, masker: &Masker) -> Self {
        Self::of(&self.0, masker)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A text of the source code. A `String` does not become one.
impl From<&'static str> for Recorded {
    fn from(text: &'static str) -> Self {
        Self::fixed(text)
    }
}

impl Deref for Recorded {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Recorded {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Recorded {
    fn eq(&self, other: &str) -> bool {
        self.0 == other
    }
}

impl PartialEq<&str> for Recorded {
    fn eq(&self, other: &&str) -> bool {
        self.0 == *other
    }
}

impl fmt::Debug for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The facts of an exchange with every text of them masked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordedFacts(Facts);

impl RecordedFacts {
    /// The facts without what the masker finds in them, and without the secrets in their query. Those that changed are
    /// named in [`Facts::hidden`]. A number that is changed as a text becomes the largest one there is.
    #[must_use]
    pub fn of(facts: Facts, masker: &Masker) -> Self {
        let mut hiding = Hiding { masker, hidden: BTreeSet::new() };
        let mut facts = facts.rewritten(&mut hiding);
        facts.hidden.extend(hiding.hidden);
        Self(facts)
    }

    /// Bytes of the texts in them.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let mut room = Room(usize::MAX);
        drop(self.0.clone().rewritten(&mut room));
        usize::MAX - room.0
    }

    /// The same facts with no more than this many bytes of texts: those that come first are kept. They are not
    /// what was judged any more, and the record has to say so.
    #[must_use]
    pub fn cut_to(self, bytes: usize) -> Self {
        Self(self.0.rewritten(&mut Room(bytes)))
    }

    /// The facts, for who judges them again.
    #[must_use]
    pub fn into_facts(self) -> Facts {
        self.0
    }
}

impl Deref for RecordedFacts {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.0
    }
}

/// Hides what must not be recorded, and keeps the names of the facts in which something was.
struct Hiding<'m> {
    masker: &'m Masker,
    hidden: BTreeSet<String>,
}

impl Hiding<'_> {
    fn is_changed(&mut self, fact: &'static str, is_changed: bool) -> bool {
        if is_changed {
            self.hidden.insert(fact.to_owned());
        }
        is_changed
    }
}

impl Rewrite for Hiding<'_> {
    fn text(&mut self, fact: &'static str, text: &str) -> String {
        let shown = match fact {
            "query" => masked_query(text, self.masker),
            _ => masked(text, self.masker),
        };
        self.is_changed(fact, shown != text);
        shown
    }

    fn number(&mut self, fact: &'static str, number: i64) -> i64 {
        let text = number.to_string();
        let is_changed = masked(&text, self.masker) != text;
        if self.is_changed(fact, is_changed) { i64::MAX } else { number }
    }
}

/// Bytes of texts that still have room.
struct Room(usize);

impl Rewrite for Room {
    fn text(&mut self, _fact: &'static str, text: &str) -> String {
        let kept = shortened(text.to_owned(), self.0);
        self.0 -= kept.len();
        kept
    }
}

/// A query as it may be recorded or shown: without its secrets, whose names stay, and without what the masker finds.
#[must_use]
pub fn masked_query(query: &str, masker: &Masker) -> String {
    // First, because a mask may take percent signs away, by which the parts of a query are told apart.
    masked(&hide_in_query(query), masker)
}

/// Masked as it is, as JSON, as it reads behind percent signs, and as it was before a name lost its capitals.
fn masked(text: &str, masker: &Masker) -> String {
    with_capitals(&facts::masked(&masker.mask_text(text).text, masker), masker)
}

/// Names of hosts reach us in small letters, whatever was sent: what stands in one is looked for in capitals, too.
fn with_capitals(text: &str, masker: &Masker) -> String {
    // Most texts hold nothing: one look at all of it says so.
    if masker.mask_text(&text.to_ascii_uppercase()).count == 0 {
        return text.to_owned();
    }
    let is_of_a_name = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '.' | '-' | '_');
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let end = rest.find(|letter| !is_of_a_name(letter)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let capitals = name.to_ascii_uppercase();
        let masked = masker.mask_text(&capitals);
        match masked.count {
            0 => shown.push_str(name),
            _ => shown.push_str(&masked.text.to_ascii_lowercase()),
        }
        let mut others = after.chars();
        shown.extend(others.next());
        rest = others.as_str();
    }
    shown
}

/// A text of at most this many bytes: the middle of a longer one is left out, or all of it where not even
/// the sign for that has room.
fn shortened(text: String, bytes: usize) -> String {
    if text.len() <= bytes {
        return text;
    }
    let Some(room) = bytes.checked_sub(LEFT_OUT.len()) else { return String::new() };
    let tail = room / 4;
    let begin = text.floor_char_boundary(room - tail);
    let end = text.ceil_char_boundary(text.len().saturating_sub(tail));
    let begin = text.get(..begin).unwrap_or_default();
    format!("{begin}{LEFT_OUT}{}", text.get(end..).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mask::{Builtin, DetectorKind, DetectorSpec, Style};
    use crate::model::{
        AgentName, Batch, Chat, Connect, DetectorName, Effect, Embed, EndpointName, FileRead,
        FineTune, Http, Image, Opaque, OpaqueCause, Operation, Speech, TraceExport, Upload,
    };
    use crate::policy::{SourceFile, Sources, compile};

    const CARD: &str = "4111111111111111";

    fn masker() -> Masker {
        let spec = |name: &str, kind| DetectorSpec {
            name: DetectorName::new(name),
            kind: DetectorKind::Builtin(kind),
        };
        let card = (spec("credit-card", Builtin::CREDIT_CARD), Style::Label);
        Masker::new(vec![card, (spec("email", Builtin::EMAIL), Style::Label)]).unwrap()
    }

    #[test]
    fn a_secret_in_a_name_that_lost_its_capitals_is_not_recorded() {
        let spec = |it: Builtin| DetectorSpec {
            name: DetectorName::new(it.name()),
            kind: DetectorKind::Builtin(it),
        };
        let badge = DetectorSpec {
            name: DetectorName::new("badge"),
            kind: DetectorKind::Pattern(r"EMP-\d{6}".to_owned()),
        };
        let mut layers = Builtin::ALL.map(|it| (spec(it), Style::Label)).to_vec();
        layers.push((badge, Style::Label));
        let masker = Masker::new(layers).unwrap();
        for (text, expect) in [
            ("akiaqw3rtyuiopasdfgh.nope.test", "[aws-access-key].nope.test"),
            ("CONNECT emp-989229.evil.test:443", "CONNECT [badge].evil.test:443"),
            ("no address for `a-asiaqw3rtyuiopasdfgh.x`", "no address for `a-[aws-access-key].x`"),
            ("api.openai.com /v1/chat É", "api.openai.com /v1/chat É"),
        ] {
            assert_eq!(Recorded::of(text, &masker).as_str(), expect);
        }
    }

    fn operations(text: &str) -> Vec<Operation> {
        let text = || text.to_owned();
        let set = || std::iter::once(text()).collect();
        let number = CARD.parse().unwrap();
        vec![
            Operation::Batch(Batch { target: text(), input_file: text() }),
            Operation::Chat(Chat {
                model: text(),
                stream: true,
                message_count: 1,
                tools: set(),
                parts: set(),
                max_tokens: Some(number),
                n: 1,
                store: true,
                api: "responses".to_owned(),
                tool_choice: text(),
                system: true,
                previous: true,
                files: set(),
                unknown: set(),
                input_tokens: 1,
            }),
            Operation::Connect(Connect { host: text(), port: 443 }),
            Operation::Embed(Embed { model: text(), input_count: 1, input_tokens: 1 }),
            Operation::FileRead(FileRead { path: text(), is_content: true }),
            Operation::FileUpload(Upload { size: number }),
            Operation::FineTune(FineTune { model: text(), training_file: text() }),
            Operation::Http(Http { method: text(), path: text(), query: text(), has_body: true }),
            Operation::Image(Image { model: text(), count: 1 }),
            Operation::Opaque(Opaque {
                method: text(),
                path: text(),
                size: number,
                cause: OpaqueCause::NotJson,
                detail: Some(text()),
            }),
            Operation::Speech(Speech { model: text(), input_tokens: 1 }),
            Operation::TraceExport(TraceExport { item_count: 1 }),
            Operation::Transcribe(Upload { size: number }),
        ]
    }

    fn facts(operation: Operation) -> Facts {
        let (agent, endpoint) = (AgentName::new("a"), EndpointName::new("e"));
        Facts {
            agent,
            endpoint,
            detected: Default::default(),
            sought: None,
            operation,
            calls: Vec::new(),
            hidden: Default::default(),
        }
    }

    #[test]
    fn no_fact_of_any_action_is_recorded_as_the_agent_chose_it() {
        for text in [CARD, "x 4111%201111 1111%2d1111", r#"{"a":"4111\u00201111 1111 1111"}"#] {
            for operation in operations(text) {
                let recorded = RecordedFacts::of(facts(operation), &masker());
                let json = serde_json::to_string(&recorded).unwrap();
                assert!(!json.contains("1111"), "{json}");
            }
        }
    }

    #[test]
    fn of_a_query_the_record_has_the_names_of_secrets_and_says_that_it_hides_them() {
        let http = |path: &str, query: &str| {
            let (method, path, query) = ("GET".to_owned(), path.to_owned(), query.to_owned());
            facts(Operation::Http(Http { method, path, query, has_body: false }))
        };
        let recorded = |facts| RecordedFacts::of(facts, &masker().with_placed_secrets());
        for (path, query, shown, hidden) in [
            (
                "/",
                "alt=sse&key=a\"b&to=ann%40x.example",
                "alt=sse&key=[secret]&to=[email]",
                "query",
            ),
            ("/", "a=%26&key=b", "a=%26&key=[secret]", "query"),
            ("/bot1:abcdefghijk/x", "a=b", "a=b", "path"),
            ("/", "a=b", "a=b", ""),
        ] {
            let recorded = recorded(http(path, query));
            let Operation::Http(http) = &recorded.operation else { panic!("http") };
            assert_eq!(http.query, shown);
            let names: Vec<&str> = recorded.hidden.iter().map(String::as_str).collect();
            assert_eq!(names.join(","), hidden, "{path}?{query}");
        }
    }

    #[test]
    fn what_the_record_hides_of_a_fact_is_not_judged_again_by_a_rule_that_reads_it() {
        let policy = |condition: &str| {
            let inventory = "version = 1\n[agents.a]\n[endpoints.e]\nhosts = [\"e.example\"]\n";
            let rule = format!(
                "@id(\"r\") permit (principal, action == Action::\"http\", resource) when {{ {condition} }};"
            );
            let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
            let files = vec![file("policy.toml", inventory), file("r.cedar", &rule)];
            compile(&Sources { files }).unwrap().policy
        };
        let http = Http {
            method: "GET".to_owned(),
            path: "/v1".to_owned(),
            query: "key=abc".to_owned(),
            has_body: false,
        };
        let true_query = facts(Operation::Http(http));
        let by_query = policy("context.query == \"key=abc\"");
        assert_eq!(by_query.decide_again(&true_query).unwrap().effect, Effect::Allow);
        let recorded = RecordedFacts::of(true_query, &by_query.masker_of_everything());
        assert_eq!(by_query.decide_again(&recorded), None, "it would say that it is denied");
        assert_eq!(by_query.lacks_hidden(&recorded), BTreeSet::from(["query".to_owned()]));
        let by_path = policy("context.path == \"/v1\"");
        assert_eq!(by_path.decide_again(&recorded).unwrap().effect, Effect::Allow);
        assert_eq!(policy("context has query").decide_again(&recorded), None);
    }

    #[test]
    fn facts_beyond_their_room_keep_what_comes_first() {
        let http = Http {
            method: "GET".to_owned(),
            path: "/".to_owned() + &"p".repeat(50),
            query: "q".repeat(100),
            has_body: false,
        };
        let recorded = RecordedFacts::of(facts(Operation::Http(http)), &masker());
        assert_eq!(recorded.text_bytes(), 154);
        for room in [0, 2, 10, 60, 153] {
            let cut = recorded.clone().cut_to(room);
            assert!(cut.text_bytes() <= room, "{room}: {cut:?}");
        }
        assert_eq!(recorded.clone().cut_to(154), recorded);
        let Operation::Http(http) = &recorded.cut_to(60).operation else { panic!("http") };
        assert_eq!((http.method.as_str(), http.path.len(), http.query.len()), ("GET", 51, 6));
    }

    #[test]
    fn a_command_line_is_masked_also_across_its_words_and_has_an_end() {
        let command = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
            Recorded::command(&words, &masker())
        };
        assert_eq!(command(&["a", "ann@example.com"]), ["a", "[email]"]);
        assert_eq!(command(&["a", r#"{"t":"ann\u0040example.com"}"#]), ["a", r#"{"t":"[email]"}"#]);
        assert_eq!(command(&["a", "4111", "1111", "1111", "1111"]), ["a [credit-card]"]);
        assert_eq!(command(&["a", "--user=ann%40example.com"]), ["a", "--user=[email]"]);
        let long = "w".repeat(limits::RECORDED_TEXT_BYTES_MAX);
        let many = vec![long.as_str(); 1000];
        let kept = command(&many);
        assert_eq!(kept.last().unwrap(), LEFT_OUT);
        let bytes: usize = kept.iter().map(|word| word.len()).sum();
        assert!(bytes <= limits::RECORDED_COMMAND_BYTES_MAX + LEFT_OUT.len());
    }

    #[test]
    fn what_was_recorded_is_read_back_as_it_was() {
        let recorded = Recorded::of("x ann@example.com", &masker());
        let json = serde_json::to_string(&recorded).unwrap();
        assert_eq!(json, r#""x [email]""#);
        assert_eq!(serde_json::from_str::<Recorded>(&json).unwrap(), recorded);
        assert_eq!((format!("{recorded}"), format!("{recorded:?}")), ("x [email]".into(), json));
        assert_eq!(recorded.again(&masker()), recorded);
    }

    proptest! {
        #[test]
        fn a_value_that_a_mask_names_is_in_no_recorded_text(
            before in "[ -~äé…]{0,1500}[ /:=]", after in "[ /?;&][ -~äé…]{0,1500}", is_escaped: bool,
        ) {
            let value = if is_escaped { "ann%40example.com" } else { "ann@example.com" };
            let recorded = Recorded::of(&format!("{before}{value}{after}"), &masker());
            prop_assert!(!recorded.contains("@example.com"), "{}", recorded);
            prop_assert!(!recorded.contains("%40example.com"), "{}", recorded);
            prop_assert!(recorded.len() <= limits::RECORDED_TEXT_BYTES_MAX);
        }
    }
}
