//! Windows against a naive model: whatever the records, the watermarks and the losses of instances, each window gives what
//! its records amount to.

use std::collections::BTreeMap;
use std::time::Duration;

use millrace::prelude::*;
use millrace::testing::OperatorHarness;
use proptest::prelude::*;

type Pair = (u8, i64);
/// Start, end, key, sum.
type Sum = (i64, i64, u8, i64);

#[derive(Clone, Debug)]
enum Command {
    /// Records of one batch: key, number, timestamp.
    Records(Vec<(u8, i64, i64)>),
    Watermark(i64),
    Flush,
    Discard,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Size, slide, offset.
    Grid(i64, i64, i64),
    Session(i64),
}

/// The records of all windows that are kept, by key and window.
struct Model {
    kind: Kind,
    lateness: i64,
    watermark: i64,
    windows: BTreeMap<(u8, i64, i64), i64>,
}

impl Model {
    fn assign(&self, at: i64) -> Vec<(i64, i64)> {
        match self.kind {
            // All windows one by one, found by looking.
            Kind::Grid(size, slide, offset) => {
                let starts = (at - size - slide..=at).filter(|start| (start - offset).rem_euclid(slide) == 0);
                starts.map(|start| (start, start + size)).filter(|window| window.0 <= at && at < window.1).collect()
            }
            Kind::Session(gap) => vec![(at, at + gap)],
        }
    }

    fn record(&mut self, (key, n, at): (u8, i64, i64)) -> Vec<Sum> {
        let mut fired = Vec::new();
        for (mut start, mut end) in self.assign(at) {
            let mut sum = n;
            if matches!(self.kind, Kind::Session(_)) {
                let touching: Vec<_> = self
                    .windows
                    .keys()
                    .copied()
                    .filter(|other| other.0 == key && other.1 <= end && start <= other.2)
                    .collect();
                if touching.is_empty() && end - 1 + self.lateness <= self.watermark {
                    continue;
                }
                for other in touching {
                    sum += self.windows.remove(&other).unwrap();
                    (start, end) = (start.min(other.1), end.max(other.2));
                }
                self.windows.insert((key, start, end), sum);
            } else {
                if end - 1 + self.lateness <= self.watermark {
                    continue;
                }
                let whole = self.windows.entry((key, start, end)).or_default();
                *whole += n;
                sum = *whole;
            }
            if end - 1 <= self.watermark {
                fired.push((start, end, key, sum));
            }
        }
        fired
    }

    fn advance(&mut self, watermark: i64) -> Vec<Sum> {
        if watermark <= self.watermark {
            return Vec::new();
        }
        let ends = self.watermark..watermark;
        let fired = self.windows.iter().filter(|((_, _, end), _)| ends.contains(&(end - 2)));
        let fired = fired.map(|((key, start, end), sum)| (*start, *end, *key, *sum)).collect();
        self.watermark = watermark;
        let lateness = self.lateness;
        self.windows.retain(|(_, _, end), _| end - 1 + lateness > watermark);
        fired
    }
}

fn emit(key: &u8, window: &TimeWindow, (_, n): Pair, ctx: &mut WindowContext<'_, Sum>) -> Result<()> {
    ctx.collect((window.start, window.end, *key, n));
    Ok(())
}

fn windowed<A: WindowAssigner<Pair, Window = TimeWindow>>(
    pairs: &Stream<Pair>,
    windows: A,
    lateness: i64,
    is_listed: bool,
) -> Stream<Sum> {
    let windowed = pairs.key_by(|pair| pair.0).window(windows).allowed_lateness(Duration::from_millis(lateness as u64));
    if is_listed {
        windowed.process(|key, window, pairs, ctx| {
            let sum = pairs.iter().map(|pair| pair.1).sum();
            emit(key, window, (0, sum), ctx)
        })
    } else {
        windowed.reduce_with(|a, b| (a.0, a.1 + b.1), emit)
    }
}

fn harness(kind: Kind, lateness: i64, is_listed: bool, cache: u32) -> OperatorHarness<Pair, Sum> {
    let millis = |n: i64| Duration::from_millis(n as u64);
    OperatorHarness::with_cache(cache, move |pairs: Stream<Pair>| match kind {
        Kind::Grid(size, slide, offset) if size == slide => {
            let windows = TumblingEventTimeWindows::of(millis(size)).with_offset_ms(offset);
            windowed(&pairs, windows, lateness, is_listed)
        }
        Kind::Grid(size, slide, offset) => {
            let windows = SlidingEventTimeWindows::of(millis(size), millis(slide)).with_offset_ms(offset);
            windowed(&pairs, windows, lateness, is_listed)
        }
        Kind::Session(gap) => windowed(&pairs, EventTimeSessionWindows::with_gap(millis(gap)), lateness, is_listed),
    })
    .unwrap()
}

fn commands() -> impl Strategy<Value = Vec<Command>> {
    let record = (0..4u8, 1..100i64, 0..60i64);
    // Watermarks and records move along together: their commands say how far.
    let command = prop_oneof![
        4 => proptest::collection::vec(record, 1..6).prop_map(Command::Records),
        3 => (0..25i64).prop_map(Command::Watermark),
        1 => Just(Command::Flush),
        1 => Just(Command::Discard),
    ];
    proptest::collection::vec(command, 1..40)
}

fn kind() -> impl Strategy<Value = Kind> {
    let grid = |size: std::ops::Range<i64>, slide: std::ops::Range<i64>| {
        (size, slide, -5..5i64).prop_map(|(size, slide, offset)| Kind::Grid(size, slide, offset))
    };
    prop_oneof![
        (1..20i64, -5..5i64).prop_map(|(size, offset)| Kind::Grid(size, size, offset)),
        grid(1..30, 1..12),
        (1..15i64).prop_map(Kind::Session),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn windows_give_what_their_records_amount_to(
        commands in commands(),
        kind in kind(),
        lateness in prop_oneof![Just(0), 0..20i64],
        is_listed: bool,
        cache in prop_oneof![Just(0u32), Just(2000), Just(1 << 20)],
    ) {
        let mut harness = harness(kind, lateness, is_listed, cache);
        let mut model = Model { kind, lateness, watermark: -1, windows: BTreeMap::new() };
        harness.watermark(-1).unwrap();
        let mut now = 0;
        for command in commands.into_iter().chain([Command::Watermark(1000), Command::Flush]) {
            let mut expected = Vec::new();
            match command {
                Command::Records(records) => {
                    let records: Vec<_> = records.into_iter().map(|(key, n, at)| (key, n, (now - 20 + at).max(0))).collect();
                    expected = records.iter().flat_map(|record| model.record(*record)).collect();
                    harness.push_batch(records.into_iter().map(|(key, n, at)| ((key, n), at))).unwrap();
                }
                Command::Watermark(step) => {
                    now += step;
                    expected = model.advance(now);
                    harness.watermark(now).unwrap();
                }
                Command::Flush => harness.flush().unwrap(),
                Command::Discard => harness.discard_instance().unwrap(),
            }
            let mut found = harness.take_outputs().unwrap();
            expected.sort_unstable();
            found.sort_unstable();
            prop_assert_eq!(found, expected);
        }
        prop_assert_eq!(harness.kept().unwrap(), (0, 0));
    }
}
