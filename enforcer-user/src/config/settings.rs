// SPDX-License-Identifier: Apache-2.0 OR MIT
//! Every key of `enforcer.toml`: what it is, what holds without it, what it means. The reader accepts exactly these, and
//! the reference of the settings is written from them.

use std::fmt::Write as _;

/// One key that people may write.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// The table it stands in; empty at the top of the file.
    pub section: &'static str,
    /// The key. `NAME` stands for any name.
    pub key: &'static str,
    /// What its value is.
    pub kind: &'static str,
    /// What holds where the key is left out: a value as it would be written, or words.
    pub default: &'static str,
    /// A value as it is written.
    pub example: &'static str,
    /// What it is for.
    pub meaning: &'static str,
}

/// Where the bundle is looked for by default.
pub(super) const POLICIES: &str = "/etc/enforcer/policies";
/// Where keys and journal are kept by default.
pub(super) const STATE: &str = "/var/lib/enforcer";
/// Where the admin API listens by default.
pub(super) const SOCKET: &str = "/run/enforcer/enforcer.sock";
/// Where links and maps are pinned by default.
pub(super) const BPFFS: &str = "/sys/fs/bpf/enforcer";

/// All of them, in the order in which they are explained.
pub const SETTINGS: [Setting; 9] = [
    Setting {
        section: "",
        key: "policies",
        kind: "absolute path",
        default: POLICIES,
        example: "\"/etc/enforcer/policies\"",
        meaning: "The bundle's folder. The daemon follows changes in it; after another folder was put in its place, send the \
                  daemon SIGHUP.",
    },
    Setting {
        section: "",
        key: "policies_revision",
        kind: "text",
        default: "none: the files as they are in the folder",
        example: "\"refs/heads/main\"",
        meaning: "A git revision. The daemon reads the bundle from that revision of the repository that the folder belongs to, \
                  and ignores what is not committed.",
    },
    Setting {
        section: "",
        key: "policies_key",
        kind: "text",
        default: "none: no signature is asked for",
        example: "\"RWQf6LRCGA9i53mlYecO4IzT51TGPpvWucNSCh1CBM0QTaLn73Y7GFO3\"",
        meaning: "A minisign public key. A bundle comes into force only with a valid signature of its digest by this key \
                  (`enforcer policy digest`).",
    },
    Setting {
        section: "",
        key: "state",
        kind: "absolute path",
        default: STATE,
        example: "\"/var/lib/enforcer\"",
        meaning: "Folder of the journal, the CA, the signing key, the key of hashed masks and the counters of budgets. Only root \
                  can read it, apart from the CA's certificate in `trust/`.",
    },
    Setting {
        section: "",
        key: "socket",
        kind: "absolute path",
        default: SOCKET,
        example: "\"/run/enforcer/enforcer.sock\"",
        meaning: "The Unix socket of the admin API. Give it its own folder; Enforcer makes that folder read-only for confined \
                  agents that run as root.",
    },
    Setting {
        section: "",
        key: "cgroup",
        kind: "absolute path",
        default: "the cgroup v2 root, wherever it is mounted",
        example: "\"/sys/fs/cgroup\"",
        meaning: "The cgroup that the kernel programs are attached to. Only processes in it and below it can become agents.",
    },
    Setting {
        section: "",
        key: "bpffs",
        kind: "absolute path",
        default: BPFFS,
        example: "\"/sys/fs/bpf/enforcer\"",
        meaning: "Folder in a BPF file system in which the programs' links and maps are pinned, so that they stay in force while \
                  the daemon restarts. If it is not in such a file system, the daemon creates the folder where it is missing, \
                  and mounts one there.",
    },
    Setting {
        section: "upstream",
        key: "roots",
        kind: "list of `\"system\"` and absolute paths",
        default: "[\"system\"]",
        example: "[\"system\", \"/etc/ssl/corp-ca.pem\"]",
        meaning: "What certificates of providers are verified against: the system's store, PEM files, or both.",
    },
    Setting {
        section: "upstream.resolve",
        key: "NAME",
        kind: "list of `address:port`",
        default: "the host's resolver answers",
        example: "[\"10.0.0.7:443\"]",
        meaning: "Where the daemon connects for this host name, instead of asking DNS. The certificate is still verified for the \
                  name.",
    },
];

/// The keys of one table.
pub(super) fn keys(section: &str) -> Vec<&'static str> {
    SETTINGS
        .iter()
        .filter(|setting| setting.section == section)
        .map(|setting| setting.key)
        .collect()
}

/// The reference of the settings, as Markdown.
#[must_use]
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    let mut section = None;
    for setting in SETTINGS {
        if section != Some(setting.section) {
            section = Some(setting.section);
            let title = match setting.section {
                "" => "Top of the file".to_owned(),
                name => format!("`[{name}]`"),
            };
            text += &format!(
                "\n## {title}\n\n| key | value | default | meaning |\n|---|---|---|---|\n"
            );
        }
        let Setting { key, kind, default, meaning, .. } = setting;
        let default = if default.starts_with(['/', '[']) {
            format!("`{default}`")
        } else {
            default.to_owned()
        };
        // Writing into a String does not fail.
        let _infallible = writeln!(text, "| `{key}` | {kind} | {default} | {meaning} |");
    }
    text += "\n## A whole file\n\n```toml\n";
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _infallible = writeln!(text, "\n[{section}]");
        }
        let key = if setting.key == "NAME" { "\"api.openai.com\"" } else { setting.key };
        let _infallible = writeln!(text, "{key} = {}", setting.example);
    }
    text + "```\n"
}

const HEAD: &str = "\
# Settings reference

<!-- Written by `cargo xtask gen` from what the program itself reads; a test compares. Change the sources. -->

The host's settings are one TOML file: `/etc/enforcer/enforcer.toml`, or the file named by `--config FILE` or by the
variable `ENFORCER_CONFIG`. `enforcer policy` reads it only to find the record; every other `enforcer` command reads it when it
starts. All keys are optional. A key that is not listed here is an error, and the daemon does not start: otherwise an operator
could rely on a setting that has no effect. Rules are never in this file; they are in the bundle
([policy reference](policy-reference.md)).
";
