//! Who gets which slots: the pure function, and the notices of those who get none.

use std::collections::BTreeSet;

use millrace_resource_core::{Assignment, Command, Demand, Input, Problem, solve};
use millrace_types::{SlotId, TenantId};
use proptest::prelude::*;

use crate::harness::{Harness, grant, job, registration, requests, slot};

fn demand(number: u8, slots: u32) -> Demand {
    Demand { job: job(number), slots, partly: false }
}

fn free(slots: &[(&str, u32)]) -> BTreeSet<SlotId> {
    slots.iter().flat_map(|(name, count)| (0..*count).map(|index| slot(name, index))).collect()
}

fn slots_of(assignment: &Assignment, number: u8) -> Vec<SlotId> {
    assignment.iter().filter(|(_, owner)| **owner == job(number)).map(|(slot, _)| slot.clone()).collect()
}

#[test]
fn task_managers_are_filled_one_by_one() {
    let problem = Problem { demands: vec![demand(1, 3)], free: free(&[("a", 2), ("b", 2)]) };
    assert_eq!(slots_of(&solve(&problem, &Assignment::new()), 1), [slot("a", 0), slot("a", 1), slot("b", 0)]);
}

#[test]
fn a_job_grows_first_where_it_runs() {
    let previous = Assignment::from([(slot("b", 0), job(1))]);
    let problem =
        Problem { demands: vec![demand(1, 3)], free: free(&[("a", 2)]).into_iter().chain([slot("b", 1)]).collect() };
    assert_eq!(slots_of(&solve(&problem, &previous), 1), [slot("a", 0), slot("b", 0), slot("b", 1)]);
}

#[test]
fn a_job_gets_all_or_nothing_and_holds_up_nobody() {
    let problem = Problem { demands: vec![demand(1, 3), demand(2, 2), demand(3, 1)], free: free(&[("a", 2)]) };
    let assignment = solve(&problem, &Assignment::new());
    assert_eq!(slots_of(&assignment, 1), []);
    assert_eq!(slots_of(&assignment, 2).len(), 2);
    assert_eq!(slots_of(&assignment, 3), []);
}

#[test]
fn a_job_that_can_do_with_fewer_gets_what_there_is() {
    let partly = Demand { partly: true, ..demand(1, 3) };
    let problem = Problem { demands: vec![partly, demand(2, 1)], free: free(&[("a", 2)]) };
    let first = solve(&problem, &Assignment::new());
    assert_eq!(slots_of(&first, 1), [slot("a", 0), slot("a", 1)]);
    // What it still lacks comes first, as it asked first.
    let problem = Problem { free: free(&[("b", 1)]), ..problem };
    assert_eq!(slots_of(&solve(&problem, &first), 1).len(), 3);
}

#[test]
fn a_job_that_runs_with_fewer_is_told_what_it_lacks() {
    let mut harness = Harness::with(&[("a", 1)]);
    let request = Input::SlotsRequested { job: job(1), tenant: TenantId::default_tenant(), count: 3, partly: true };
    let commands = harness.step(request);
    assert_eq!(requests(&commands), [(slot("a", 0), grant(1), job(1))]);
    assert_eq!(commands[1..], [Command::NotifyLacking { job: job(1), needed: 3, free: 0, total: 1 }]);
    let commands = harness.step(Input::Registered(registration("b", 1)));
    assert_eq!(requests(&commands), [(slot("b", 0), grant(2), job(1))]);
}

#[test]
fn requests_go_out_with_everything_that_a_task_manager_needs() {
    let mut harness = Harness::with(&[("a", 2)]);
    let commands = harness.request(1, 1);
    let [Command::RequestSlotFromTaskManager { task_manager, request }] = &commands[..] else {
        panic!("{commands:?}");
    };
    assert_eq!(task_manager.0, "a");
    assert_eq!((request.epoch.0, request.tenant.as_str()), (5, "default"));
    assert_eq!(requests(&commands), [(slot("a", 0), grant(1), job(1))]);
    assert_eq!((harness.core.slots_free(), harness.core.slots_total()), (1, 2));
}

#[test]
fn first_come_first_served_whatever_the_ids() {
    let mut harness = Harness::new();
    harness.request(9, 1);
    harness.request(1, 1);
    let commands = harness.step(Input::Registered(registration("a", 1)));
    assert_eq!(requests(&commands), [(slot("a", 0), grant(1), job(9))]);
}

#[test]
fn a_job_is_told_what_is_lacking_once_and_served_when_it_is_there() {
    let mut harness = Harness::with(&[("a", 1)]);
    assert_eq!(harness.request(1, 3), [Command::NotifyLacking { job: job(1), needed: 3, free: 1, total: 1 }]);
    assert_eq!(harness.heartbeat("a", &[]), []);
    let commands = harness.step(Input::Registered(registration("b", 1)));
    assert_eq!(commands, [Command::NotifyLacking { job: job(1), needed: 3, free: 2, total: 2 }]);
    let commands = harness.step(Input::Registered(registration("c", 1)));
    assert_eq!(requests(&commands).len(), 3);
    assert_eq!(commands.len(), 3);
}

#[test]
fn a_request_may_change_before_it_is_met() {
    let mut harness = Harness::with(&[("a", 2)]);
    harness.request(1, 3);
    assert_eq!(requests(&harness.request(1, 2)).len(), 2);
    assert_eq!(harness.request(1, 2), []);
}

proptest! {
    #[test]
    fn the_solution_keeps_what_was_and_serves_who_fits(
        demands in proptest::collection::vec((0..6u32, any::<bool>()), 0..6),
        slots in proptest::collection::vec((0..4u8, 0..4u32, proptest::option::of(0..6u8)), 0..20)
    ) {
        let mut previous = Assignment::new();
        let mut free = BTreeSet::new();
        for (task_manager, index, owner) in slots {
            let slot = slot(&task_manager.to_string(), index);
            match owner {
                Some(owner) => { previous.insert(slot, job(owner)); }
                None => { free.insert(slot); }
            }
        }
        let demands = demands.into_iter().enumerate();
        let demands: Vec<Demand> =
            demands.map(|(n, (slots, partly))| Demand { partly, ..demand(n as u8, slots) }).collect();
        let problem = Problem { demands: demands.clone(), free };
        let assignment = solve(&problem, &previous);
        for (slot, owner) in &previous {
            prop_assert_eq!(assignment.get(slot), Some(owner));
        }
        let mut left = problem.free.iter().filter(|slot| !assignment.contains_key(slot)).count();
        for (slot, _) in assignment.iter().filter(|(slot, _)| !previous.contains_key(slot)) {
            prop_assert!(problem.free.contains(slot));
        }
        for demand in demands.iter().rev() {
            let held = |assignment: &Assignment| assignment.values().filter(|owner| **owner == demand.job).count();
            let (before, after) = (held(&previous), held(&assignment));
            if after == before {
                // Served already, or what it lacks was not there when its turn came, and is not there now.
                let lacking = (demand.slots as usize).saturating_sub(before);
                prop_assert!(lacking == 0 || lacking > left);
                prop_assert!(lacking == 0 || left == 0 || !demand.partly);
            } else {
                prop_assert!(after == demand.slots as usize || (demand.partly && left == 0));
                left += after - before;
            }
        }
        prop_assert_eq!(solve(&problem, &previous), assignment);
    }
}
