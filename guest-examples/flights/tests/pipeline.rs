//! The whole application, natively.

use millrace::testing::{PipelineOptions, run_pipeline};

const FLIGHTS: [[&str; 2]; 8] = [
    ["EWR", "2"],
    ["LGA", "4"],
    ["EWR", "-5"],
    ["JFK", "NA"],
    ["EWR", "NA"],
    ["LGA", ""],
    ["EWR", "11"],
    ["LGA", "-7"],
];

fn options() -> PipelineOptions {
    PipelineOptions::new().args(["--input", "flights.csv", "--output", "out"]).csv("flights", FLIGHTS)
}

const EXPECTED: [&str; 3] = ["EWR,4,2.667,11", "JFK,1,,", "LGA,3,-1.500,4"];

#[test]
fn delays_are_summed_up_by_airport() {
    for parallelism in [1, 2, 4] {
        let output = run_pipeline(flights::build, &options().parallelism(parallelism)).unwrap();
        assert_eq!(output.sorted_lines("rows").unwrap(), EXPECTED, "parallelism {parallelism}");
    }
}

#[test]
fn instances_may_be_thrown_away_at_any_time() {
    for seed in 0..40 {
        let options = options().parallelism(1 + (seed % 3) as u32).discard_instances(seed);
        let output = run_pipeline(flights::build, &options).unwrap();
        assert_eq!(output.sorted_lines("rows").unwrap(), EXPECTED, "seed {seed}");
    }
}

#[test]
fn a_delay_that_is_no_number_fails_with_the_operators_name() {
    let options = options().csv("flights", [["JFK", "late"]]);
    let error = run_pipeline(flights::build, &options).err().map(|error| error.to_string());
    assert_eq!(error.as_deref(), Some("operator 'parse': dep_delay is 'late', which is no number"));
}

#[test]
fn delays_are_summed_up_by_hour() {
    let flights = [
        ["EWR", "2", "2013-10-01T10:00:00Z"],
        ["EWR", "-5", "2013-02-01T11:00:00Z"],
        ["JFK", "NA", "2013-02-01T11:00:00Z"],
        ["EWR", "9", "2013-10-01T10:00:00Z"],
    ];
    let args = ["--hourly", "--input", "flights.csv", "--output", "out"];
    for seed in 0..20 {
        let options = PipelineOptions::new().args(args).csv("flights", flights).parallelism(1 + (seed % 3) as u32);
        let output = run_pipeline(flights::build, &options.discard_instances(seed)).unwrap();
        let expected =
            ["EWR,2013-02-01T11:00:00Z,1,-5.000", "EWR,2013-10-01T10:00:00Z,2,5.500", "JFK,2013-02-01T11:00:00Z,1,"];
        assert_eq!(output.sorted_lines("rows").unwrap(), expected, "seed {seed}");
    }
}
