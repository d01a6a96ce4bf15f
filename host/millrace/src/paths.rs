//! Local paths among an application's arguments: made absolute before they are sent, since the cluster's processes
//! work in other folders.

use std::path::{Path, PathBuf};

/// Arguments whose values are paths, by the last word of their names.
const PATH_WORDS: [&str; 5] = ["input", "output", "path", "dir", "file"];

/// The arguments with local paths made absolute.
pub(crate) fn absolute_arguments(args: &[String], folder: &Path) -> Vec<String> {
    let mut absolute = Vec::with_capacity(args.len());
    let mut value_is_path = false;
    for argument in args {
        let text = match argument.strip_prefix("--").and_then(|rest| rest.split_once('=')) {
            Some((name, value)) if is_path_name(name) => format!("--{name}={}", make_absolute(value, folder)),
            _ if value_is_path && !argument.starts_with("--") => make_absolute(argument, folder),
            _ if argument.starts_with("./") || argument.starts_with("../") => make_absolute(argument, folder),
            _ => argument.clone(),
        };
        value_is_path = argument.strip_prefix("--").is_some_and(is_path_name);
        absolute.push(text);
    }
    absolute
}

fn is_path_name(name: &str) -> bool {
    let last = name.rsplit('-').next().unwrap_or(name);
    PATH_WORDS.contains(&last)
}

/// A name with a scheme, such as `s3://…`, is no local path.
pub(crate) fn make_absolute(path: &str, folder: &Path) -> String {
    if path.contains("://") || path.is_empty() {
        return path.to_owned();
    }
    let joined: PathBuf = folder.join(path).components().collect();
    joined.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_are_made_absolute() {
        let args = ["--input", "a.txt", "--top", "a.txt", "--input=b", "./c", "--output", "/x", "--input", "s3://b/c"];
        let args: Vec<String> = args.iter().map(|&text| text.to_owned()).collect();
        let expected =
            ["--input", "/w/a.txt", "--top", "a.txt", "--input=/w/b", "/w/c", "--output", "/x", "--input", "s3://b/c"];
        assert_eq!(absolute_arguments(&args, Path::new("/w")), expected);
    }
}
