//! One job as a pure state machine: scheduling, failure, cancellation, split assignment.
