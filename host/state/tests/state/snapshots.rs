//! Several subtasks that seal, merge, fail, and are restored at other parallelisms, against a model of what they all hold.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use millrace_state::{
    KeyedBackend, MergeOptions, MergePolicy, MergeTicket, Sealed, SegmentChain, SegmentInput, SegmentStates,
    StateLimits, StateTimer, TimerClock, TimerUpdate, merge,
};
use millrace_types::{KeyGroupRange, key_group_for_key};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::common::{MAX_PARALLELISM, Model, Row, apply, backend, descriptor, group, put, rows, scan_all};

const NAMES: [&str; 2] = ["a", "b"];

#[derive(Debug, Clone)]
enum Step {
    Put(usize, Vec<Row>),
    Timers(Vec<(StateTimer, bool)>),
    /// A checkpoint; whether it is completed or aborted is the JobMaster's affair.
    Seal,
    /// A savepoint: all of it, from it alone.
    Savepoint,
    BeginMerge,
    EndMerge(bool),
    /// What was not sealed is lost.
    Fail,
    Rescale(u32),
    /// Checkpoints are turned off and on.
    Untracked(usize, Vec<Row>),
}

fn timer() -> impl Strategy<Value = StateTimer> {
    (any::<bool>(), -3i64..3, vec(0u8..3, 0..3), vec(0u8..2, 0..2)).prop_map(|(event, timestamp, key, namespace)| {
        let clock = if event { TimerClock::EventTime } else { TimerClock::ProcessingTime };
        StateTimer { clock, timestamp, key: key.into(), namespace: namespace.into() }
    })
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0usize..2, rows()).prop_map(|(state, rows)| Step::Put(state, rows)),
        3 => vec((timer(), any::<bool>()), 0..5).prop_map(Step::Timers),
        6 => Just(Step::Seal),
        1 => Just(Step::Savepoint),
        3 => Just(Step::BeginMerge),
        3 => any::<bool>().prop_map(Step::EndMerge),
        1 => Just(Step::Fail),
        2 => (1u32..4).prop_map(Step::Rescale),
        1 => (0usize..2, rows()).prop_map(|(state, rows)| Step::Untracked(state, rows)),
    ]
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct World {
    states: [Model; 2],
    timers: BTreeSet<StateTimer>,
}

struct Subtask {
    range: KeyGroupRange,
    backend: KeyedBackend,
    states: SegmentStates,
    chain: SegmentChain<Bytes>,
    merging: Option<MergeTicket<Bytes>>,
    /// What changed since the last seal.
    timers: Vec<TimerUpdate>,
}

fn fingerprints() -> BTreeMap<String, String> {
    NAMES.iter().map(|name| ((*name).to_owned(), "u64".to_owned())).collect()
}

/// What to restore: for each earlier subtask its segments.
type Earlier = Vec<Vec<SegmentInput<Bytes>>>;

fn inputs(chain: &SegmentChain<Bytes>) -> Vec<SegmentInput<Bytes>> {
    chain.segments().map(|s| SegmentInput { source: s.handle.clone(), key_groups: s.key_groups }).collect()
}

fn restored(range: KeyGroupRange, earlier: Earlier) -> (KeyedBackend, Vec<StateTimer>) {
    let mut backend = backend(range, MAX_PARALLELISM, StateLimits::default());
    backend.set_tracking(true);
    let timers = backend.restore("op", &fingerprints(), earlier).unwrap();
    (backend, timers)
}

impl Subtask {
    fn new(subtask: u32, parallelism: u32, earlier: &[SegmentChain<Bytes>]) -> (Self, Vec<StateTimer>) {
        let range = KeyGroupRange::of_subtask(subtask, parallelism, MAX_PARALLELISM);
        let (mut backend, timers) = restored(range, earlier.iter().map(inputs).collect());
        let states = backend.open_segment(NAMES.map(|name| descriptor(name, "u64"))).unwrap();
        let chain = SegmentChain::restored(range, earlier.iter().map(|chain| chain.segments().cloned().collect()));
        (Self { range, backend, states, chain, merging: None, timers: Vec::new() }, timers)
    }

    fn seal(&mut self, all_timers: &BTreeSet<StateTimer>) {
        let changes = std::mem::take(&mut self.timers);
        let timers = if self.backend.base_due() { self.own(all_timers) } else { changes };
        let sealed = self.backend.seal(BTreeMap::from([("op".to_owned(), timers)])).unwrap();
        for (bytes, base) in encoded(sealed) {
            let len = bytes.len() as u64;
            self.chain.push(bytes, len, base);
        }
    }

    /// All timers that are set, as a base takes them.
    fn own(&self, timers: &BTreeSet<StateTimer>) -> Vec<TimerUpdate> {
        let own = timers.iter().filter(|timer| self.range.contains(key_group_for_key(&timer.key, MAX_PARALLELISM)));
        own.map(|timer| TimerUpdate { timer: timer.clone(), set: true }).collect()
    }

    fn put(&mut self, state: usize, rows: &[Row]) {
        let mine: Vec<_> = rows.iter().filter(|(key, _, _)| self.range.contains(group(key))).cloned().collect();
        put(&mut self.backend, self.states.resolve(state as u32).unwrap(), &mine);
    }

    fn begin_merge(&mut self) {
        if self.merging.is_none() {
            self.merging = self.chain.begin_merge(&MergePolicy { changes_max: 2, small_bytes: 100 });
        }
    }

    fn end_merge(&mut self, works: bool) {
        let Some(ticket) = self.merging.take() else { return };
        let options = MergeOptions {
            key_groups: self.range,
            max_parallelism: MAX_PARALLELISM,
            expired_at: Some(i64::MAX),
            base: ticket.base,
        };
        let segments = ticket.segments.iter();
        let segments = segments.map(|s| SegmentInput { source: s.handle.clone(), key_groups: s.key_groups }).collect();
        let mut out = Vec::new();
        merge(segments, &options, &mut |chunk| {
            out.extend_from_slice(&chunk);
            Ok(())
        })
        .unwrap();
        let len = out.len() as u64;
        self.chain.end_merge(&ticket, works.then(|| (out.into(), len)));
    }
}

fn encoded(sealed: Sealed) -> Vec<(Bytes, bool)> {
    let operators = sealed.into_values();
    operators
        .flat_map(|operator| {
            assert_eq!(operator.fingerprints, fingerprints());
            assert_eq!(operator.operator_state, None);
            operator.segments
        })
        .map(|segment| (segment.encode().unwrap().0, segment.is_base()))
        .collect()
}

/// The subtasks from what earlier ones sealed.
fn start(parallelism: u32, earlier: &[SegmentChain<Bytes>], expected: &World) -> Vec<Subtask> {
    let (subtasks, timers): (Vec<_>, Vec<_>) =
        (0..parallelism).map(|subtask| Subtask::new(subtask, parallelism, earlier)).unzip();
    let timers: Vec<_> = timers.into_iter().flatten().collect();
    assert_eq!(timers.iter().cloned().collect::<BTreeSet<_>>(), expected.timers);
    assert_eq!(timers.len(), expected.timers.len(), "each timer in one subtask");
    check(&subtasks, expected);
    subtasks
}

fn check(subtasks: &[Subtask], world: &World) {
    for (state, expected) in (0u32..).zip(&world.states) {
        let mut found = Model::new();
        for subtask in subtasks {
            found.extend(scan_all(&subtask.backend, subtask.states.resolve(state).unwrap()));
        }
        assert_eq!(found, *expected);
    }
}

fn chains(subtasks: Vec<Subtask>) -> Vec<SegmentChain<Bytes>> {
    subtasks.into_iter().map(|subtask| subtask.chain).collect()
}

fn run(steps: Vec<Step>) {
    let (mut now, mut sealed) = (World::default(), World::default());
    let mut subtasks = start(1, &[], &now);
    for step in steps {
        match step {
            Step::Put(state, rows) => {
                subtasks.iter_mut().for_each(|subtask| subtask.put(state, &rows));
                rows.iter().for_each(|row| apply(&mut now.states[state], row));
            }
            Step::Timers(changes) => {
                for (timer, set) in changes {
                    let group = key_group_for_key(&timer.key, MAX_PARALLELISM);
                    let owner = subtasks.iter_mut().find(|subtask| subtask.range.contains(group)).unwrap();
                    owner.timers.push(TimerUpdate { timer: timer.clone(), set });
                    if set {
                        now.timers.insert(timer)
                    } else {
                        now.timers.remove(&timer)
                    };
                }
            }
            Step::Seal => {
                subtasks.iter_mut().for_each(|subtask| subtask.seal(&now.timers));
                sealed = now.clone();
            }
            Step::Savepoint => {
                let mut bases = Vec::new();
                for subtask in &mut subtasks {
                    let timers = BTreeMap::from([("op".to_owned(), subtask.own(&now.timers))]);
                    let base = encoded(subtask.backend.seal_base(timers).unwrap());
                    assert!(base.len() == 1 && base[0].1);
                    bases.push(vec![SegmentInput { source: base[0].0.clone(), key_groups: subtask.range }]);
                }
                let all = KeyGroupRange::of_subtask(0, 1, MAX_PARALLELISM);
                let (mut whole, timers) = restored(all, bases);
                assert!(timers.iter().eq(&now.timers));
                let states = whole.open_segment(NAMES.map(|name| descriptor(name, "u64"))).unwrap();
                for (state, expected) in (0u32..).zip(&now.states) {
                    assert_eq!(scan_all(&whole, states.resolve(state).unwrap()), *expected);
                }
            }
            Step::BeginMerge => subtasks.iter_mut().for_each(Subtask::begin_merge),
            Step::EndMerge(works) => subtasks.iter_mut().for_each(|subtask| subtask.end_merge(works)),
            Step::Fail => {
                let parallelism = subtasks.len() as u32;
                now = sealed.clone();
                subtasks = start(parallelism, &chains(subtasks), &now);
            }
            Step::Rescale(parallelism) => {
                subtasks.iter_mut().for_each(|subtask| subtask.seal(&now.timers));
                sealed = now.clone();
                subtasks = start(parallelism, &chains(subtasks), &now);
            }
            Step::Untracked(state, rows) => {
                subtasks.iter_mut().for_each(|subtask| subtask.backend.set_tracking(false));
                subtasks.iter_mut().for_each(|subtask| subtask.put(state, &rows));
                rows.iter().for_each(|row| apply(&mut now.states[state], row));
                subtasks.iter_mut().for_each(|subtask| subtask.backend.set_tracking(true));
            }
        }
        check(&subtasks, &now);
    }
    now = sealed;
    start(subtasks.len() as u32, &chains(subtasks), &now);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn nothing_sealed_is_lost_and_nothing_else_comes_back(steps in vec(step(), 1..40)) {
        run(steps);
    }
}
