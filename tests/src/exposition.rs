//! The text format of Prometheus, strictly: what it does not allow is an error that names the line.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

/// A sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The metric.
    pub name: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The value.
    pub value: f64,
}

/// Reads an answer: every metric has its help and its type in front of its samples, which stand together, and no series
/// is told twice.
pub fn parse(text: &str) -> Result<Vec<Sample>> {
    ensure!(text.ends_with('\n'), "the last line has no end");
    let (mut samples, mut seen, mut typed) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut current = String::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
            match kind {
                "HELP" => ensure!(typed.insert(name.to_owned()), "line {number}: {name} comes a second time"),
                "TYPE" => ensure!(words.next() == Some("gauge"), "line {number}: {line}"),
                _ => bail!("line {number}: {line}"),
            }
            name.clone_into(&mut current);
            continue;
        }
        let sample = sample(line).with_context(|| format!("line {number}: {line}"))?;
        ensure!(sample.name == current, "line {number}: {} stands among {current}", sample.name);
        let series = line.rsplit_once(' ').map(|(series, _)| series.to_owned()).unwrap_or_default();
        ensure!(seen.insert(series), "line {number}: told twice: {line}");
        samples.push(sample);
    }
    Ok(samples)
}

fn is_name(text: &str) -> bool {
    let is_first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == ':';
    text.starts_with(is_first) && text.chars().all(|c| is_first(c) || c.is_ascii_digit())
}

fn sample(line: &str) -> Result<Sample> {
    let (series, value) = line.rsplit_once(' ').context("it has no value")?;
    let value = value.parse::<f64>().context("its value is no number")?;
    let (name, labels) = match series.split_once('{') {
        Some((name, labels)) => (name, labels.strip_suffix('}').context("its labels do not end")?),
        None => (series, ""),
    };
    ensure!(is_name(name), "its name is none");
    let mut found = BTreeMap::new();
    // No value has a comma in it: `{a="b",c="d"}`.
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (key, value) = label.split_once('=').context("a label has no value")?;
        let value =
            value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).context("a label is not quoted")?;
        ensure!(is_name(key) && !key.contains(':') && !value.contains(['"', '\\']), "a label is none: {label}");
        ensure!(found.insert(key.to_owned(), value.to_owned()).is_none(), "a label comes twice: {key}");
    }
    Ok(Sample { name: name.to_owned(), labels: found, value })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_the_format_does_not_allow_is_refused() {
        let head = "# HELP a_b about it\n# TYPE a_b gauge\n";
        let good = parse(&format!("{head}a_b{{x=\"1\",y=\"2\"}} 1.5\na_b 2\n")).unwrap();
        assert_eq!((good[0].value, good[0].labels["y"].as_str(), good.len()), (1.5, "2", 2));
        for wrong in [
            "a_b x\n",
            "a_b 1",
            "a_b{x=1} 1\n",
            "a_b{x=\"1\" 1\n",
            "other 1\n",
            "a_b 1\na_b 2\n",
            "a-b 1\n",
            "\n",
            "# a_b\n",
        ] {
            assert!(parse(&format!("{head}{wrong}")).is_err(), "{wrong}");
        }
    }
}
