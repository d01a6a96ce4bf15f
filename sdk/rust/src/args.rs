//! The arguments of a run: what stands behind `--` on the command line.
//!
//! An argument is `--name value` or `--name=value`; a name alone is a switch. Reading an argument makes it known,
//! and [`Args::finish`], which follows the builder, refuses what nobody has read.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::str::FromStr;

use crate::error::{Error, Result};

/// The arguments of a run.
///
/// ```
/// use millrace::Args;
///
/// let args = Args::new(&["--input", "a.txt", "--input=b.txt", "--limit", "3"].map(String::from));
/// assert_eq!(args.inputs().unwrap(), ["a.txt", "b.txt"]);
/// assert_eq!(args.get_or("limit", 10).unwrap(), 3);
/// assert_eq!(args.get_or("skip", 0).unwrap(), 0);
/// args.finish().unwrap();
/// ```
#[derive(Debug)]
pub struct Args {
    /// What was given, in order; names without their dashes. A value is missing where none followed.
    given: Vec<(String, Option<String>)>,
    /// Values that follow no name.
    stray: Vec<String>,
    known: RefCell<BTreeSet<String>>,
}

impl Args {
    /// Reads a command line.
    pub fn new(args: &[String]) -> Self {
        let mut parsed = Self { given: Vec::new(), stray: Vec::new(), known: RefCell::default() };
        let mut rest = args.iter().peekable();
        while let Some(arg) = rest.next() {
            let Some(name) = arg.strip_prefix("--") else {
                parsed.stray.push(arg.clone());
                continue;
            };
            let (name, value) = match name.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (name, rest.next_if(|next| !next.starts_with("--")).cloned()),
            };
            parsed.given.push((name.to_owned(), value));
        }
        parsed
    }

    fn learn(&self, name: &str) {
        self.known.borrow_mut().insert(name.to_owned());
    }

    /// All values of an argument that may be repeated.
    pub fn all(&self, name: &str) -> Result<Vec<String>> {
        self.learn(name);
        let given = self.given.iter().filter(|(given, _)| given == name);
        given.map(|(_, value)| value.clone().ok_or_else(|| needs_value(name))).collect()
    }

    /// The value of an argument, parsed, if it was given.
    pub fn get<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        let values = self.all(name)?;
        let [value] = values.as_slice() else {
            return if values.is_empty() { Ok(None) } else { Err(wrong(name, "is given more than once")) };
        };
        let parsed = value.parse();
        parsed
            .map(Some)
            .map_err(|_| wrong(name, format_args!("is '{value}', which is no {}", std::any::type_name::<T>())))
    }

    /// The value of an argument, parsed, or what it is if it was not given.
    pub fn get_or<T: FromStr>(&self, name: &str, default: T) -> Result<T> {
        Ok(self.get(name)?.unwrap_or(default))
    }

    /// The value of an argument that has to be given.
    pub fn require<T: FromStr>(&self, name: &str) -> Result<T> {
        self.get(name)?.ok_or_else(|| wrong(name, "is missing"))
    }

    /// Whether a switch was given.
    pub fn has(&self, name: &str) -> Result<bool> {
        self.learn(name);
        match self.given.iter().find(|(given, _)| given == name) {
            None => Ok(false),
            Some((_, None)) => Ok(true),
            Some((_, Some(value))) => Err(wrong(name, format_args!("takes no value, but '{value}' follows"))),
        }
    }

    /// The paths given by `--input`, of which there must be one or more.
    pub fn inputs(&self) -> Result<Vec<String>> {
        let inputs = self.all("input")?;
        if inputs.is_empty() { Err(wrong("input", "is missing; give it once for each path")) } else { Ok(inputs) }
    }

    /// The folder given by `--output`.
    pub fn output(&self) -> Result<String> {
        self.require("output")
    }

    /// Refuses arguments that nobody has read.
    pub fn finish(&self) -> Result<()> {
        let known = self.known.borrow();
        let unknown = self.given.iter().map(|(name, _)| name).find(|name| !known.contains(*name));
        let what = match (unknown, self.stray.first()) {
            (Some(name), _) => format!("unknown argument --{name}"),
            (None, Some(value)) => format!("'{value}' follows no argument"),
            (None, None) => return Ok(()),
        };
        let names: Vec<String> = known.iter().map(|name| format!("--{name}")).collect();
        match names.is_empty() {
            true => Err(Error::msg(format_args!("{what}; this application takes none"))),
            false => Err(Error::msg(format_args!("{what}; the known ones are {}", names.join(", ")))),
        }
    }
}

fn wrong(name: &str, reason: impl std::fmt::Display) -> Error {
    Error::msg(format_args!("argument --{name} {reason}"))
}

fn needs_value(name: &str) -> Error {
    wrong(name, "needs a value")
}
