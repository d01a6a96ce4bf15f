//! From the paths of a source to its files.
//!
//! Invariants:
//! - The order is always the same: paths as they are given, files of a folder or glob sorted.
//! - Hidden files, and names that begin with `_`, are skipped in folders and by wildcards, as Flink does: they are
//!   unfinished or no data. A path or pattern that spells them out finds them.
//! - A symbolic link that leaves the roots is an error: skipping it would lose data silently.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use super::split::FileStamp;
use crate::{ConnectorError, FileRoots};

/// The most files and folders that are looked at for one source.
const ENTRIES_MAX: u64 = 1_000_000;

/// The deepest nesting of folders.
const DEPTH_MAX: usize = 64;

/// A file to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundFile {
    /// Canonical.
    pub path: PathBuf,
    /// Whether the name that it was found under is that of a gzip file.
    pub named_gzip: bool,
    /// How it looks.
    pub stamp: FileStamp,
}

/// Whether the path is a glob, if no file of that name exists.
fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', '{'])
}

/// Checks that the paths lie within the roots, as far as that is known before they are listed.
pub fn check_paths(paths: &[String], roots: &FileRoots) -> Result<(), ConnectorError> {
    for path in paths {
        if is_glob(path) {
            Pattern::parse(path, roots)?;
        } else {
            roots.resolve(path)?;
        }
    }
    Ok(())
}

/// Finds the files of a source.
pub fn list_files(paths: &[String], roots: &FileRoots) -> Result<Vec<FoundFile>, ConnectorError> {
    let mut listing = Listing { roots, entries: 0, files: Vec::new() };
    for path in paths {
        let before = listing.files.len();
        let literal = if is_glob(path) { roots.resolve(path).ok().filter(|path| path.exists()) } else { None };
        if is_glob(path) && literal.is_none() {
            let pattern = Pattern::parse(path, roots)?;
            listing.expand(pattern.base.clone(), &pattern.base, &pattern.parts, 0)?;
            listing.files[before..].sort_by(|a, b| a.path.cmp(&b.path));
            // `**` reaches a file in several ways.
            let mut tail = listing.files.split_off(before);
            tail.dedup();
            listing.files.append(&mut tail);
            listing.some_since(before, || format!("no file matches \"{path}\""))?;
        } else {
            let found = match literal {
                Some(found) => found,
                None => roots.resolve(path)?,
            };
            if !found.exists() {
                return Err(ConnectorError::NotFound { what: format!("there is no file or folder \"{path}\"") });
            }
            listing.add(found, Path::new(path), 0)?;
            listing.some_since(before, || format!("the folder \"{path}\" has no files to read"))?;
        }
    }
    Ok(listing.files)
}

struct Listing<'a> {
    roots: &'a FileRoots,
    entries: u64,
    files: Vec<FoundFile>,
}

impl Listing<'_> {
    fn some_since(&self, before: usize, what: impl FnOnce() -> String) -> Result<(), ConnectorError> {
        if self.files.len() > before { Ok(()) } else { Err(ConnectorError::NotFound { what: what() }) }
    }

    /// Adds a file, or all files below a folder, that was found under this name.
    fn add(&mut self, path: PathBuf, named: &Path, depth: usize) -> Result<(), ConnectorError> {
        let metadata = path.metadata().map_err(ConnectorError::io("look at", &path))?;
        if metadata.is_dir() {
            for name in self.names(&path, depth)? {
                if !is_hidden(&name) {
                    let named = path.join(&name);
                    self.add(self.roots.resolve_path(&named)?, &named, depth + 1)?;
                }
            }
        } else if metadata.is_file() {
            let named_gzip = named.extension().is_some_and(|extension| extension == "gz" || extension == "gzip");
            self.files.push(FoundFile { path, named_gzip, stamp: FileStamp::of(&metadata) });
        } else if depth == 0 {
            let reason = "it is neither a file nor a folder".to_owned();
            return Err(ConnectorError::Path { path: path.display().to_string(), reason });
        }
        Ok(())
    }

    /// The sorted names in a folder.
    fn names(&mut self, folder: &Path, depth: usize) -> Result<Vec<std::ffi::OsString>, ConnectorError> {
        if depth > DEPTH_MAX {
            let what = format!("the folder \"{}\" is nested too deeply", folder.display());
            let remedy = "name the folders to read; a symbolic link may lead back up";
            return Err(ConnectorError::Limit { what, limit: DEPTH_MAX as u64, remedy });
        }
        let list = || ConnectorError::io("list the folder", folder);
        let mut names = Vec::new();
        for entry in folder.read_dir().map_err(list())? {
            self.entries += 1;
            if self.entries > ENTRIES_MAX {
                let what =
                    format!("there are too many files and folders, the last of them in \"{}\"", folder.display());
                return Err(ConnectorError::Limit { what, limit: ENTRIES_MAX, remedy: "read fewer or larger files" });
            }
            names.push(entry.map_err(list())?.file_name());
        }
        names.sort();
        Ok(names)
    }

    /// Adds what a pattern matches below a folder.
    fn expand(&mut self, folder: PathBuf, named: &Path, parts: &[Part], depth: usize) -> Result<(), ConnectorError> {
        let Some((part, rest)) = parts.split_first() else {
            return self.add(folder, named, depth);
        };
        if !folder.is_dir() {
            return Ok(());
        }
        if matches!(part, Part::AnyFolders) && !rest.is_empty() {
            self.expand(folder.clone(), named, rest, depth)?;
        }
        for name in self.names(&folder, depth)? {
            if !part.matches(&name) {
                continue;
            }
            let named = folder.join(&name);
            let entry = self.roots.resolve_path(&named)?;
            match part {
                // What `**` matches at the end of a pattern is all that lies below.
                Part::AnyFolders if rest.is_empty() => self.add(entry, &named, depth + 1)?,
                Part::AnyFolders => self.expand(entry, &named, parts, depth + 1)?,
                Part::Name { .. } => self.expand(entry, &named, rest, depth + 1)?,
            }
        }
        Ok(())
    }
}

fn is_hidden(name: &OsStr) -> bool {
    matches!(name.as_encoded_bytes().first(), Some(b'.' | b'_'))
}

/// A glob: the folder that it begins in, and what it wants of each name below.
struct Pattern {
    base: PathBuf,
    parts: Vec<Part>,
}

enum Part {
    /// `**`: any number of folders.
    AnyFolders,
    /// A name, with wildcards or without.
    Name { matcher: GlobMatcher, hidden: bool },
}

impl Part {
    fn matches(&self, name: &OsStr) -> bool {
        match self {
            Self::AnyFolders => !is_hidden(name),
            Self::Name { matcher, hidden } => (*hidden || !is_hidden(name)) && matcher.is_match(name),
        }
    }
}

impl Pattern {
    fn parse(path: &str, roots: &FileRoots) -> Result<Self, ConnectorError> {
        let refuse = |reason: String| ConnectorError::Path { path: path.to_owned(), reason };
        let mut base = PathBuf::new();
        let mut parts = Vec::new();
        for component in Path::new(path.strip_prefix("file://").unwrap_or(path)).components() {
            let text = component.as_os_str().to_str().unwrap_or_default();
            if parts.is_empty() && !is_glob(text) {
                base.push(component);
                continue;
            }
            if !matches!(component, Component::Normal(_)) {
                return Err(refuse("a pattern cannot go up behind a wildcard".to_owned()));
            }
            parts.push(match text {
                "**" => Part::AnyFolders,
                _ => {
                    let glob = GlobBuilder::new(text).literal_separator(true).build();
                    let glob = glob.map_err(|error| refuse(format!("it is not a valid pattern: {}", error.kind())))?;
                    Part::Name { matcher: glob.compile_matcher(), hidden: text.starts_with(['.', '_']) }
                }
            });
        }
        if parts.len() > DEPTH_MAX {
            return Err(refuse(format!("the pattern has more than {DEPTH_MAX} parts")));
        }
        let base = if base.as_os_str().is_empty() { PathBuf::from(".") } else { base };
        Ok(Self { base: roots.resolve_path(&base)?, parts })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    fn tree(files: &[&str]) -> (tempfile::TempDir, PathBuf) {
        let temp = tempfile::tempdir().unwrap();
        let base = temp.path().canonicalize().unwrap();
        for file in files {
            fs::create_dir_all(base.join(file).parent().unwrap()).unwrap();
            fs::write(base.join(file), file).unwrap();
        }
        (temp, base)
    }

    fn list(base: &Path, paths: &[&str]) -> Result<Vec<String>, ConnectorError> {
        let paths: Vec<_> = paths.iter().map(|path| base.join(path).display().to_string()).collect();
        let files = list_files(&paths, &FileRoots::only([base])?)?;
        Ok(files.iter().map(|file| file.path.strip_prefix(base).unwrap().display().to_string()).collect())
    }

    const FILES: [&str; 8] =
        ["b.txt", "a.txt", "c.csv", ".hidden", "_tmp", "sub/d.txt", "sub/deep/e.txt", "sub/.x/f.txt"];

    #[test]
    fn folders_files_and_globs_are_found_in_order() {
        let (_temp, base) = tree(&FILES);
        for (paths, expected) in [
            (vec![""], vec!["a.txt", "b.txt", "c.csv", "sub/d.txt", "sub/deep/e.txt"]),
            (vec!["c.csv", "a.txt", "c.csv"], vec!["c.csv", "a.txt", "c.csv"]),
            (vec!["_tmp", ".hid*"], vec!["_tmp", ".hidden"]),
            (vec!["*.txt"], vec!["a.txt", "b.txt"]),
            (vec!["[bc].*"], vec!["b.txt", "c.csv"]),
            (vec!["{c,a}.???"], vec!["a.txt", "c.csv"]),
            (vec!["s*"], vec!["sub/d.txt", "sub/deep/e.txt"]),
            (vec!["*/*.txt"], vec!["sub/d.txt"]),
            (vec!["**/*.txt"], vec!["a.txt", "b.txt", "sub/d.txt", "sub/deep/e.txt"]),
            (vec!["**/**/e.txt"], vec!["sub/deep/e.txt"]),
            (vec!["sub/**"], vec!["sub/d.txt", "sub/deep/e.txt"]),
        ] {
            assert_eq!(list(&base, &paths).unwrap(), expected, "{paths:?}");
        }
    }

    #[test]
    fn a_name_that_looks_like_a_glob_is_found_as_it_is() {
        let (_temp, base) = tree(&["[1].txt", "1.txt"]);
        assert_eq!(list(&base, &["[1].txt"]).unwrap(), ["[1].txt"]);
        fs::remove_file(base.join("[1].txt")).unwrap();
        assert_eq!(list(&base, &["[1].txt"]).unwrap(), ["1.txt"]);
    }

    #[test]
    fn what_is_missing_is_named() {
        let (_temp, base) = tree(&["a.txt", "empty/.hidden"]);
        for (path, message) in [
            ("none.txt", "there is no file or folder"),
            ("*.csv", "no file matches"),
            ("none/*.csv", "no file matches"),
            ("empty", "has no files to read"),
            ("[", "not a valid pattern"),
            ("*/../a.txt", "cannot go up"),
        ] {
            let error = list(&base, &[path]).unwrap_err().to_string();
            assert!(error.contains(message) && error.contains(path), "{path}: {error}");
        }
    }

    #[test]
    fn links_are_followed_inside_the_roots_and_refused_outside() {
        let (_outside, other) = tree(&["secret"]);
        let (_temp, base) = tree(&["real/a.txt", "loop/x.txt"]);
        symlink(base.join("real"), base.join("alias")).unwrap();
        assert_eq!(list(&base, &["alias"]).unwrap(), ["real/a.txt"]);
        symlink("..", base.join("loop/up")).unwrap();
        assert!(matches!(list(&base, &["loop"]), Err(ConnectorError::Limit { .. })));
        fs::create_dir(base.join("bad")).unwrap();
        symlink(other.join("secret"), base.join("bad/x.txt")).unwrap();
        for path in ["bad", "bad/*", "bad/x.txt", "**/x.txt"] {
            assert!(
                matches!(list(&base, &[path]), Err(ConnectorError::OutsideRoots { .. } | ConnectorError::Limit { .. })),
                "{path}"
            );
        }
        for path in ["../*", "../../etc/*", "/etc/*"] {
            let paths = [base.join(path).display().to_string()];
            let roots = FileRoots::only([&base]).unwrap();
            assert!(matches!(check_paths(&paths, &roots), Err(ConnectorError::OutsideRoots { .. })), "{path}");
        }
    }
}
