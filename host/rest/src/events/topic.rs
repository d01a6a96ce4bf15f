//! Looks at a topic, once a second at most, while somebody listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use millrace_metadata_core::JobRecord;
use millrace_types::{JobId, TenantId};
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

use super::Topic;
use super::flow::flow;
use super::picture::{Picture, Seen};
use crate::error::RestError;
use crate::server::{RestState, now};
use crate::tenant::Tenant;
use crate::{checkpoints, cluster, group, jobs};

/// How often a topic is looked at.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Looks at a topic until nobody listens any more, or it is no more.
pub(super) async fn look_at(topic: Topic, state: RestState, pictures: watch::Sender<Picture>) {
    let mut clock = tokio::time::interval(LOOK_INTERVAL);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut ended = Ended::default();
    loop {
        clock.tick().await;
        if state.events.forget_unheard(&topic, &pictures) {
            return;
        }
        let before = pictures.borrow().clone();
        let drawn = match &topic {
            Topic::Cluster(tenant) => cluster_now(&state, tenant, &before, &mut ended).await,
            Topic::Job(tenant, job) => job_now(&state, tenant, *job, &before).await,
        };
        match drawn {
            Ok(picture) => pictures.send_if_modified(|known| {
                let news = !picture.since(known).is_empty();
                *known = picture;
                news
            }),
            // The job has left the history: its listeners go with the sender.
            Err(_) => return state.events.forget(&topic),
        };
    }
}

/// The jobs that have ended, of which nothing changes but whether they are kept.
type Ended = BTreeMap<JobId, Arc<JobRecord>>;

async fn cluster_now(
    state: &RestState,
    tenant: &TenantId,
    before: &Picture,
    ended: &mut Ended,
) -> Result<Picture, RestError> {
    let (asked, of) = (|| State(state.clone()), || Tenant(tenant.clone()));
    let mut picture = Picture::default();
    picture.draw(before, "overview", &cluster::overview(asked(), of()).await.0)?;
    picture.draw(before, "taskmanagers", &cluster::task_managers(asked(), of()).await.0)?;
    picture.draw(before, "members", &group::status(asked()).await.0)?;
    let mut entries = BTreeMap::new();
    let mut ended_now = Ended::new();
    let now = now();
    for record in state.dispatcher.job_records(tenant) {
        let job = record.submission.id;
        let known = before.job(job).filter(|_| ended.get(&job).is_some_and(|known| Arc::ptr_eq(known, &record)));
        let entry = match known {
            Some(known) => known.clone(),
            None => Seen::anew(before.job(job), &jobs::summary(&state.dispatcher.job_of(tenant, &record), now))?,
        };
        entries.insert(job, entry);
        if record.status.is_terminal() {
            ended_now.insert(job, record);
        }
    }
    *ended = ended_now;
    picture.draw_jobs(entries);
    Ok(picture)
}

async fn job_now(state: &RestState, tenant: &TenantId, job: JobId, before: &Picture) -> Result<Picture, RestError> {
    let (asked, of, id) = (|| State(state.clone()), || Tenant(tenant.clone()), || Path(job.to_string()));
    let mut picture = Picture::default();
    let Json(details) = jobs::details(asked(), of(), id()).await?;
    picture.draw(before, "job", &details)?;
    // Through what has ended nothing passes any more.
    if !(details.state.is_terminal() && picture.keep(before, "figures")) {
        picture.draw(before, "figures", &flow(&state.dispatcher.job_flow(tenant, job).await?))?;
    }
    let Json(statistics) = checkpoints::statistics(asked(), of(), id()).await?;
    picture.draw(before, "checkpoints", &statistics)?;
    let Json(exceptions) = jobs::exceptions(asked(), of(), id(), Query::default()).await?;
    picture.draw(before, "exceptions", &exceptions)?;
    Ok(picture)
}
