//! States that are not keyed, at other parallelisms.

use std::collections::BTreeMap;

use millrace_state::{OperatorState, SubtaskState};
use millrace_types::StateKind;
use proptest::collection::vec;
use proptest::prelude::*;

/// The states of a subtask with a list, a union and a broadcast state.
fn operator(list: &[u8], union: &[u8], shared: u8) -> OperatorState {
    let numbered = |values: &[u8]| (0u32..).zip(values).map(|(at, v)| (at.to_be_bytes().to_vec(), vec![*v])).collect();
    let state = |kind, entries| SubtaskState { kind, expires: kind == StateKind::Union, entries };
    OperatorState {
        states: BTreeMap::from([
            ("list".to_owned(), state(StateKind::List, numbered(list))),
            ("union".to_owned(), state(StateKind::Union, numbered(union))),
            ("shared".to_owned(), state(StateKind::Broadcast, BTreeMap::from([(b"k".to_vec(), vec![shared])]))),
        ]),
    }
}

fn values(operator: &OperatorState, name: &str) -> Vec<u8> {
    let entries = &operator.states[name].entries;
    assert!(entries.keys().zip(0u32..).all(|(key, at)| *key == at.to_be_bytes()), "numbered without gaps");
    entries.values().flatten().copied().collect()
}

proptest! {
    #[test]
    fn elements_are_dealt_out_and_unions_go_to_all(
        lists in vec((vec(any::<u8>(), 0..6), vec(any::<u8>(), 0..4)), 1..5),
        parallelism in 1u32..6,
    ) {
        let earlier: BTreeMap<u32, _> = (0..).zip(lists.iter().map(|(list, union)| operator(list, union, 9))).collect();
        let were = earlier.len() as u32;
        let all: Vec<u8> = lists.iter().flat_map(|(list, _)| list.clone()).collect();
        let unions: Vec<u8> = lists.iter().flat_map(|(_, union)| union.clone()).collect();
        let new: Vec<_> = (0..parallelism).map(|at| OperatorState::redistribute(&earlier, were, at, parallelism)).collect();
        let dealt: Vec<Vec<u8>> = new.iter().map(|operator| values(operator, "list")).collect();
        prop_assert_eq!(dealt.concat(), all);
        let (least, most) = (dealt.iter().map(Vec::len).min().unwrap(), dealt.iter().map(Vec::len).max().unwrap());
        prop_assert!(most - least <= 1 || lists.len() == parallelism as usize);
        for operator in &new {
            prop_assert_eq!(values(operator, "union"), unions.clone());
            prop_assert_eq!(&operator.states["shared"], &earlier[&0].states["shared"]);
        }
    }

    #[test]
    fn damaged_bytes_are_refused(list in vec(any::<u8>(), 0..6), at in any::<prop::sample::Index>(), bit in 0u8..8) {
        let state = operator(&list, &[1], 2);
        let bytes = state.encode();
        prop_assert_eq!(OperatorState::decode(&bytes), Ok(state));
        let at = at.index(bytes.len());
        prop_assert!(OperatorState::decode(&bytes[..at]).is_err());
        let mut damaged = bytes.to_vec();
        damaged[at] ^= 1 << bit;
        prop_assert!(OperatorState::decode(&damaged).is_err());
    }
}
