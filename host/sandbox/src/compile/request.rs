//! What the parent tells the compile child, in one environment variable: the child's arguments belong to the program
//! that plays it.

use std::path::PathBuf;

/// The variable's name.
pub(super) const VARIABLE: &str = "MILLRACE_COMPILE_REQUEST";

/// What to compile within which limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    pub cpu_seconds_max: u64,
    pub address_space_bytes_max: u64,
    pub artifact_bytes_max: u64,
    pub component_bytes_max: u64,
    /// By how much the child gives way to others: its niceness.
    pub niceness: i32,
    /// The file to write.
    pub output: PathBuf,
}

impl Request {
    /// The variable's value: five numbers and the path, which is last since it may contain anything.
    pub(super) fn to_value(&self) -> Option<String> {
        Some(format!(
            "{} {} {} {} {} {}",
            self.cpu_seconds_max,
            self.address_space_bytes_max,
            self.artifact_bytes_max,
            self.component_bytes_max,
            self.niceness,
            self.output.to_str()?
        ))
    }

    /// Reads the variable's value.
    pub(super) fn from_value(value: &str) -> Option<Self> {
        let mut parts = value.splitn(6, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (cpu_seconds_max, address_space_bytes_max) = (number()?, number()?);
        let (artifact_bytes_max, component_bytes_max) = (number()?, number()?);
        let niceness = parts.next()?.parse().ok()?;
        let output = PathBuf::from(parts.next()?);
        Some(Self {
            cpu_seconds_max,
            address_space_bytes_max,
            artifact_bytes_max,
            component_bytes_max,
            niceness,
            output,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_reads_back_and_half_a_one_does_not() {
        let request = Request {
            cpu_seconds_max: 1,
            address_space_bytes_max: 2,
            artifact_bytes_max: 3,
            component_bytes_max: 4,
            niceness: 5,
            output: PathBuf::from("/a path/with spaces 5"),
        };
        let value = request.to_value().unwrap_or_default();
        assert_eq!(Request::from_value(&value), Some(request));
        assert_eq!(Request::from_value("1 2 3 4 5"), None);
        assert_eq!(Request::from_value("1 2 x 4 5 /y"), None);
    }
}
