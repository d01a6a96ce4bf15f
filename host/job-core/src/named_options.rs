//! Options that are set by name, as Flink's are: what there is to say of each, and how a value is read.

use millrace_types::{QuantityError, parse_duration_ms};

/// The longest part of a wrong value that is told, in characters.
const TOLD_CHARS_MAX: usize = 80;

/// An option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NamedOption {
    /// Its name.
    pub key: &'static str,
    /// Its default; empty: not set.
    pub default: &'static str,
    /// Its meaning.
    pub description: &'static str,
}

pub(crate) const fn option(key: &'static str, default: &'static str, description: &'static str) -> NamedOption {
    NamedOption { key, default, description }
}

/// Why options cannot be what they are to be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No option has this name.
    #[error("\"{key}\" is no option of {of}")]
    Unknown {
        /// The name.
        key: String,
        /// What the options are about.
        of: &'static str,
    },
    /// A value is wrong.
    #[error("the option {key} is \"{value}\": {what}")]
    Invalid {
        /// The option.
        key: &'static str,
        /// Its value, or the beginning of it.
        value: String,
        /// What would be right.
        what: String,
    },
    /// Two values contradict each other.
    #[error("{0}")]
    Contradiction(String),
}

/// An option that is to be set, with its value as it was written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting<'a> {
    pub option: NamedOption,
    pub value: &'a str,
}

impl<'a> Setting<'a> {
    /// The option of this name among those about `of`.
    pub fn find(options: &[NamedOption], of: &'static str, key: &str, value: &'a str) -> Result<Self, OptionError> {
        let known = options.iter().find(|option| option.key == key);
        let known = known.ok_or_else(|| OptionError::Unknown { key: key.to_owned(), of })?;
        Ok(Self { option: *known, value: value.trim() })
    }

    /// The error that says what would be right.
    pub fn wrong(&self, what: impl Into<String>) -> OptionError {
        let value = self.value.chars().take(TOLD_CHARS_MAX).collect();
        OptionError::Invalid { key: self.option.key, value, what: what.into() }
    }

    /// What a name stands for; the option's description lists them.
    pub fn named<T>(&self, read: impl Fn(&str) -> Option<T>) -> Result<T, OptionError> {
        read(self.value).ok_or_else(|| self.wrong(self.option.description))
    }

    pub fn count(&self, min: u32, max: u32) -> Result<u32, OptionError> {
        let read = self.value.parse().ok().filter(|count| (min..=max).contains(count));
        read.ok_or_else(|| self.wrong(format!("write a whole number from {min} to {max}")))
    }

    /// A span of at least `min_ms`, in milliseconds.
    pub fn duration_ms(&self, min_ms: u64) -> Result<u64, OptionError> {
        let read = parse_duration_ms(self.value).map_err(|error: QuantityError| self.wrong(error.to_string()))?;
        if read < min_ms { Err(self.wrong(format!("it has to be {min_ms} ms or longer"))) } else { Ok(read) }
    }

    pub fn truth(&self) -> Result<bool, OptionError> {
        self.value.to_ascii_lowercase().parse().map_err(|_| self.wrong("write true or false"))
    }
}
