//! Health: whether the source answered last time, for `/readyz` and the log.
//!
//! The log hears of a change, not of every failure; the counters count those.

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};

use super::push::ChannelStatus;

/// How the directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryStatus {
    /// The source's name in the configuration: `file`, `sqlite`, `postgres`, `http`.
    pub source: &'static str,
    /// Whether it answers.
    pub ready: bool,
    /// What is wrong, for the operator; a file directory can be ready and have a problem, when a
    /// new file cannot be used and the last good one serves on.
    pub problem: Option<String>,
    /// Whether every push channel is up; otherwise records live `ttl_without_push`.
    pub push_up: bool,
    /// The configured channels.
    pub channels: Vec<ChannelStatus>,
    /// About how many records are cached.
    pub entries: u64,
}

const UNTRIED: u8 = 0;
const WELL: u8 = 1;
const ILL: u8 = 2;

#[derive(Debug)]
pub(super) struct Health {
    /// Who answers or fails, in the words of the log.
    whose: &'static str,
    state: AtomicU8,
    problem: Mutex<Option<String>>,
}

impl Health {
    /// Nothing has been asked yet.
    pub(super) const fn of(whose: &'static str) -> Self {
        Self {
            whose,
            state: AtomicU8::new(UNTRIED),
            problem: Mutex::new(None),
        }
    }

    /// The source gave a usable answer.
    pub(super) fn is_well(&self) {
        if self.state.swap(WELL, Ordering::AcqRel) == ILL {
            tracing::info!("{} answers again", self.whose);
        }
        // Also after a first answer, which may have overtaken a first failure.
        self.note(None);
    }

    /// Nobody asks the source before a request does: it counts as well until it fails.
    pub(super) fn is_presumed(&self) {
        let _ = self
            .state
            .compare_exchange(UNTRIED, WELL, Ordering::AcqRel, Ordering::Acquire);
    }

    /// The source failed.
    pub(super) fn is_ill(&self, problem: &str) {
        if self.state.swap(ILL, Ordering::AcqRel) == ILL {
            tracing::debug!(problem, "{} still fails", self.whose);
        } else {
            tracing::error!(problem, "{} fails", self.whose);
        }
        self.note(Some(problem.to_owned()));
    }

    /// Whether the last answer was usable.
    pub(super) fn ready(&self) -> bool {
        self.state.load(Ordering::Acquire) == WELL
    }

    /// Why it is not ready.
    pub(super) fn problem(&self) -> Option<String> {
        if self.state.load(Ordering::Acquire) == UNTRIED {
            return Some("not asked yet".into());
        }
        self.problem
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn note(&self, problem: Option<String>) {
        *self.problem.lock().unwrap_or_else(PoisonError::into_inner) = problem;
    }
}
