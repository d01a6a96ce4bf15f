//! What a strategy makes of the failures of one job.
//!
//! Invariant: one call for each failure that a restart would answer; failures of other tasks until the restart are part
//! of it, and waiting for slots is none.

use std::collections::VecDeque;

use millrace_types::Timestamp;

use super::strategy::{ExponentialDelay, RestartStrategy};

/// The shortest quiet time of the fixed-delay strategy, in milliseconds.
const FIXED_DELAY_QUIET_MS_MIN: u64 = 60_000;

/// A strategy and what has happened.
#[derive(Debug, Clone)]
pub(crate) struct RestartPolicy {
    strategy: RestartStrategy,
    seed: u64,
    /// Failures so far; for delays that grow, those since they started from the first one.
    failures: u32,
    /// For a failure rate the newest failures, one more than there may be in the interval.
    times: VecDeque<Timestamp>,
    /// For delays that grow, the next one without jitter.
    backoff_ms: u64,
    has_failed: bool,
    /// When tasks were deployed last, unless a failure came since.
    running_since: Option<Timestamp>,
}

impl RestartPolicy {
    /// The policy of a job that has not failed. The seed decides the jitter.
    pub fn new(strategy: RestartStrategy, seed: u64) -> Self {
        Self {
            strategy,
            seed,
            failures: 0,
            times: VecDeque::new(),
            backoff_ms: 0,
            has_failed: false,
            running_since: None,
        }
    }

    /// Tasks are deployed.
    pub fn deployed(&mut self, now: Timestamp) {
        self.running_since = Some(now);
    }

    /// The job has failed: how long to wait before it runs again, in milliseconds; `None`: it does not.
    pub fn failed(&mut self, now: Timestamp) -> Option<u64> {
        let since = self.running_since.take();
        let first = !std::mem::replace(&mut self.has_failed, true);
        let quiet = |quiet_ms| first || since.is_some_and(|since| now.since_ms(since) >= quiet_ms);
        let unless = |quiet: bool, delay_ms| if quiet { 0 } else { delay_ms };
        match self.strategy {
            RestartStrategy::None => None,
            RestartStrategy::FixedDelay { attempts, delay_ms } => {
                self.failures = self.failures.saturating_add(1);
                let delay_ms = unless(quiet(delay_ms.max(FIXED_DELAY_QUIET_MS_MIN)), delay_ms);
                (self.failures <= attempts).then_some(delay_ms)
            }
            RestartStrategy::FailureRate { failures_max, interval_ms, delay_ms } => {
                let delay_ms = unless(quiet(interval_ms), delay_ms);
                self.rate_allows(now, failures_max, interval_ms).then_some(delay_ms)
            }
            RestartStrategy::ExponentialDelay(delay) => {
                let quiet = quiet(delay.reset_threshold_ms);
                self.growing_delay(&delay, quiet)
            }
        }
    }

    /// Whether there were no more failures than there may be within the interval that ends now.
    fn rate_allows(&mut self, now: Timestamp, failures_max: u32, interval_ms: u64) -> bool {
        if self.times.len() > failures_max as usize {
            self.times.pop_front();
        }
        self.times.push_back(now);
        let oldest = self.times.front().filter(|_| self.times.len() > failures_max as usize);
        oldest.is_none_or(|oldest| now.since_ms(*oldest) > interval_ms)
    }

    fn growing_delay(&mut self, delay: &ExponentialDelay, quiet: bool) -> Option<u64> {
        if quiet {
            self.failures = 0;
            self.backoff_ms = delay.backoff_ms_initial;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures > delay.attempts_max {
            return None;
        }
        if quiet {
            return Some(0);
        }
        let backoff_ms = self.backoff_ms;
        self.backoff_ms = delay.multiplier.times(backoff_ms).min(delay.backoff_ms_max);
        let jitter_ms = delay.jitter_factor.times(backoff_ms);
        let lowest = backoff_ms.saturating_sub(jitter_ms);
        // The remainder's bias is beyond what a delay in milliseconds can show.
        let spread =
            mix(self.seed.wrapping_add(u64::from(self.failures))) % jitter_ms.saturating_mul(2).saturating_add(1);
        Some(lowest.saturating_add(spread).clamp(delay.backoff_ms_initial, delay.backoff_ms_max))
    }
}

/// SplitMix64's finalizer: spreads neighbouring numbers over all numbers.
fn mix(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restart::Decimal;

    const MINUTE: u64 = 60_000;

    /// The answers to failures, each so long after the deployment before it.
    fn answers(strategy: RestartStrategy, ran_ms: &[u64]) -> Vec<Option<u64>> {
        let mut policy = RestartPolicy::new(strategy, 7);
        let mut now = Timestamp(0);
        let fail = |ran_ms: &u64| {
            policy.deployed(now);
            now = now.plus_ms(*ran_ms);
            policy.failed(now)
        };
        ran_ms.iter().map(fail).collect()
    }

    #[test]
    fn without_a_strategy_there_is_no_restart() {
        assert_eq!(answers(RestartStrategy::None, &[0, MINUTE]), [None, None]);
    }

    #[test]
    fn a_fixed_delay_is_waited_so_many_times_and_not_after_a_quiet_time() {
        let strategy = RestartStrategy::FixedDelay { attempts: 3, delay_ms: 500 };
        assert_eq!(answers(strategy, &[5, 5, 5, 5]), [Some(0), Some(500), Some(500), None]);
        assert_eq!(answers(strategy, &[5, MINUTE - 1, MINUTE]), [Some(0), Some(500), Some(0)]);
        let never = RestartStrategy::FixedDelay { attempts: 0, delay_ms: 0 };
        assert_eq!(answers(never, &[5]), [None]);
        let long = RestartStrategy::FixedDelay { attempts: 9, delay_ms: 5 * MINUTE };
        assert_eq!(answers(long, &[5, MINUTE, 5 * MINUTE]), [Some(0), Some(5 * MINUTE), Some(0)]);
    }

    #[test]
    fn a_failure_rate_counts_the_failures_of_its_interval() {
        let strategy = RestartStrategy::FailureRate { failures_max: 2, interval_ms: 1_000, delay_ms: 10 };
        assert_eq!(answers(strategy, &[0, 400, 400]), [Some(0), Some(10), None]);
        // The third failure is 1,001 ms behind the first, the fourth 601 ms behind the second.
        assert_eq!(answers(strategy, &[0, 400, 601, 0]), [Some(0), Some(10), Some(10), None]);
        assert_eq!(answers(strategy, &[0, 400, 600]), [Some(0), Some(10), None]);
        assert_eq!(answers(strategy, &[0, 1_000, 1_001, 1_002]), [Some(0); 4]);
    }

    fn growing(jitter_millionths: u64, attempts_max: u32) -> RestartStrategy {
        RestartStrategy::ExponentialDelay(ExponentialDelay {
            backoff_ms_initial: 1_000,
            backoff_ms_max: 4_000,
            multiplier: Decimal::from_millionths(1_500_000),
            reset_threshold_ms: 3_600_000,
            jitter_factor: Decimal::from_millionths(jitter_millionths),
            attempts_max,
        })
    }

    #[test]
    fn exponential_delays_grow_to_their_limit_and_start_again_after_a_quiet_time() {
        let delays = [0, 1_000, 1_500, 2_250, 3_375, 4_000, 4_000].map(Some);
        assert_eq!(answers(growing(0, u32::MAX), &[5; 7]), delays);
        let hour = 3_600_000;
        assert_eq!(answers(growing(0, u32::MAX), &[5, 5, 5, hour - 1, hour, 5])[3..], [2_250, 0, 1_000].map(Some));
        assert_eq!(answers(growing(0, 2), &[5, 5, hour, 5, 5])[..], [Some(0), Some(1_000), Some(0), Some(1_000), None]);
    }

    #[test]
    fn jitter_stays_within_its_part_and_follows_the_seed() {
        let delays = answers(growing(100_000, u32::MAX), &[5; 100]);
        assert_eq!(delays, answers(growing(100_000, u32::MAX), &[5; 100]));
        for (delay, expected) in delays[1..4].iter().zip([1_000, 1_500, 2_250]) {
            let spread = (expected * 9 / 10).max(1_000)..=expected * 11 / 10;
            assert!(delay.is_some_and(|delay| spread.contains(&delay)), "{delay:?} {expected}");
        }
        let longest = delays[6..].iter().flatten();
        assert!(longest.clone().all(|delay| (3_600..=4_000).contains(delay)));
        assert!(longest.clone().min() < longest.max(), "it varies");
    }

    #[test]
    fn a_failure_before_anything_was_deployed_again_is_not_quiet() {
        let mut policy = RestartPolicy::new(RestartStrategy::FixedDelay { attempts: 9, delay_ms: 500 }, 0);
        policy.deployed(Timestamp(0));
        assert_eq!(policy.failed(Timestamp(10 * MINUTE)), Some(0));
        assert_eq!(policy.failed(Timestamp(20 * MINUTE)), Some(500));
    }
}
