//! Command lists: each rule of the state machine by a story of its own.

use std::collections::BTreeSet;

use crate::support::{
    add_bundle, blob, bundle, complete_upgrade, done, job_id, set_checkpoints, set_status, submission, tenant,
};
use bytes::Bytes;
use millrace_metadata_core::limits::{TAKEOVER_REASON_BYTES_MAX, VERTICES_PER_JOB_MAX};
use millrace_metadata_core::{
    Applied, CheckpointPointer, Command, JobRetention, MetadataState, Rejection, Response, limits,
};
use millrace_types::{
    BlobKind, CheckpointId, Failure, FailureKind, JobStatus, LeaderEpoch, TAKEOVERS_MAX, Takeover, TenantId, Timestamp,
};

#[test]
fn every_leader_has_an_epoch_of_its_own() {
    let mut state = MetadataState::default();
    for expected in 1..4 {
        let applied = state.apply(Command::BeginEpoch).unwrap();
        assert_eq!(applied.response, Response::Epoch(LeaderEpoch(expected)));
        assert_eq!(state.epoch(), LeaderEpoch(expected));
    }
}

#[test]
fn ids_are_reserved_once() {
    let mut state = MetadataState::default();
    let mut ids = |count| state.apply(Command::ReserveIds { count }).map(|applied| applied.response);
    assert_eq!(ids(10), Ok(Response::Ids(1..11)));
    assert_eq!(ids(1), Ok(Response::Ids(11..12)));
    for count in [0, limits::IDS_PER_BLOCK_MAX + 1] {
        assert!(matches!(ids(count), Err(Rejection::OutOfRange { .. })), "{count}");
    }
}

#[test]
fn a_bundle_needs_the_upload_of_all_its_blobs() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    let whole = blob(&tenant, BlobKind::Bundle, 1);
    let upload = crate::support::begin_upload(&mut state, &tenant, vec![whole]).unwrap();
    let add = Command::AddBundle { tenant: tenant.clone(), upload, bundle: bundle(1, &[7]) };
    let missing = blob(&tenant, BlobKind::Component, 7);
    assert_eq!(state.apply(add.clone()), Err(Rejection::NotUploaded(missing)));

    let foreign = crate::support::tenant(1);
    let theirs = Command::AddBundle { tenant: foreign, upload, bundle: bundle(1, &[]) };
    assert_eq!(state.apply(theirs), Err(Rejection::NoSuchUpload(upload)));

    done(&mut state, Command::AbandonUpload { tenant: tenant.clone(), upload });
    assert_eq!(state.apply(add), Err(Rejection::NoSuchUpload(upload)));
    assert_eq!(state.condemned().count(), 1, "what may have been written is to be deleted");
}

#[test]
fn the_same_bundle_twice_is_one_bundle() {
    let mut state = MetadataState::default();
    assert_eq!(add_bundle(&mut state, &tenant(0), 1, &[7]).response, Response::BundleAdded { new: true });
    let again = add_bundle(&mut state, &tenant(0), 1, &[7]);
    assert_eq!((again.response, again.condemned), (Response::BundleAdded { new: false }, vec![]));
    assert_eq!(state.bundles(&tenant(0)).count(), 1);
}

#[test]
fn blobs_stay_while_a_bundle_or_a_running_job_needs_them() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[7, 8]);
    add_bundle(&mut state, &tenant, 2, &[8]);
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) });
    let removed = done(&mut state, Command::RemoveBundle { tenant: tenant.clone(), bundle: bundle(1, &[]).id });
    assert_eq!(removed.condemned, vec![], "the job runs");
    assert_eq!(
        state.apply(Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(2, 1)) }),
        Err(Rejection::NoSuchBundle(bundle(1, &[]).id))
    );

    set_status(&mut state, &tenant, 1, JobStatus::Running, 10);
    let ended = set_status(&mut state, &tenant, 1, JobStatus::Finished, 20);
    let free = vec![blob(&tenant, BlobKind::Bundle, 1), blob(&tenant, BlobKind::Component, 7)];
    assert_eq!(ended.condemned, free, "component 8 belongs to the other bundle, too");
    assert_eq!(state.condemned().cloned().collect::<Vec<_>>(), free);
}

#[test]
fn a_condemned_blob_is_not_uploaded_before_its_deletion_is_known() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[]);
    let condemned =
        done(&mut state, Command::RemoveBundle { tenant: tenant.clone(), bundle: bundle(1, &[]).id }).condemned;
    let begin = Command::BeginUpload { tenant: tenant.clone(), blobs: condemned.clone() };
    let rejection = state.apply(begin.clone()).unwrap_err();
    assert_eq!(rejection, Rejection::BlobBeingDeleted(condemned[0].clone()));
    assert!(rejection.is_retryable());
    let deleted = Command::BlobsDeleted { blobs: condemned };
    assert!(done(&mut state, deleted.clone()).changed);
    assert_eq!(state.tenants().count(), 0, "a tenant that owns nothing is forgotten");
    assert!(!done(&mut state, deleted).changed);
    done(&mut state, begin);
}

#[test]
fn uploads_end_with_their_leader() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[7]);
    let whole = blob(&tenant, BlobKind::Bundle, 2);
    let blobs = vec![whole.clone(), blob(&tenant, BlobKind::Component, 7)];
    let upload = crate::support::begin_upload(&mut state, &tenant, blobs).unwrap();
    let applied = done(&mut state, Command::BeginEpoch);
    assert_eq!(applied.condemned, vec![whole], "component 7 belongs to a bundle");
    let add = Command::AddBundle { tenant, upload, bundle: bundle(2, &[7]) };
    assert_eq!(state.apply(add), Err(Rejection::NoSuchUpload(upload)));
}

#[test]
fn an_ended_job_is_final_and_only_it_is_archived() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[]);
    let add = Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) };
    done(&mut state, add.clone());
    assert_eq!(state.apply(add), Err(Rejection::JobExists(job_id(1))));
    let archive = |details: usize| Command::ArchiveJob {
        tenant: tenant.clone(),
        job: job_id(1),
        details: Bytes::from(vec![1; details]),
    };
    assert!(matches!(state.apply(archive(1)), Err(Rejection::JobNotEnded { .. })));

    let failure = Failure::new(FailureKind::Trap, "unreachable");
    done(
        &mut state,
        Command::SetJobStatus {
            tenant: tenant.clone(),
            job: job_id(1),
            status: JobStatus::Failing,
            at: Timestamp(5),
            failure: Some(failure.clone()),
        },
    );
    assert!(!set_status(&mut state, &tenant, 1, JobStatus::Failing, 6).changed);
    set_status(&mut state, &tenant, 1, JobStatus::Failed, 9);
    let job = state.job(&tenant, job_id(1)).unwrap();
    assert_eq!((job.failure.as_ref(), job.ended_at()), (Some(&failure), Some(Timestamp(9))));
    assert_eq!(job.status_times[&JobStatus::Failing], Timestamp(5), "the time at which it entered the status");

    let told_again = crate::support::status_command(&tenant, 1, JobStatus::Failed, 10);
    assert!(
        !done(&mut state, told_again).changed,
        "the first answer may have been lost: whoever asks again is not refused"
    );
    assert_eq!(state.job(&tenant, job_id(1)).unwrap().ended_at(), Some(Timestamp(9)));
    let again = crate::support::status_command(&tenant, 1, JobStatus::Running, 10);
    assert_eq!(state.apply(again), Err(Rejection::JobEnded { job: job_id(1), status: JobStatus::Failed }));
    assert!(matches!(state.apply(archive(limits::DETAILS_BYTES_MAX + 1)), Err(Rejection::TooLarge { .. })));
    assert!(done(&mut state, archive(10)).changed);
    assert!(!done(&mut state, archive(10)).changed);
    assert_eq!(state.unfinished_jobs().count(), 0);
}

#[test]
fn attempt_numbers_only_grow_and_outlive_the_leader() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[]);
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) });
    let record =
        |attempt| Command::RecordAttempts { tenant: tenant.clone(), job: job_id(1), attempts: vec![0, attempt] };
    let highest = |state: &MetadataState| state.job(&tenant, job_id(1)).unwrap().highest_attempt;
    assert_eq!(highest(&state), 0, "the first number is given out with the job");
    assert!(done(&mut state, record(3)).changed);
    done(&mut state, record(2));
    done(&mut state, Command::BeginEpoch);
    assert_eq!(highest(&state), 3);
    assert_eq!(state.job(&tenant, job_id(1)).unwrap().attempts, [0, 2], "those that were given out last");
    let many = vec![1; VERTICES_PER_JOB_MAX + 1];
    let many = Command::RecordAttempts { tenant: tenant.clone(), job: job_id(1), attempts: many };
    assert!(matches!(state.apply(many), Err(Rejection::OutOfRange { .. })));
    for at in 0..20 {
        let reason = "why".repeat(1_000).into();
        let takeover = Takeover { epoch: LeaderEpoch(1), at: Timestamp(at), adopted: at > 0, reason };
        done(&mut state, Command::RecordTakeover { tenant: tenant.clone(), job: job_id(1), takeover });
    }
    let takeovers = &state.job(&tenant, job_id(1)).unwrap().takeovers;
    assert_eq!((takeovers.len(), takeovers[0].at), (TAKEOVERS_MAX, Timestamp(4)));
    assert!(takeovers[0].reason.len() <= TAKEOVER_REASON_BYTES_MAX);
    let wanted = |count| Command::RecordRequirements {
        tenant: tenant.clone(),
        job: job_id(1),
        requirements: vec![(1, 4); count],
    };
    assert!(done(&mut state, wanted(2)).changed && !done(&mut state, wanted(2)).changed);
    assert_eq!(state.job(&tenant, job_id(1)).unwrap().requirements, [(1, 4), (1, 4)]);
    assert!(matches!(state.apply(wanted(VERTICES_PER_JOB_MAX + 1)), Err(Rejection::OutOfRange { .. })));
    set_status(&mut state, &tenant, 1, JobStatus::Failed, 9);
    assert!(matches!(state.apply(wanted(1)), Err(Rejection::JobEnded { .. })));
    assert!(matches!(state.apply(record(4)), Err(Rejection::JobEnded { .. })));
    assert_eq!(highest(&state), 3);
}

#[test]
fn checkpoint_ids_and_retained_checkpoints_outlive_the_leader() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    done(&mut state, Command::BeginEpoch);
    add_bundle(&mut state, &tenant, 1, &[]);
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) });
    let reserve = |epoch, checkpoint| Command::RecordCheckpointId {
        tenant: tenant.clone(),
        job: job_id(1),
        epoch: LeaderEpoch(epoch),
        checkpoint,
    };
    assert!(done(&mut state, reserve(1, 5)).changed);
    assert!(!done(&mut state, reserve(1, 4)).changed);
    let set = |epoch, add: Option<u64>, retained: &[u64]| set_checkpoints(&tenant, 1, epoch, add, retained);
    let ids = |state: &MetadataState| -> Vec<u64> {
        state.job(&tenant, job_id(1)).unwrap().checkpoints.iter().map(|pointer| pointer.id.0).collect()
    };
    assert!(done(&mut state, set(1, Some(1), &[1])).changed);
    assert!(done(&mut state, set(1, Some(2), &[1, 2])).changed);
    assert!(!done(&mut state, set(1, Some(2), &[1, 2])).changed, "told again");
    assert!(done(&mut state, set(1, Some(4), &[2, 4])).changed);
    assert_eq!(ids(&state), [2, 4]);
    let unknown = Rejection::NoSuchCheckpoint { job: job_id(1), checkpoint: CheckpointId(1) };
    assert_eq!(state.apply(set(1, None, &[1, 4])), Err(unknown), "what is gone is gone");
    assert!(matches!(state.apply(set(1, Some(3), &[2, 3, 4])), Err(Rejection::OlderCheckpoint { .. })));
    let Command::SetCheckpoints { add: Some(pointer), .. } = set(1, Some(4), &[]) else { unreachable!() };
    let other = CheckpointPointer { metadata_checksum: 99, ..*pointer };
    let retained = BTreeSet::from([CheckpointId(4)]);
    let other = Command::SetCheckpoints {
        tenant: tenant.clone(),
        job: job_id(1),
        epoch: LeaderEpoch(1),
        add: Some(Box::new(other)),
        retained,
    };
    assert!(matches!(state.apply(other), Err(Rejection::NoSuchCheckpoint { .. })), "an id names one checkpoint");

    done(&mut state, Command::BeginEpoch);
    assert_eq!(ids(&state), [2, 4]);
    assert_eq!(state.job(&tenant, job_id(1)).unwrap().highest_checkpoint, 5);
    let stale = Rejection::StaleEpoch { stale: LeaderEpoch(1), newest: LeaderEpoch(2) };
    assert_eq!(state.apply(set(1, Some(6), &[6])), Err(stale.clone()));
    assert_eq!(state.apply(reserve(1, 9)), Err(stale));
    done(&mut state, set(2, Some(9), &[9]));
    assert_eq!(state.job(&tenant, job_id(1)).unwrap().highest_checkpoint, 9);

    set_status(&mut state, &tenant, 1, JobStatus::Canceled, 9);
    assert!(matches!(state.apply(set(2, Some(10), &[10])), Err(Rejection::JobEnded { .. })));
    assert!(matches!(state.apply(reserve(2, 10)), Err(Rejection::JobEnded { .. })));
    assert!(done(&mut state, set(2, None, &[])).changed, "its files may still be deleted");
}

#[test]
fn the_retained_checkpoints_are_bounded() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    done(&mut state, Command::BeginEpoch);
    add_bundle(&mut state, &tenant, 1, &[]);
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) });
    let max = limits::CHECKPOINTS_PER_JOB_MAX as u64;
    let mut retained = Vec::new();
    for id in 1..=max {
        retained.push(id);
        done(&mut state, set_checkpoints(&tenant, 1, 1, Some(id), &retained));
    }
    retained.push(max + 1);
    let one_more = set_checkpoints(&tenant, 1, 1, Some(max + 1), &retained);
    assert!(matches!(state.apply(one_more), Err(Rejection::OutOfRange { .. })));
    let mut long = set_checkpoints(&tenant, 1, 1, Some(max + 1), &[max + 1]);
    if let Command::SetCheckpoints { add: Some(pointer), .. } = &mut long {
        pointer.folder = "/".repeat(limits::CHECKPOINT_FOLDER_BYTES_MAX + 1);
    }
    assert!(matches!(state.apply(long), Err(Rejection::TooLarge { .. })));
}

#[test]
fn tenants_do_not_see_each_other() {
    let mut state = MetadataState::default();
    let (ours, theirs) = (tenant(0), tenant(1));
    add_bundle(&mut state, &ours, 1, &[]);
    add_bundle(&mut state, &theirs, 2, &[]);
    done(&mut state, Command::AddJob { tenant: ours.clone(), job: Box::new(submission(1, 1)) });
    let not_found = [
        Command::RemoveBundle { tenant: theirs.clone(), bundle: bundle(1, &[]).id },
        Command::AddJob { tenant: theirs.clone(), job: Box::new(submission(2, 1)) },
        crate::support::status_command(&theirs, 1, JobStatus::Canceled, 1),
        Command::ArchiveJob { tenant: theirs.clone(), job: job_id(1), details: Bytes::new() },
        Command::RecordAttempts { tenant: theirs.clone(), job: job_id(1), attempts: vec![1] },
        Command::RecordCheckpointId { tenant: theirs.clone(), job: job_id(1), epoch: state.epoch(), checkpoint: 1 },
        set_checkpoints(&theirs, 1, state.epoch().0, Some(1), &[1]),
        Command::RemoveBundle { tenant: TenantId::new("nobody").unwrap(), bundle: bundle(1, &[]).id },
    ];
    for command in not_found {
        assert!(state.apply(command.clone()).unwrap_err().is_not_found(), "{command:?}");
    }
    let foreign = Command::BeginUpload { tenant: theirs, blobs: vec![blob(&ours, BlobKind::Bundle, 1)] };
    assert!(matches!(state.apply(foreign), Err(Rejection::ForeignBlob(_))));
}

#[test]
fn old_jobs_expire_by_age_and_by_number() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[]);
    for (job, ended_at) in [(1, 100), (2, 50), (3, 200)] {
        done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(job, 1)) });
        set_status(&mut state, &tenant, job, JobStatus::Finished, ended_at);
    }
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(4, 1)) });
    let mut expire = |now, capacity_per_tenant, expiration_ms| {
        let retention = JobRetention { capacity_per_tenant, expiration_ms };
        let Applied { expired, changed, .. } =
            state.apply(Command::ExpireJobs { now: Timestamp(now), retention }).unwrap();
        assert_eq!(changed, !expired.is_empty());
        expired.into_iter().map(|(_, job)| job).collect::<Vec<_>>()
    };
    assert_eq!(expire(149, 3, 100), vec![]);
    assert_eq!(expire(150, 3, 100), vec![job_id(2)], "100 ms after its end");
    assert_eq!(expire(150, 1, 100), vec![job_id(1)], "the one that ended first of those that are left");
    assert_eq!(expire(1_000_000, 0, 0), vec![job_id(3)], "an unfinished job stays");
    assert_eq!(state.jobs(&tenant).count(), 1);
}

#[test]
fn the_history_bounds_itself() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[]);
    let count = limits::HISTORY_JOBS_PER_TENANT_MAX as u32 + 1;
    for job in 0..count {
        done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(job, 1)) });
        // The clock runs backwards: the order is that of the decisions.
        let ended = set_status(&mut state, &tenant, job, JobStatus::Canceled, u64::from(count - job));
        let expected = if job + 1 == count { vec![(tenant.clone(), job_id(0))] } else { vec![] };
        assert_eq!(ended.expired, expected);
    }
    let mut expired = Vec::new();
    let large = limits::HISTORY_BYTES_PER_TENANT_MAX as usize / limits::DETAILS_BYTES_MAX;
    for job in count - 1 - large as u32..count {
        let details = Bytes::from(vec![7; limits::DETAILS_BYTES_MAX]);
        expired.extend(
            done(&mut state, Command::ArchiveJob { tenant: tenant.clone(), job: job_id(job), details }).expired,
        );
    }
    assert!(expired.len() > large, "room was made");
    state.check().unwrap();
}

#[test]
fn counts_and_sizes_are_bounded() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    for number in 0..limits::BUNDLES_PER_TENANT_MAX {
        add_bundle(&mut state, &tenant, number as u32, &[]);
    }
    let whole = blob(&tenant, BlobKind::Bundle, 999_999);
    let upload = crate::support::begin_upload(&mut state, &tenant, vec![whole.clone()]).unwrap();
    let add = Command::AddBundle { tenant: tenant.clone(), upload, bundle: bundle(999_999, &[]) };
    let rejection = state.apply(add).unwrap_err();
    assert_eq!(rejection.to_string(), "there are already 1000 bundles: delete some that no job needs");

    for _ in 1..limits::UPLOADS_PER_TENANT_MAX {
        crate::support::begin_upload(&mut state, &tenant, vec![whole.clone()]).unwrap();
    }
    assert!(matches!(crate::support::begin_upload(&mut state, &tenant, vec![whole]), Err(Rejection::TooMany { .. })));

    let mut large = submission(0, 1);
    large.job_graph = Bytes::from(vec![0; limits::JOB_BYTES_MAX as usize + 1]);
    let add = Command::AddJob { tenant: tenant.clone(), job: Box::new(large) };
    assert!(matches!(state.apply(add), Err(Rejection::TooLarge { .. })));
    for job in 0..limits::UNFINISHED_JOBS_PER_TENANT_MAX {
        done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(job as u32, 1)) });
    }
    let add = Command::AddJob { tenant, job: Box::new(submission(999_999, 1)) };
    assert!(matches!(state.apply(add), Err(Rejection::TooMany { .. })));
}

#[test]
fn what_a_guest_says_of_its_failure_is_cut() {
    let mut state = MetadataState::default();
    let tenant = tenant(0);
    add_bundle(&mut state, &tenant, 1, &[]);
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) });
    let failure = Failure {
        kind: FailureKind::Trap,
        message: "é".repeat(1 << 20),
        operator: Some("o".repeat(1 << 20)),
        backtrace: vec!["f".repeat(1 << 20); 100],
        remedy: None,
    };
    let at = Timestamp(1);
    let status = JobStatus::Failed;
    done(
        &mut state,
        Command::SetJobStatus { tenant: tenant.clone(), job: job_id(1), status, at, failure: Some(failure) },
    );
    let kept = state.job(&tenant, job_id(1)).unwrap().failure.clone().unwrap();
    assert!(kept.to_string().len() < 100 * 1024);
}

#[test]
fn a_checkpoint_and_the_code_behind_it_are_one_decision() {
    let (mut state, tenant) = (MetadataState::default(), tenant(1));
    done(&mut state, Command::BeginEpoch);
    add_bundle(&mut state, &tenant, 1, &[11]);
    add_bundle(&mut state, &tenant, 2, &[12]);
    done(&mut state, Command::AddJob { tenant: tenant.clone(), job: Box::new(submission(1, 1)) });
    done(&mut state, set_checkpoints(&tenant, 1, 1, Some(1), &[1]));
    let before = state.clone();
    for refused in [
        complete_upgrade(&tenant, 1, 0, 2, 2),
        complete_upgrade(&tenant, 1, 1, 2, 3),
        complete_upgrade(&tenant, 2, 1, 2, 2),
    ] {
        assert!(state.apply(refused).is_err());
        assert_eq!(state, before, "neither of the two");
    }
    done(&mut state, complete_upgrade(&tenant, 1, 1, 2, 2));
    let job = state.job(&tenant, job_id(1)).unwrap().clone();
    assert_eq!(job.checkpoints.iter().map(|pointer| pointer.id.0).collect::<Vec<_>>(), [2]);
    assert_eq!((&job.submission.bundle, &job.components), (&bundle(2, &[]).id, &bundle(2, &[12]).components));
    assert_eq!((job.submission.args.as_slice(), &job.submission.name), (&["--new".to_owned()][..], &"job".to_owned()));
    // The old bundle's blobs are needed no longer, the new one's are.
    let removed = done(&mut state, Command::RemoveBundle { tenant: tenant.clone(), bundle: bundle(1, &[]).id });
    assert_eq!(removed.condemned.len(), 2);
    let removed = done(&mut state, Command::RemoveBundle { tenant: tenant.clone(), bundle: bundle(2, &[]).id });
    assert_eq!(removed.condemned, []);
    // Told again since the answer was lost.
    assert!(!done(&mut state, complete_upgrade(&tenant, 1, 1, 2, 2)).changed);
    set_status(&mut state, &tenant, 1, JobStatus::Finished, 9);
    assert!(state.apply(complete_upgrade(&tenant, 1, 1, 3, 2)).is_err());
}
