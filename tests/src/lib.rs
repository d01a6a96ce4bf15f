//! End-to-end, recovery, simulation and conformance tests.
