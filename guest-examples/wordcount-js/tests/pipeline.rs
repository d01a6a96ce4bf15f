//! The Rust half of the application, natively; the splitter's own tests are in `test/`.

use millrace::testing::{PipelineOptions, run_pipeline};

fn options() -> PipelineOptions {
    PipelineOptions::new()
        .args(["--input", "in.txt", "--output", "out"])
        .lines("lines", ["To be, or", "not to be"])
        .component("splitter", |row| {
            let mut words = Vec::new();
            wordcount::each_word(&String::from_utf8_lossy(row), |word| words.push(word.into_bytes()));
            words
        })
}

#[test]
fn what_the_splitter_gives_is_counted() {
    for seed in 0..10 {
        let output = run_pipeline(wordcount_js::build, &options().parallelism(2).discard_instances(seed)).unwrap();
        assert_eq!(output.sorted_lines("rows").unwrap(), ["be,2", "not,1", "or,1", "to,2"], "seed {seed}");
    }
}
