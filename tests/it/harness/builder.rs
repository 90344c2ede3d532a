//! A configuration made of sections that a test overrides one by one.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::gateway::Gateway;
use super::ports::free_port;
use super::process;
use super::recorder::Recorder;
use super::tls::Authority;
use super::tokens::SECRET;

/// What the admin interface asks for.
pub(crate) const ADMIN_TOKEN: &str = "admin-token-of-the-tests-0123456789";

/// Users of the tests that bring none of their own: 5 belongs to account 12, 6 to none.
const USERS: &str = r#"users:
  - { user: "5", account: "12", active: true }
  - { user: "6", account: null, active: true }
  - { user: "7", account: "14", active: true }
"#;

/// A configuration in the making. Every section is YAML text; `{{port}}`, `{{port2}}` and
/// `{{admin}}` in it become free ports.
pub(crate) struct Builder {
    sections: BTreeMap<String, String>,
    env: BTreeMap<String, String>,
    folder: TempDir,
    ready: bool,
    descriptors: Option<u32>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        let builder = Self {
            sections: BTreeMap::new(),
            env: BTreeMap::new(),
            folder: TempDir::new().expect("a folder"),
            ready: true,
            descriptors: None,
        };
        builder
            .env("JWT_SECRET", SECRET)
            .env("COUNTERSIGN_ADMIN_TOKEN", ADMIN_TOKEN)
            .users(USERS)
            .set("workers", "2")
            .set("listeners", r#"[ { address: "127.0.0.1:{{port}}" } ]"#)
            .set(
                "admin",
                r#"{ address: "127.0.0.1:{{admin}}", token: "${COUNTERSIGN_ADMIN_TOKEN}" }"#,
            )
            .set(
                "issuers",
                r#"- name: app
  algorithms: [HS256]
  secret: "${JWT_SECRET}"
  leeway: 0s
  claims: { user: user_id, account: account_id, tenant: tenant_schema }"#,
            )
            .set("credentials", "[ bearer: { forward: keep } ]")
            .set("directory", "source: { file: { path: users.yaml } }")
            .set(
                "routes",
                "[ { match: { path: / }, access: member, upstream: app } ]",
            )
            .set("drain", "{ delay: 0s, timeout: 1s }")
    }

    /// Replaces a top-level section.
    pub(crate) fn set(mut self, section: &str, yaml: &str) -> Self {
        self.sections.insert(section.to_owned(), yaml.to_owned());
        self
    }

    /// Leaves a top-level section out.
    pub(crate) fn unset(mut self, section: &str) -> Self {
        self.sections.remove(section);
        self
    }

    /// Makes this recorder the upstream `app`.
    pub(crate) fn upstream(self, upstream: &Recorder) -> Self {
        self.upstream_with(upstream, "")
    }

    /// The same with more keys, as `, isolate: user`.
    pub(crate) fn upstream_with(self, upstream: &Recorder, more: &str) -> Self {
        let servers = upstream.url();
        let yaml = format!("[ {{ name: app, servers: [ \"{servers}\" ]{more} }} ]");
        self.set("upstreams", &yaml)
    }

    /// One listener that speaks TLS, with a certificate for these names.
    pub(crate) fn tls(self, authority: &Authority, names: &[&str]) -> Self {
        let (certificate, key) = authority.issue(names);
        self.file("tls.crt", &certificate)
            .file("tls.key", &key)
            .set(
                "listeners",
                "[ { address: \"127.0.0.1:{{port}}\", tls: { certificate: tls.crt, private_key: { file: tls.key } } } ]",
            )
    }

    /// The directory file's whole text.
    pub(crate) fn users(self, yaml: &str) -> Self {
        self.file("users.yaml", yaml)
    }

    /// A file beside the configuration.
    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        std::fs::write(self.folder.path().join(name), content).expect("written");
        self
    }

    /// A pipe beside the configuration, open for a reader that never reads.
    pub(crate) fn pipe(&self, name: &str) -> std::fs::File {
        let path = self.folder.path().join(name);
        let made = std::process::Command::new("mkfifo").arg(&path).status();
        assert!(made.expect("mkfifo runs").success());
        let open = std::fs::File::options().read(true).write(true).open(&path);
        open.expect("the pipe opens")
    }

    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Does not wait until the gateway says that it is ready, only until it answers at all.
    pub(crate) fn not_ready(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Lets the process open only this many files.
    pub(crate) fn descriptors(mut self, most: u32) -> Self {
        self.descriptors = Some(most);
        self
    }

    /// Where the configuration will stand.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn env_pairs(&self) -> Vec<(&str, &str)> {
        self.env
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect()
    }

    /// The whole file, with these ports.
    pub(crate) fn yaml(&self, port: u16, port2: u16, admin: u16) -> String {
        let mut text = String::new();
        for (section, yaml) in &self.sections {
            text.push_str(&section_text(section, yaml));
        }
        text.replace("{{port}}", &port.to_string())
            .replace("{{port2}}", &port2.to_string())
            .replace("{{admin}}", &admin.to_string())
    }

    /// Writes the configuration without serving it.
    pub(crate) fn write(&self) -> PathBuf {
        let path = self.folder.path().join("countersign.yaml");
        let yaml = self.yaml(free_port(), free_port(), free_port());
        std::fs::write(&path, yaml).expect("written");
        path
    }

    /// Serves; fails, with everything the gateway said, unless it becomes ready.
    #[track_caller]
    pub(crate) fn start(self) -> Gateway {
        const ATTEMPTS: usize = 4;
        let mut folder = self.folder;
        let mut said = String::new();
        for _ in 0..ATTEMPTS {
            let ports = (free_port(), free_port(), free_port());
            let builder = Self {
                sections: self.sections.clone(),
                env: self.env.clone(),
                folder,
                ready: self.ready,
                descriptors: self.descriptors,
            };
            match builder.attempt(ports) {
                Ok(gateway) => return gateway,
                Err((kept, text)) => (folder, said) = (kept, text),
            }
            if !said.contains("in use") {
                break;
            }
        }
        panic!("the gateway does not start:\n{said}");
    }

    fn attempt(self, (port, port2, admin): (u16, u16, u16)) -> Result<Gateway, (TempDir, String)> {
        let path = self.folder.path().join("countersign.yaml");
        let yaml = self.yaml(port, port2, admin);
        std::fs::write(&path, &yaml).expect("written");
        let env = self.env_pairs().into_iter().collect();
        let mut command = match self.descriptors {
            Some(most) => process::limited_command(self.folder.path(), &env, most),
            None => process::command(self.folder.path(), &env),
        };
        command.args(["serve", "-c", "countersign.yaml"]);
        match Gateway::up(command, [port, port2, admin], self.ready) {
            Ok(gateway) => Ok(gateway.keeping(self.folder)),
            Err(said) => Err((self.folder, format!("{said}\n--- of\n{yaml}"))),
        }
    }
}

fn section_text(section: &str, yaml: &str) -> String {
    if yaml.starts_with(['{', '[', '"']) || !yaml.contains([':', '\n']) {
        return format!("{section}: {yaml}\n");
    }
    let mut text = format!("{section}:\n");
    for line in yaml.lines() {
        let _ = writeln!(text, "  {line}");
    }
    text
}
