# `just` without arguments lists the recipes. `scripts/setup` installs `just` and all that the recipes need.

set shell := ["bash", "-euo", "pipefail", "-c"]

millrace := "target/release/millrace"

_default:
    @just --list --unsorted

# Install what is missing on this machine.
setup:
    scripts/setup

# Build the dashboard, which is part of the binary, if its sources have changed.
page:
    scripts/page

# Build everything; tests too, so that nothing is built twice with other features.
build: page
    cargo build --release --locked --workspace --all-targets

# Build the example applications into target/bundles.
guests: build
    for example in wordcount flights wordcount-js faulty nexmark tally; do {{millrace}} build "guest-examples/$example" --output target/bundles; done

# Start a cluster, upload an application through REST, run it on real text and show the result.
demo: guests
    scripts/demo

# Start a cluster in this terminal, REST and all, until Ctrl-C.
up *ARGS: build
    {{millrace}} standalone --data-dir target/standalone {{ARGS}}

# Run all tests.
test: guests
    cargo test --release --locked --workspace
    cd guest-examples && cargo test --locked --workspace
    node --test guest-examples/wordcount-js/test/*.test.js
    npm --prefix web-ui test --silent
    node --test --test-concurrency=1 web-ui/e2e/*.test.js

# Measure the dashboard in Chromium, with a large job and many jobs.
ui-bench: guests
    node --test web-ui/e2e/bench/*.js

# Check formatting, lints, dependencies and the style rules.
verify: page
    cargo fmt --check
    cd guest-examples && cargo fmt --check
    cargo clippy --release --locked --workspace --all-targets -- -D warnings
    cargo deny --log-level error --all-features check bans licenses sources
    npm --prefix web-ui run check --silent
    cd guest-examples && cargo deny --log-level error --all-features --config ../deny.toml check bans licenses sources

# Search for bytes on which a reader breaks its promises: batch, frame, bundle or manifest. Needs cargo-fuzz.
fuzz TARGET SECONDS="60":
    cargo fuzz run --fuzz-dir tests/fuzz --sanitizer none {{TARGET}} -- -max_total_time={{SECONDS}}

# Kill, stop and starve processes under jobs, and compare what these have committed. `--rounds N --seed S`.
chaos *ARGS: guests
    target/release/millrace-chaos {{ARGS}}

# Measure throughput, latency and memory.
bench: guests
    target/release/millrace-bench
