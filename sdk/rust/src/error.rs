//! The one error type of the SDK: a message for people.
//!
//! An error that an operator returns fails the task's attempt, so it is read in the application's exceptions: it
//! says what was wrong and where. It is one pointer wide, because every fused operator returns it per record.

use std::fmt;

/// What went wrong, in words.
///
/// Every [`std::error::Error`] converts into it, so `?` works in builders and operators.
pub struct Error(Box<str>);

/// A result whose error is, unless stated, [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// An error with this message.
    pub fn msg(message: impl fmt::Display) -> Self {
        Self(message.to_string().into_boxed_str())
    }

    /// The same error, with what was being done put in front of it.
    #[must_use]
    pub fn context(self, doing: impl fmt::Display) -> Self {
        Self::msg(format_args!("{doing}: {self}"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<E: std::error::Error> From<E> for Error {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_text = cause.to_string();
            // Many errors repeat their cause in their own message.
            if !message.contains(&cause_text) {
                message.push_str(": ");
                message.push_str(&cause_text);
            }
            source = cause.source();
        }
        Self(message.into_boxed_str())
    }
}
