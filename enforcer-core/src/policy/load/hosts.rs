// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Host patterns of endpoints, and which endpoint a host and port belong to.
//!
//! A pattern is a name, `*.name` (exactly one more label) or `**.name` (one or more). The most specific
//! pattern wins: the name itself, then the longest tail, then `*` before `**`. That order is total, so the
//! order of endpoints in the file never matters.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

/// How much stands before the name of a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Reach {
    Itself,
    OneLabel,
    ManyLabels,
}

/// One host pattern of an endpoint, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPattern {
    reach: Reach,
    name: String,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reach {
            Reach::Itself => f.write_str(&self.name),
            Reach::OneLabel => write!(f, "*.{}", self.name),
            Reach::ManyLabels => write!(f, "**.{}", self.name),
        }
    }
}

impl HostPattern {
    /// The name; none of a pattern with a wildcard.
    #[must_use]
    pub fn exact(&self) -> Option<&str> {
        (self.reach == Reach::Itself).then_some(self.name.as_str())
    }

    /// Reads a pattern; the error says what is wrong with it.
    pub(in crate::policy) fn parse(text: &str) -> Result<Self, &'static str> {
        let lower = text.to_ascii_lowercase();
        let (reach, name) = match lower.split_once('.') {
            Some(("*", rest)) => (Reach::OneLabel, rest),
            Some(("**", rest)) => (Reach::ManyLabels, rest),
            _ => (Reach::Itself, lower.as_str()),
        };
        if name == "*" || name == "**" {
            return Err("a bare wildcard would name every host");
        }
        if name.contains('*') {
            return Err("a wildcard stands alone in the first label: `*.name` or `**.name`");
        }
        if name.parse::<IpAddr>().is_ok() || name.contains(':') {
            return Err("endpoints are named hosts; an address or a port cannot stand here");
        }
        let is_label = |label: &str| {
            let is_inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            !label.is_empty() && label.len() <= 63 && label.bytes().all(is_inner)
        };
        if name.len() > 253 || !name.split('.').all(is_label) {
            return Err("not a host name (write names outside ASCII in their `xn--` form)");
        }
        if reach != Reach::Itself && !name.contains('.') {
            return Err("a wildcard may not stand for a whole top-level domain");
        }
        Ok(Self { reach, name: name.to_owned() })
    }
}

/// From host and port to the index of an endpoint.
#[derive(Debug, Default)]
pub(in crate::policy) struct Hosts {
    by_pattern: BTreeMap<(HostPattern, u16), usize>,
    patterns: BTreeSet<HostPattern>,
}

impl Hosts {
    /// Adds a claim; gives back who claimed the same before.
    pub(super) fn claim(
        &mut self,
        pattern: &HostPattern,
        port: u16,
        endpoint: usize,
    ) -> Option<usize> {
        if let Some(other) = self.by_pattern.get(&(pattern.clone(), port)) {
            return Some(*other);
        }
        self.by_pattern.insert((pattern.clone(), port), endpoint);
        self.patterns.insert(pattern.clone());
        None
    }

    /// The endpoint whose most specific pattern names this host at this port.
    pub(in crate::policy) fn find(&self, host: &str, port: u16) -> Option<usize> {
        candidates(host).find_map(|pattern| self.by_pattern.get(&(pattern, port)).copied())
    }

    /// Every endpoint that names this host, at whatever port.
    pub(in crate::policy) fn all_of(&self, host: &str) -> impl Iterator<Item = usize> {
        candidates(host).flat_map(|pattern| {
            let first = (pattern.clone(), 0);
            let ports = self.by_pattern.range(first..=(pattern, u16::MAX));
            ports.map(|(_, endpoint)| *endpoint)
        })
    }

    /// Whether any endpoint names this host at any port.
    pub(in crate::policy) fn names(&self, host: &str) -> bool {
        candidates(host).any(|pattern| self.patterns.contains(&pattern))
    }
}

/// All patterns that match a host, the most specific first.
pub(in crate::policy) fn candidates(host: &str) -> impl Iterator<Item = HostPattern> {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let mut tails = Vec::new();
    let mut rest = host.as_str();
    while let Some((label, tail)) = rest.split_once('.') {
        if label.is_empty() {
            break;
        }
        if tails.is_empty() {
            tails.push(HostPattern { reach: Reach::OneLabel, name: tail.to_owned() });
        }
        tails.push(HostPattern { reach: Reach::ManyLabels, name: tail.to_owned() });
        rest = tail;
    }
    std::iter::once(HostPattern { reach: Reach::Itself, name: host }).chain(tails)
}

#[cfg(test)]
mod tests {
    use super::{HostPattern, Hosts};

    #[test]
    fn patterns_are_read_strictly() {
        for good in ["api.openai.com", "API.OpenAI.com", "*.openai.com", "**.corp.example", "crm"] {
            assert!(HostPattern::parse(good).is_ok(), "{good}");
        }
        for (bad, why) in [
            ("*", "bare"),
            ("**", "bare"),
            ("*.com", "top-level"),
            ("**.com", "top-level"),
            ("*.*", "bare"),
            ("api.*.com", "first label"),
            ("ap*.openai.com", "first label"),
            ("*.*.openai.com", "first label"),
            ("", "not a host name"),
            ("a..b", "not a host name"),
            (".a.b", "not a host name"),
            ("a.b.", "not a host name"),
            ("münchen.example", "xn--"),
            ("https://api.openai.com", "a port cannot"),
            ("api.openai.com:443", "a port cannot"),
            ("10.0.0.1", "an address"),
            ("::1", "an address"),
        ] {
            let error = HostPattern::parse(bad).expect_err(bad);
            assert!(error.contains(why), "{bad}: {error}");
        }
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let mut hosts = Hosts::default();
        for (index, pattern) in
            ["**.example.com", "*.eu.example.com", "api.eu.example.com", "**.eu.example.com"]
                .iter()
                .enumerate()
        {
            let pattern = HostPattern::parse(pattern).expect("a pattern");
            assert_eq!(hosts.claim(&pattern, 443, index), None);
        }
        let check = |host: &str, expect: Option<usize>| {
            assert_eq!(hosts.find(host, 443), expect, "{host}");
            assert_eq!(hosts.names(host), expect.is_some(), "{host}");
        };
        check("api.eu.example.com", Some(2));
        check("API.eu.Example.com.", Some(2));
        check("b.eu.example.com", Some(1));
        check("a.b.eu.example.com", Some(3));
        check("eu.example.com", Some(0));
        check("example.com", None);
        check("com", None);
        check("", None);
        check(".example.com", None);
        check("..example.com", None);
        check("evil-example.com", None);
        assert_eq!(hosts.find("api.eu.example.com", 8443), None);
    }

    #[test]
    fn a_second_claim_names_the_first() {
        let mut hosts = Hosts::default();
        let pattern = HostPattern::parse("*.example.com").expect("a pattern");
        assert_eq!(hosts.claim(&pattern, 443, 0), None);
        assert_eq!(hosts.claim(&pattern, 443, 1), Some(0));
        assert_eq!(hosts.claim(&pattern, 444, 1), None);
    }
}
