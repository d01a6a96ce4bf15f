//! Arguments of a run.

use millrace::Args;

fn args(line: &str) -> Args {
    let args: Vec<String> = line.split_whitespace().map(String::from).collect();
    Args::new(&args)
}

#[test]
fn values_follow_their_names() {
    let args = args("--input a --rate=5 --input b --verbose --delta -3 --output out");
    assert_eq!(args.inputs().unwrap(), ["a", "b"]);
    assert_eq!(args.output().unwrap(), "out");
    assert_eq!(args.get::<u32>("rate").unwrap(), Some(5));
    assert_eq!(args.require::<i32>("delta").unwrap(), -3);
    assert!(args.has("verbose").unwrap());
    assert!(!args.has("quiet").unwrap());
    args.finish().unwrap();
}

#[test]
fn mistakes_are_named() {
    let error = |line: &str, read: fn(&Args) -> millrace::Result<()>| {
        read(&args(line)).err().map(|error| error.to_string()).unwrap_or_default()
    };
    let get = |args: &Args| args.get::<u32>("n").map(drop);
    assert_eq!(error("--n x", get), "argument --n is 'x', which is no u32");
    assert_eq!(error("--n 1 --n 2", get), "argument --n is given more than once");
    assert_eq!(error("--n", get), "argument --n needs a value");
    assert_eq!(error("--n yes", |args| args.has("n").map(drop)), "argument --n takes no value, but 'yes' follows");
    assert_eq!(error("", |args| args.output().map(drop)), "argument --output is missing");
    assert_eq!(
        error("file --n 3", |args| args.get::<u32>("n").and_then(|_| args.finish())),
        "'file' follows no argument; the known ones are --n"
    );
    assert_eq!(error("--x 3", Args::finish), "unknown argument --x; this application takes none");
}
