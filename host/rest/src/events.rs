//! `/events` and `/jobs/:id/events`: what changes, as server-sent events. Millrace's own.
//!
//! Invariants:
//! - What there is to tell of a topic is computed once for all that listen to it, and only while somebody does.
//! - A listener is told all there is first, then what differs from what it was told: one that is slow misses what was in
//!   between, and nothing gathers for it.
//! - There are [`STREAMS_MAX`] streams at most. All end with the tenure whose state they tell.

mod flow;
mod picture;
mod topic;

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use millrace_types::{JobId, TenantId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::error::RestError;
use crate::jobs::job_of;
use crate::server::RestState;
use crate::tenant::Tenant;
use picture::Picture;

/// Streams of events that one leader serves.
const STREAMS_MAX: usize = 256;

/// How often a stream says at least that it is alive. As an event of its own: browsers hide comments from the page.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
const ALIVE: Bytes = Bytes::from_static(b"event: alive\ndata: {}\n\n");

const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What can be listened to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Topic {
    /// The cluster as a tenant sees it.
    Cluster(TenantId),
    /// One job.
    Job(TenantId, JobId),
}

/// The topics that somebody listens to; cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    topics: Arc<Mutex<BTreeMap<Topic, watch::Receiver<Picture>>>>,
    streams: Arc<Semaphore>,
}

impl Default for Hub {
    fn default() -> Self {
        Self { topics: Arc::default(), streams: Arc::new(Semaphore::new(STREAMS_MAX)) }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Topic, watch::Receiver<Picture>>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A stream of a topic, which is looked at from now on if it was not yet.
    fn listen(&self, topic: Topic, state: &RestState) -> Result<Response, RestError> {
        let Ok(permit) = self.streams.clone().try_acquire_owned() else {
            let text = format!("{STREAMS_MAX} streams of events are open, which is the most: close some pages");
            return Err(RestError::new(StatusCode::SERVICE_UNAVAILABLE, text));
        };
        let mut topics = self.lock();
        // One whose sender is gone is of a topic that is no more.
        let known = topics.get(&topic).filter(|known| known.has_changed().is_ok()).cloned();
        let pictures = known.unwrap_or_else(|| {
            let (sender, pictures) = watch::channel(Picture::default());
            topics.insert(topic.clone(), pictures.clone());
            state.dispatcher.spawn(topic::look_at(topic, state.clone(), sender));
            pictures
        });
        Ok(respond(Listener::new(pictures, permit)))
    }

    /// Forgets a topic that is no more.
    fn forget(&self, topic: &Topic) {
        self.lock().remove(topic);
    }

    /// Forgets a topic unless somebody listens to it.
    fn forget_unheard(&self, topic: &Topic, sender: &watch::Sender<Picture>) -> bool {
        let mut topics = self.lock();
        // The receiver in the table is one. Whoever comes needs the table.
        let unheard = sender.receiver_count() <= 1;
        if unheard {
            topics.remove(topic);
        }
        unheard
    }
}

/// Somebody who is told of a topic.
struct Listener {
    pictures: watch::Receiver<Picture>,
    told: Picture,
    /// Gives its place back when it goes.
    _permit: OwnedSemaphorePermit,
}

impl Listener {
    fn new(mut pictures: watch::Receiver<Picture>, permit: OwnedSemaphorePermit) -> Self {
        pictures.mark_changed();
        Self { pictures, told: Picture::default(), _permit: permit }
    }

    /// The next events; `None`: the topic is no more.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            match tokio::time::timeout(KEEP_ALIVE, self.pictures.changed()).await {
                Err(_) => return Some(ALIVE),
                Ok(Err(_)) => return None,
                Ok(Ok(())) => {
                    let now = self.pictures.borrow_and_update().clone();
                    let events = now.since(&self.told);
                    self.told = now;
                    if !events.is_empty() {
                        return Some(events);
                    }
                }
            }
        }
    }
}

fn respond(listener: Listener) -> Response {
    let events = stream::unfold(listener, |mut listener| async move {
        let events = listener.next().await?;
        Some((Ok::<_, Infallible>(events), listener))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, CONTENT_TYPE);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Whether an answer is a stream of events.
pub(crate) fn is_stream(answer: &Response) -> bool {
    answer.headers().get(header::CONTENT_TYPE) == Some(&CONTENT_TYPE)
}

/// `GET /events`.
pub(crate) async fn cluster(State(state): State<RestState>, Tenant(tenant): Tenant) -> Result<Response, RestError> {
    state.events.listen(Topic::Cluster(tenant), &state)
}

/// `GET /jobs/:id/events`.
pub(crate) async fn job(
    State(state): State<RestState>,
    tenant: Tenant,
    Path(id): Path<String>,
) -> Result<Response, RestError> {
    let job = job_of(&state, &tenant, &id)?.view.job;
    state.events.listen(Topic::Job(tenant.0, job), &state)
}
