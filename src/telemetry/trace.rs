//! Trace: what a decision looked at, step by step, for `explain`.
//!
//! The data path runs with [`Trace::off`], which costs a branch; `explain` runs the same code with
//! a recording one. A trace may hold ids, since it is shown to the operator who asked for it; it
//! never holds a token or a key.

use serde_json::Value;

/// One step of a decision.
#[derive(Debug, Clone, serde::Serialize)]
pub struct Step {
    /// What was looked at.
    pub step: &'static str,
    /// What was found.
    pub found: Value,
}

/// A recorder of steps, or nothing.
#[derive(Debug, Default)]
pub struct Trace(Option<Vec<Step>>);

impl Trace {
    /// Records nothing.
    #[must_use]
    pub const fn off() -> Self {
        Self(None)
    }

    /// Records every step.
    #[must_use]
    pub const fn recording() -> Self {
        Self(Some(Vec::new()))
    }

    /// Notes a step; `found` is made only when somebody listens.
    pub fn note(&mut self, step: &'static str, found: impl FnOnce() -> Value) {
        if let Some(steps) = &mut self.0 {
            steps.push(Step {
                step,
                found: found(),
            });
        }
    }

    /// The steps that were recorded.
    #[must_use]
    pub fn into_steps(self) -> Vec<Step> {
        self.0.unwrap_or_default()
    }
}
