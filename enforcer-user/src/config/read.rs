// SPDX-License-Identifier: Apache-2.0 OR MIT
//! From the text of `enforcer.toml` to what was written, with every problem and its place.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use enforcer_core::policy::sheet::{Section, Sheet, Word, parse};
use enforcer_core::policy::{Diagnostic, Diagnostics, SourceFile};

use super::settings;
use crate::tls::Root;

/// What the file says; nothing is filled in yet.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) policies: Option<PathBuf>,
    pub(super) policies_revision: Option<String>,
    pub(super) policies_key: Option<String>,
    pub(super) state: Option<PathBuf>,
    pub(super) socket: Option<PathBuf>,
    pub(super) cgroup: Option<PathBuf>,
    pub(super) bpffs: Option<PathBuf>,
    pub(super) roots: Vec<Root>,
    pub(super) resolve: BTreeMap<String, Vec<SocketAddr>>,
}

/// Refused with an explanation of its own.
const PROXY: &str = "proxy";

pub(super) fn read(name: &str, text: &str) -> Result<Written, Diagnostics> {
    let file = SourceFile { path: name.to_owned(), text: text.to_owned() };
    let table = parse(&file).map_err(Diagnostics)?;
    let mut sheet = Sheet::new(&file);
    let top = Section { table: table.get_ref(), head: 0..0 };
    let mut keys = settings::keys("");
    keys.push("upstream");
    sheet.only(&top, &keys);
    let mut written = Written {
        policies: path(&mut sheet, &top, "policies"),
        policies_revision: sheet.text(&top, "policies_revision").map(|word| word.text),
        policies_key: key(&mut sheet, &top),
        state: path(&mut sheet, &top, "state"),
        socket: path(&mut sheet, &top, "socket"),
        cgroup: path(&mut sheet, &top, "cgroup"),
        bpffs: path(&mut sheet, &top, "bpffs"),
        roots: vec![Root::System],
        resolve: BTreeMap::new(),
    };
    if let Some(upstream) = sheet.section(&top, "upstream") {
        upstream_section(&mut sheet, &upstream, &mut written);
    }
    if sheet.found.is_empty() { Ok(written) } else { Err(Diagnostics(sheet.found)) }
}

fn upstream_section(sheet: &mut Sheet<'_>, upstream: &Section<'_>, written: &mut Written) {
    let mut keys = settings::keys("upstream");
    keys.extend([PROXY, "resolve"]);
    sheet.only(upstream, &keys);
    if let Some(roots) = sheet.texts(upstream, "roots") {
        written.roots = roots.into_iter().filter_map(|word| root(sheet, word)).collect();
    }
    if let Some(proxy) = sheet.text(upstream, PROXY) {
        let problem = Diagnostic::error(sheet.file, proxy.span, "`proxy` is not supported yet")
            .label("this version connects to providers directly")
            .help("remove the key; Enforcer would not use it");
        sheet.push(problem);
    }
    let Some(resolve) = sheet.section(upstream, "resolve") else { return };
    let names: Vec<String> = resolve.table.keys().map(|name| name.get_ref().to_string()).collect();
    for name in names {
        let Some(words) = sheet.texts(&resolve, &name) else { continue };
        let addresses: Vec<_> =
            words.into_iter().filter_map(|word| address(sheet, &word)).collect();
        written.resolve.insert(name.trim_end_matches('.').to_ascii_lowercase(), addresses);
    }
}

/// A key that cannot be read would refuse every bundle; better now, and with its place.
fn key(sheet: &mut Sheet<'_>, top: &Section<'_>) -> Option<String> {
    let word = sheet.text(top, "policies_key")?;
    if let Err(error) = minisign_verify::PublicKey::from_base64(&word.text) {
        let problem = Diagnostic::error(sheet.file, word.span, "`policies_key` is no minisign key")
            .label(error.to_string())
            .help("the second line of the `.pub` file that `minisign -G` made");
        sheet.push(problem);
    }
    Some(word.text)
}

fn path(sheet: &mut Sheet<'_>, section: &Section<'_>, key: &str) -> Option<PathBuf> {
    let word = sheet.text(section, key)?;
    absolute(sheet, &word)
}

fn absolute(sheet: &mut Sheet<'_>, word: &Word) -> Option<PathBuf> {
    let path = PathBuf::from(&word.text);
    if path.is_absolute() {
        return Some(path);
    }
    let problem = Diagnostic::error(
        sheet.file,
        word.span.clone(),
        format!("`{}` is not absolute", word.text),
    )
    .label("relative paths are not accepted")
    .help("write the whole path, from `/` on");
    sheet.push(problem);
    None
}

fn root(sheet: &mut Sheet<'_>, word: Word) -> Option<Root> {
    if word.text == "system" {
        return Some(Root::System);
    }
    absolute(sheet, &word).map(Root::File)
}

fn address(sheet: &mut Sheet<'_>, word: &Word) -> Option<SocketAddr> {
    let parsed = word.text.parse().ok();
    if parsed.is_none() {
        let message = format!("`{}` is not an address and port", word.text);
        let problem = Diagnostic::error(sheet.file, word.span.clone(), message)
            .help("write it like `10.0.0.7:443` or `[2001:db8::7]:443`");
        sheet.push(problem);
    }
    parsed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_file_is_read() {
        let text = r#"
            policies = "/etc/enforcer/policies"
            policies_revision = "refs/heads/main"
            policies_key = "RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3"
            state = "/var/lib/enforcer"
            socket = "/run/enforcer/enforcer.sock"
            cgroup = "/sys/fs/cgroup"
            bpffs = "/sys/fs/bpf/enforcer"
            [upstream]
            roots = ["system", "/etc/ssl/corp-ca.pem"]
            [upstream.resolve]
            "API.openai.com" = ["10.0.0.7:443"]
        "#;
        let written = read("enforcer.toml", text).unwrap();
        assert_eq!(written.roots.len(), 2);
        assert_eq!(written.resolve["api.openai.com"], ["10.0.0.7:443".parse().unwrap()]);
    }

    #[test]
    fn every_mistake_is_reported_with_its_place() {
        let text = "policy = \"/x\"\nstate = 7\nsocket = \"run/x\"\n[upstream]\nroots = [1]\n\
                    proxy = \"http://p:1\"\n[upstream.resolve]\nx = [\"10.0.0.7\"]\n";
        let problems = read("enforcer.toml", text).unwrap_err().0;
        let lines: Vec<usize> =
            problems.iter().filter_map(|found| found.place.map(|place| place.line)).collect();
        assert_eq!(lines, [1, 2, 3, 5, 6, 8]);
        assert!(problems[0].help.as_deref().is_some_and(|help| help.contains("policies")));
    }
}
