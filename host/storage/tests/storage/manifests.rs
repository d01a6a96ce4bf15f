//! Manifests.

use millrace_graph::{Chaining, Format, NodeKind, Partitioning};
use millrace_storage::Manifest;
use millrace_types::{NodeId, SandboxLimits};

const FULL: &str = r#"
[application]
name = "wordcount"
version = "0.1.0"
entry = "main"
parallelism = 2

[components.main]
path = "main.wasm"
build = ["cargo", "build", "--release"]
artifact = "wordcount.wasm"
limits = { memory = "512 MiB", call-deadline = "2 s", output-per-call = "1 MiB" }

[components.splitter]
path = "lib/splitter.wasm"

[capabilities]
env = ["HOME"]
http = ["example.com:443"]
sockets = ["db.example.com:5432"]

[graph]
name = "counts"

[graph.nodes.lines]
native-source = { connector = "file", options = { paths = ["in.txt"], format = "lines", skip = 1 } }

[graph.nodes.split]
name = "Split"
operator = { component = "splitter", function = "split" }
parallelism = 3
chaining = "head"

[graph.nodes.print]
native-sink = { connector = "print" }

[[graph.edges]]
from = "lines"
to = "split"
partitioning = "rebalance"
format = "raw"

[[graph.edges]]
from = "split"
from-port = 1
to = "print"
partitioning = "forward"
format = "json"
"#;

#[test]
fn a_manifest_is_read_and_written() {
    let manifest = Manifest::parse(FULL).unwrap();
    let limits = manifest.components["main"].limits.resolve(&SandboxLimits::default());
    assert_eq!(
        (limits.memory_bytes_max, limits.call_deadline_ms, limits.output_bytes_per_call_max),
        (512 << 20, 2_000, 1 << 20)
    );
    assert_eq!(manifest.components["splitter"].limits.resolve(&SandboxLimits::default()), SandboxLimits::default());
    assert_eq!(Manifest::parse(&manifest.to_toml().unwrap()).unwrap(), manifest);
}

#[test]
fn the_graph_of_a_manifest_names_nodes_by_uid() {
    let graph = Manifest::parse(FULL).unwrap().stream_graph().unwrap().unwrap();
    assert_eq!(graph.name, "counts");
    let nodes: Vec<(&str, &str)> = graph.nodes.iter().map(|node| (node.uid.as_str(), node.name.as_str())).collect();
    assert_eq!(nodes, [("lines", "lines"), ("print", "print"), ("split", "Split")]);
    let NodeKind::NativeSource(source) = &graph.nodes[0].kind else { panic!("{:?}", graph.nodes[0]) };
    assert_eq!(source.options, r#"{"format":"lines","paths":["in.txt"],"skip":1}"#);
    let NodeKind::NativeSink(sink) = &graph.nodes[1].kind else { panic!("{:?}", graph.nodes[1]) };
    assert_eq!(sink.options, "{}");
    assert_eq!((graph.nodes[2].parallelism, graph.nodes[2].chaining), (Some(3), Chaining::Head));
    let edge = &graph.edges[1];
    assert_eq!((edge.source, edge.source_port, edge.target, edge.target_port), (NodeId(2), 1, NodeId(1), 0));
    assert_eq!((edge.partitioning, edge.format), (Partitioning::Forward, Format::Json));
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        ("entry = \"main\"", "entri = \"main\"", "unknown field `entri`"),
        ("name = \"wordcount\"\n", "", "missing field `name`"),
        ("parallelism = 2", "parallelism = 0", "application.parallelism: 0 is not from 1 to 4096"),
        ("parallelism = 2", "parallelism = -1", "line 6"),
        ("entry = \"main\"", "entry = \"mian\"", "there is no component \"mian\"; the components are main, splitter"),
        ("version = \"0.1.0\"", "version = \" \"", "application.version: write 1 to 128 bytes"),
        ("\"main.wasm\"", "\"../main.wasm\"", "components.main.path: \"../main.wasm\" has an empty part"),
        ("\"main.wasm\"", "\"main.wat\"", "does not end in .wasm"),
        ("\"main.wasm\"", "\"lib/splitter.wasm\"", "is the path of component \"main\", too"),
        ("[components.splitter]", "[components.\"split ter\"]", "a component's name has 1 to 64 ASCII letters"),
        ("\"512 MiB\"", "\"many\"", "\"many\" is not an amount of memory"),
        ("\"512 MiB\"", "\"5 gb\"", "is more than 4 GiB"),
        ("\"2 s\"", "\"0 s\"", "is no time at all"),
        ("\"2 s\"", "\"2 h\"", "is more than 1 h"),
        ("[\"cargo\", \"build\", \"--release\"]", "[]", "components.main.build: it names no program"),
        ("\"HOME\"", "\"A=B\"", "capabilities.env: \"A=B\" is empty or has"),
        ("db.example.com:5432", "db.example.com", "write \"host:port\""),
        ("to = \"split\"", "to = \"splt\"", "graph.edges[0].to: there is no node \"splt\"; the nodes are lines, print"),
        ("component = \"splitter\"", "component = \"x\"", "graph.nodes.split: there is no component \"x\""),
        ("parallelism = 3", "parallelism = 5000", "graph.nodes.split.parallelism: 5000 is not from 1"),
        ("native-sink = { connector = \"print\" }", "name = \"p\"", "graph.nodes.print: state exactly one of source"),
        ("skip = 1", "skip = nan", "a number that is not finite"),
        ("skip = 1", "skip = 1979-05-27", "write dates and times as strings"),
        ("partitioning = \"forward\"", "partitioning = \"keyed\"", "unknown variant `keyed`"),
        ("[graph]\n", "[graph]\nnodez = 1\n", "unknown field `nodez`"),
    ];
    for (from, to, expected) in cases {
        assert!(FULL.contains(from), "{from}");
        let error = Manifest::parse(&FULL.replacen(from, to, 1)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error}\n… and not: {expected}");
        assert!(error.starts_with("millrace.toml"), "{error}");
    }
}

#[test]
fn a_graph_or_an_entry_is_needed() {
    let neither = "[application]\nname = \"a\"\nversion = \"1\"";
    let error = Manifest::parse(neither).unwrap_err().to_string();
    assert!(error.contains("application.entry: it is missing") && error.contains("[graph]"), "{error}");
    let nameless = "application = { name = \"a\", version = \"1\" }\ngraph.nodes.x.operator = {}";
    let error = Manifest::parse(nameless).unwrap_err().to_string();
    assert!(error.contains("graph.nodes.x: it names no component, and application.entry is missing"), "{error}");
}

#[test]
fn a_huge_or_deep_manifest_is_refused() {
    let huge = format!("{FULL}#{}", "x".repeat(300_000));
    assert!(Manifest::parse(&huge).unwrap_err().to_string().contains("where 262144 are allowed"));
    let deep = format!("{FULL}\nx = {}{}", "[".repeat(50_000), "]".repeat(50_000));
    assert!(Manifest::parse(&deep).is_err());
    let deep = format!("x{} = 1", ".x".repeat(100_000));
    assert!(Manifest::parse(&deep).is_err());
}
