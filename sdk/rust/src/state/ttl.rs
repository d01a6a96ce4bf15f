//! State that expires: Flink's `StateTtlConfig`.
//!
//! A value is kept with the time from which on it is expired, and the host may drop it from then on. It need not: what is
//! read is looked at here. Time is the wall clock, the same for a whole call. Lists and maps expire element by element.

use std::rc::Rc;

use super::backing::Backing;
use crate::data::{Data, DecodeError, Fingerprint, Reader};

/// What makes a value live on: Flink's `StateTtlConfig.UpdateType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateType {
    /// Writing it.
    #[default]
    OnCreateAndWrite,
    /// Writing and reading it.
    OnReadAndWrite,
}

/// Whether expired values can still be seen: Flink's `StateTtlConfig.StateVisibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StateVisibility {
    /// Never.
    #[default]
    NeverReturnExpired,
    /// Once more, if nothing has removed them yet; reading removes them.
    ReturnExpiredIfNotCleanedUp,
}

/// How long a state's values live: Flink's `StateTtlConfig`.
///
/// ```
/// use millrace::prelude::*;
///
/// let hour = StateTtlConfig::new(3_600_000).update_type(UpdateType::OnReadAndWrite);
/// # fn open(states: &mut States, hour: StateTtlConfig) -> Result<ValueState<String>> {
/// states.with_ttl(hour).value("last-page")
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StateTtlConfig {
    ttl_ms: i64,
    update: UpdateType,
    visibility: StateVisibility,
}

impl StateTtlConfig {
    /// Values live for so many milliseconds after they were last written, and are not seen after that.
    pub fn new(ttl_ms: i64) -> Self {
        Self { ttl_ms, update: UpdateType::default(), visibility: StateVisibility::default() }
    }

    /// What makes a value live on.
    #[must_use]
    pub fn update_type(mut self, update: UpdateType) -> Self {
        self.update = update;
        self
    }

    /// Whether expired values can still be seen.
    #[must_use]
    pub fn state_visibility(mut self, visibility: StateVisibility) -> Self {
        self.visibility = visibility;
        self
    }
}

/// The configuration of a state, with the clock.
#[derive(Clone)]
pub(crate) struct Ttl {
    pub config: StateTtlConfig,
    pub backing: Rc<Backing>,
}

/// What is to be done with a value that is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It lives.
    Keep,
    /// It lives, and reading it makes it live on.
    Renew,
    /// It is expired and gone.
    Drop,
    /// It is expired and gone, but seen once more.
    ShowAndDrop,
}

impl Ttl {
    /// When a value that is written now expires, in milliseconds since 1970.
    pub fn expires_at(&self) -> i64 {
        self.backing.now_ms().saturating_add(self.config.ttl_ms)
    }

    /// What becomes of a value that is read now.
    pub fn judge(&self, expires_at: i64) -> Verdict {
        if expires_at > self.backing.now_ms() {
            match self.config.update {
                UpdateType::OnCreateAndWrite => Verdict::Keep,
                UpdateType::OnReadAndWrite => Verdict::Renew,
            }
        } else {
            match self.config.visibility {
                StateVisibility::NeverReturnExpired => Verdict::Drop,
                StateVisibility::ReturnExpiredIfNotCleanedUp => Verdict::ShowAndDrop,
            }
        }
    }

    /// A value written now.
    pub fn stamp<V>(&self, value: V) -> Timed<V> {
        Timed { expires_at: self.expires_at(), value }
    }

    /// Takes a value out to change it, if it is to be seen.
    pub fn unwrap<V>(&self, timed: Timed<V>) -> Option<V> {
        (self.judge(timed.expires_at) != Verdict::Drop).then_some(timed.value)
    }
}

/// A value with the time from which on it is expired, in milliseconds since 1970, in front of it.
#[derive(Debug, Clone)]
pub(crate) struct Timed<V> {
    pub expires_at: i64,
    pub value: V,
}

impl<V: Data> Data for Timed<V> {
    const MIN_BYTES: usize = 8 + V::MIN_BYTES;

    fn encode(&self, out: &mut Vec<u8>) {
        self.expires_at.encode(out);
        self.value.encode(out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self { expires_at: i64::decode(input)?, value: V::decode(input)? })
    }

    fn describe(fingerprint: &mut Fingerprint) {
        V::describe(fingerprint);
    }
}

/// A list whose elements expire one by one. In front stands when the last of them does: the host may drop it all then.
#[derive(Debug, Clone)]
pub(crate) struct TimedList<T>(pub Vec<Timed<T>>);

impl<T: Data> Data for TimedList<T> {
    const MIN_BYTES: usize = 8;

    fn encode(&self, out: &mut Vec<u8>) {
        let last = self.0.iter().map(|element| element.expires_at).max().unwrap_or(i64::MIN);
        last.encode(out);
        Timed::encode_all(&self.0, out);
    }

    fn decode(input: &mut Reader<'_>) -> Result<Self, DecodeError> {
        i64::decode(input)?;
        let mut elements = Vec::new();
        while input.remaining() > 0 {
            elements.push(Timed::decode(input)?);
        }
        Ok(Self(elements))
    }

    fn describe(fingerprint: &mut Fingerprint) {
        T::describe(fingerprint);
    }
}
