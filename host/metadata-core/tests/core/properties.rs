//! Random histories of the state machine together with a blob store that does what it is told.

use std::collections::BTreeSet;

use crate::support::{blobs, bundle, complete_upgrade, job_id, set_checkpoints, status_command, submission, tenant};
use bytes::Bytes;
use millrace_metadata_core::{Applied, Command, JobRetention, MetadataState, Response, UploadId};
use millrace_types::{BlobKey, JobStatus, TenantId, Timestamp};
use proptest::prelude::*;

/// The components of each bundle that the histories speak of; some share one.
const COMPONENTS: [&[u32]; 3] = [&[1, 2], &[2], &[]];

#[derive(Debug, Clone)]
enum Step {
    Upload { tenant: u8, bundle: u32 },
    FinishUpload { which: usize },
    AbandonUpload { which: usize },
    Remove { tenant: u8, bundle: u32 },
    Submit { tenant: u8, job: u32, bundle: u32 },
    Status { tenant: u8, job: u32, status: JobStatus, at: u64 },
    Attempt { tenant: u8, job: u32, attempt: u32 },
    Checkpoint { tenant: u8, job: u32, add: Option<u64>, retained: BTreeSet<u64>, stale: bool },
    Upgrade { tenant: u8, job: u32, checkpoint: u64, bundle: u32 },
    Archive { tenant: u8, job: u32, bytes: usize },
    Expire { now: u64, capacity: u32 },
    DeleteOne { which: usize },
    NewLeader,
    ReserveIds { count: u32 },
}

fn step() -> impl Strategy<Value = Step> {
    let (tenant, bundle, job) = (0u8..2, 0u32..3, 0u32..4);
    let status = proptest::sample::select(JobStatus::ALL);
    prop_oneof![
        3 => (tenant.clone(), bundle.clone()).prop_map(|(tenant, bundle)| Step::Upload { tenant, bundle }),
        3 => any::<usize>().prop_map(|which| Step::FinishUpload { which }),
        1 => any::<usize>().prop_map(|which| Step::AbandonUpload { which }),
        2 => (tenant.clone(), bundle.clone()).prop_map(|(tenant, bundle)| Step::Remove { tenant, bundle }),
        3 => (tenant.clone(), job.clone(), bundle.clone()).prop_map(|(tenant, job, bundle)| Step::Submit { tenant, job, bundle }),
        4 => (tenant.clone(), job.clone(), status, 0u64..100)
            .prop_map(|(tenant, job, status, at)| Step::Status { tenant, job, status, at }),
        2 => (tenant.clone(), job.clone(), 0u32..5).prop_map(|(tenant, job, attempt)| Step::Attempt { tenant, job, attempt }),
        3 => (tenant.clone(), job.clone(), prop::option::of(1u64..6), prop::collection::btree_set(1u64..6, 0..4), any::<bool>())
            .prop_map(|(tenant, job, add, retained, stale)| Step::Checkpoint { tenant, job, add, retained, stale }),
        2 => (tenant.clone(), job.clone(), 1u64..6, bundle)
            .prop_map(|(tenant, job, checkpoint, bundle)| Step::Upgrade { tenant, job, checkpoint, bundle }),
        1 => (tenant, job, 0usize..50).prop_map(|(tenant, job, bytes)| Step::Archive { tenant, job, bytes }),
        1 => (0u64..200, 0u32..3).prop_map(|(now, capacity)| Step::Expire { now, capacity }),
        3 => any::<usize>().prop_map(|which| Step::DeleteOne { which }),
        1 => Just(Step::NewLeader),
        1 => (0u32..4).prop_map(|count| Step::ReserveIds { count }),
    ]
}

/// The state machine, the blobs that are really there, and the uploads that the one leader knows of.
#[derive(Default)]
struct World {
    state: MetadataState,
    log: Vec<Command>,
    blobs: BTreeSet<BlobKey>,
    uploads: Vec<(TenantId, UploadId, u32)>,
    next_id: u64,
}

impl World {
    fn apply(&mut self, command: Command) -> Option<Applied> {
        let before = self.state.clone();
        let result = self.state.apply(command.clone());
        self.state.check().unwrap();
        let Ok(applied) = result else {
            assert_eq!(self.state, before, "a rejection changed something: {command:?}");
            return None;
        };
        assert_eq!(applied.changed, self.state != before, "{command:?}");
        self.log.push(command);
        Some(applied)
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Upload { tenant: number, bundle } => {
                let tenant = tenant(number);
                let blobs = blobs(&tenant, bundle, COMPONENTS[bundle as usize]);
                let begun = self.apply(Command::BeginUpload { tenant: tenant.clone(), blobs: blobs.clone() });
                if let Some(Applied { response: Response::Upload(upload), .. }) = begun {
                    self.blobs.extend(blobs);
                    self.uploads.push((tenant, upload, bundle));
                }
            }
            Step::FinishUpload { which } if !self.uploads.is_empty() => {
                let (tenant, upload, number) = self.uploads.swap_remove(which % self.uploads.len());
                let bundle = bundle(number, COMPONENTS[number as usize]);
                self.apply(Command::AddBundle { tenant, upload, bundle }).expect("its upload is known");
            }
            Step::AbandonUpload { which } if !self.uploads.is_empty() => {
                let (tenant, upload, _) = self.uploads.swap_remove(which % self.uploads.len());
                self.apply(Command::AbandonUpload { tenant, upload }).expect("its upload is known");
            }
            Step::FinishUpload { .. } | Step::AbandonUpload { .. } => {}
            Step::Remove { tenant: number, bundle: removed } => {
                self.apply(Command::RemoveBundle { tenant: tenant(number), bundle: bundle(removed, &[]).id });
            }
            Step::Submit { tenant: number, job, bundle } => {
                self.apply(Command::AddJob { tenant: tenant(number), job: Box::new(submission(job, bundle)) });
            }
            Step::Status { tenant: number, job, status, at } => {
                self.apply(status_command(&tenant(number), job, status, at));
            }
            Step::Attempt { tenant: number, job, attempt } => {
                let (tenant, job) = (tenant(number), job_id(job));
                let before = self.state.job(&tenant, job).map(|job| job.highest_attempt);
                let recorded =
                    self.apply(Command::RecordAttempts { tenant: tenant.clone(), job, attempts: vec![attempt] });
                let after = self.state.job(&tenant, job).map(|job| job.highest_attempt);
                let expected = if recorded.is_some() { before.max(Some(attempt)) } else { before };
                assert_eq!(after, expected, "attempt numbers only grow");
            }
            Step::Checkpoint { tenant: number, job, add, retained, stale } => {
                let (tenant, id) = (tenant(number), job_id(job));
                let retained: Vec<u64> = retained.into_iter().chain(add).collect();
                let epoch = self.state.epoch().0 + u64::from(stale);
                let applied = self.apply(set_checkpoints(&tenant, job, epoch, add, &retained));
                assert!(applied.is_none() || !stale, "a leader of another epoch decides nothing");
                let after = self.state.job(&tenant, id).map(|job| job.checkpoints.iter().map(|found| found.id.0));
                if applied.is_some() {
                    let retained: BTreeSet<u64> = retained.into_iter().collect();
                    assert!(after.is_some_and(|ids| ids.eq(retained)), "exactly what was named is retained");
                }
            }
            Step::Upgrade { tenant: number, job, checkpoint, bundle: number_of_bundle } => {
                let (tenant, id) = (tenant(number), job_id(job));
                let epoch = self.state.epoch().0;
                let applied = self.apply(complete_upgrade(&tenant, job, epoch, checkpoint, number_of_bundle));
                let found = self.state.job(&tenant, id);
                let runs = found.is_some_and(|job| job.submission.bundle == bundle(number_of_bundle, &[]).id);
                let has = found.is_some_and(|job| job.checkpoints.iter().any(|pointer| pointer.id.0 == checkpoint));
                assert!(applied.is_none() || (runs && has), "both or neither");
            }
            Step::Archive { tenant: number, job, bytes } => {
                let details = Bytes::from(vec![1; bytes]);
                self.apply(Command::ArchiveJob { tenant: tenant(number), job: job_id(job), details });
            }
            Step::Expire { now, capacity: capacity_per_tenant } => {
                let retention = JobRetention { capacity_per_tenant, expiration_ms: 60 };
                self.apply(Command::ExpireJobs { now: Timestamp(now), retention });
            }
            Step::DeleteOne { which } => self.delete_one(which),
            Step::NewLeader => {
                self.uploads.clear();
                self.apply(Command::BeginEpoch).expect("always accepted");
            }
            Step::ReserveIds { count } => {
                if let Some(Applied { response: Response::Ids(ids), .. }) = self.apply(Command::ReserveIds { count }) {
                    assert!(ids.start >= self.next_id && ids.end - ids.start == u64::from(count));
                    self.next_id = ids.end;
                }
            }
        }
    }

    /// Carries out one of the deletions that are decided, then reports it.
    fn delete_one(&mut self, which: usize) {
        let condemned: Vec<BlobKey> = self.state.condemned().cloned().collect();
        if !condemned.is_empty() {
            let blob = condemned[which % condemned.len()].clone();
            self.blobs.remove(&blob);
            self.apply(Command::BlobsDeleted { blobs: vec![blob] }).expect("always accepted");
        }
    }

    /// The blobs that bundles and unfinished jobs need, found by reading the state alone.
    fn needed(&self) -> BTreeSet<BlobKey> {
        let of = |tenant: &TenantId, bundle: millrace_types::Digest| {
            let number = u32::from_be_bytes(bundle.as_bytes()[..4].try_into().unwrap());
            blobs(tenant, number, COMPONENTS[number as usize])
        };
        let tenants: Vec<&TenantId> = self.state.tenants().collect();
        let bundles = tenants.iter().flat_map(|tenant| {
            self.state.bundles(tenant).flat_map(|bundle| of(tenant, bundle.id.digest())).collect::<Vec<_>>()
        });
        let jobs = self.state.unfinished_jobs().flat_map(|(id, job)| of(id, job.submission.bundle.digest()));
        bundles.chain(jobs).collect()
    }
}

proptest! {
    #[test]
    fn no_needed_blob_is_missing_and_none_is_left_over(steps in prop::collection::vec(step(), 0..120)) {
        let mut world = World::default();
        for step in steps {
            world.step(step);
            let needed = world.needed();
            prop_assert!(needed.is_subset(&world.blobs), "missing: {:?}", needed.difference(&world.blobs));
        }
        world.step(Step::NewLeader);
        while world.state.condemned().next().is_some() {
            world.delete_one(0);
        }
        prop_assert_eq!(world.needed(), world.blobs);
    }

    #[test]
    fn a_log_and_a_snapshot_with_the_rest_of_the_log_give_the_state(
        steps in prop::collection::vec(step(), 0..80), cut in any::<prop::sample::Index>()
    ) {
        let mut world = World::default();
        steps.into_iter().for_each(|step| world.step(step));
        let cut = cut.index(world.log.len() + 1);
        let mut replayed = MetadataState::default();
        for (place, command) in world.log.iter().enumerate() {
            if place == cut {
                let snapshot = serde_json::to_vec(&replayed).unwrap();
                replayed = serde_json::from_slice(&snapshot).unwrap();
            }
            let _ = replayed.apply(command.clone()).unwrap();
        }
        prop_assert_eq!(replayed, world.state);
    }
}
