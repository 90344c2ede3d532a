//! Components: how each part of the gateway is, for `/readyz`.

use super::Gateway;
use crate::directory::ChannelStatus;

/// The state of one component, for `/readyz`.
#[derive(Debug, Clone)]
pub struct Component {
    /// Whether it works as it should.
    pub ready: bool,
    /// Whether requests can be served, within their bounds, though it does not.
    pub spared: bool,
    /// Its state in words.
    pub detail: String,
}

impl Gateway {
    /// The state of each component, for `/readyz`.
    #[must_use]
    pub fn components(&self) -> Vec<(&'static str, Component)> {
        let keys = self.verifier().status();
        let missing: Vec<&str> = keys
            .iter()
            .filter(|(_, status)| !status.ready)
            .map(|(issuer, _)| &**issuer)
            .collect();
        let keys = Component {
            ready: missing.is_empty(),
            spared: false,
            detail: if missing.is_empty() {
                "ok".into()
            } else {
                format!("no keys of {}", missing.join(", "))
            },
        };
        let directory = self.directory().status();
        let detail = directory
            .problem
            .clone()
            .unwrap_or_else(|| format!("{} ok", directory.source));
        let invalidation = invalidation(&directory.channels);
        // Without it the others' tokens still count: an instance is not taken away for it.
        let sessions = self.directory().session_caches().map(|state| Component {
            ready: state.is_ok(),
            spared: true,
            detail: state.map_or_else(|problem| problem, |()| "redis ok".into()),
        });
        let directory = Component {
            ready: directory.ready,
            spared: false,
            detail,
        };
        let upstreams = Component {
            ready: true,
            spared: false,
            detail: self.upstream_names.join(", "),
        };
        let mut components = vec![
            ("keys", keys),
            ("directory", directory),
            ("invalidation", invalidation),
            ("upstreams", upstreams),
        ];
        components.extend(sessions.map(|sessions| ("sessions", sessions)));
        // Whose tokens it is asked about, cannot be let in without it.
        components.extend(self.directory().blacklist().map(|state| {
            let blacklist = Component {
                ready: state.is_ok(),
                spared: false,
                detail: state.map_or_else(|problem| problem, |()| "ok".into()),
            };
            ("blacklist", blacklist)
        }));
        components.extend(self.revocations().status().map(|read| {
            let revocations = Component {
                ready: read.is_ok(),
                spared: false,
                detail: read.map_or_else(|problem| problem, |count| format!("{count} in effect")),
            };
            ("revocations", revocations)
        }));
        components
    }
}

/// A channel that is down makes records live shorter and refuses nobody; until the first attempt
/// has ended, nobody knows which it will be.
fn invalidation(channels: &[ChannelStatus]) -> Component {
    let down: Vec<String> = channels
        .iter()
        .filter_map(|channel| {
            let problem = channel.problem.as_ref()?;
            Some(format!("{}: {problem}", channel.channel))
        })
        .collect();
    let names: Vec<&str> = channels.iter().map(|channel| channel.channel).collect();
    Component {
        ready: down.is_empty(),
        spared: channels.iter().all(|channel| channel.tried),
        detail: if channels.is_empty() {
            "no push channel configured; ttl_without_push bounds staleness".into()
        } else if down.is_empty() {
            format!("push: up ({})", names.join(", "))
        } else {
            format!(
                "push: down, ttl_without_push bounds staleness ({})",
                down.join("; ")
            )
        },
    }
}
