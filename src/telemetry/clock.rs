//! Clock: the only reader of wall time.
//!
//! Tokens are judged by wall time, TTLs and deadlines by `std::time::Instant`. A clock before 1970
//! is an error that refuses requests, never a panic.

use std::cell::RefCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds and nanoseconds since 1970-01-01T00:00:00Z, never negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(Duration);

/// The system clock stands before 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the system clock stands before 1970")]
pub struct ClockError;

impl UnixTime {
    /// The time `secs` seconds after the epoch.
    #[must_use]
    pub const fn from_secs(secs: u64) -> Self {
        Self(Duration::from_secs(secs))
    }

    /// The time of a `NumericDate` (RFC 7519, section 2) with a fraction; `None` when it is negative,
    /// not finite or out of range.
    #[must_use]
    pub fn from_secs_f64(secs: f64) -> Option<Self> {
        Duration::try_from_secs_f64(secs).ok().map(Self)
    }

    /// Whole seconds since the epoch.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }

    /// Seconds since the epoch, with their fraction.
    #[must_use]
    pub const fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// `self + by`, staying at the largest time there is.
    #[must_use]
    pub const fn saturating_add(self, by: Duration) -> Self {
        Self(self.0.saturating_add(by))
    }

    /// `self - by`, staying at the epoch.
    #[must_use]
    pub const fn saturating_sub(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(by))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// RFC 3339 in UTC with milliseconds, for logs.
    #[must_use]
    pub fn rfc3339(self) -> String {
        let millis = i64::try_from(self.0.as_millis()).unwrap_or(i64::MAX);
        jiff::Timestamp::from_millisecond(millis)
            .map_or_else(|_| self.0.as_secs().to_string(), |t| format!("{t:.3}"))
    }

    /// Appends [`Self::rfc3339`]. Its whole second is formatted once and remembered, since many lines
    /// of one second follow one another.
    pub fn push_rfc3339(self, text: &mut Vec<u8>) {
        thread_local! {
            static SECOND: RefCell<(u64, String)> = const { RefCell::new((0, String::new())) };
        }
        SECOND.with_borrow_mut(|(second, formatted)| {
            if *second != self.as_secs() || formatted.is_empty() {
                *second = self.as_secs();
                *formatted = Self::from_secs(*second).rfc3339();
            }
            let Some(whole) = formatted.strip_suffix(".000Z") else {
                // A time that has no date.
                text.extend_from_slice(formatted.as_bytes());
                return;
            };
            text.extend_from_slice(whole.as_bytes());
            text.push(b'.');
            let millis = self.0.subsec_millis();
            for digit in [millis / 100, millis / 10 % 10, millis % 10] {
                text.push(b'0' + u8::try_from(digit).unwrap_or_default());
            }
            text.push(b'Z');
        });
    }

    /// Parses RFC 3339, as records write it. `None` when it is not that, or before 1970.
    #[must_use]
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        let timestamp: jiff::Timestamp = text.parse().ok()?;
        let seconds = u64::try_from(timestamp.as_second()).ok()?;
        let nanos = u32::try_from(timestamp.subsec_nanosecond()).ok()?;
        Some(Self(Duration::new(seconds, nanos)))
    }
}

/// The process's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct Clock;

impl Clock {
    /// The time now.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that reads wall time"
    )]
    pub fn now(self) -> Result<UnixTime, ClockError> {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map(UnixTime)
            .map_err(|_| ClockError)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trips() {
        let time = UnixTime::parse_rfc3339("2026-01-01T00:00:00Z").unwrap();
        assert_eq!(time.as_secs(), 1_767_225_600);
        assert_eq!(time.rfc3339(), "2026-01-01T00:00:00.000Z");
        for before in ["1969-12-31T23:59:59Z", "1969-12-31T23:59:59.5Z"] {
            assert_eq!(UnixTime::parse_rfc3339(before), None);
        }
        // Beyond what 64 bits of nanoseconds hold.
        let far = UnixTime::parse_rfc3339("2999-01-01T00:00:00.25Z").unwrap();
        assert_eq!(far.as_secs(), 32_472_144_000);
        assert_eq!(far.rfc3339(), "2999-01-01T00:00:00.250Z");
    }

    #[test]
    fn appended_times_are_those_that_are_formatted() {
        let second = 1_767_225_600_u64;
        let times = [0.0, 0.001, 0.25, 0.999, 1.0, -1.0, 0.5].map(|after| {
            #[expect(clippy::cast_precision_loss, reason = "seconds of this century")]
            UnixTime::from_secs_f64(second as f64 + after).unwrap()
        });
        for time in times
            .into_iter()
            .chain([UnixTime::from_secs(0), UnixTime::from_secs(u64::MAX)])
        {
            let mut text = Vec::new();
            time.push_rfc3339(&mut text);
            assert_eq!(String::from_utf8(text).unwrap(), time.rfc3339());
        }
    }

    #[test]
    fn far_away_dates_neither_panic_nor_wrap() {
        assert_eq!(UnixTime::from_secs_f64(f64::INFINITY), None);
        assert_eq!(UnixTime::from_secs_f64(-1.0), None);
        let far = UnixTime::from_secs(u64::MAX).saturating_add(Duration::from_mins(1));
        assert!(far > UnixTime::from_secs(4_102_444_800));
        assert!(!far.rfc3339().is_empty());
    }
}
