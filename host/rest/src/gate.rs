//! Who answers a request: this process while it leads, else the leader through this process.
//!
//! Invariants:
//! - A handler runs on its leader's tenure and ends with it: nothing is changed by a leader that has been replaced.
//! - A handler that changes something is finished, also if its client hangs up: else a job could be stored that nobody
//!   runs, or a wish to cancel that no JobMaster hears of.
//! - A request travels once at most. Without a leader it is answered with 503 and `Retry-After`, and nothing has been
//!   done; a request that was on its way to a leader that died is answered with 502, since nobody knows what was done.
//! - A stream of events ends with the lead of whoever answers it and when the server stops, so that its client asks anew;
//!   nothing on its way gathers it.
//! - The page needs no leader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use futures::StreamExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use millrace_jobmanager::{Dispatcher, Group, Lead};
use millrace_types::LeaderEpoch;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower::ServiceExt;

use crate::error::RestError;
use crate::group::group_info;
use crate::server::{RestOptions, RestState};
use crate::{events, page, routes};

/// Marks a request that another member has sent here.
const FORWARDED: HeaderName = HeaderName::from_static("x-millrace-forwarded");

/// How long to wait for a connection to the leader.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// Connections to the leader that wait for requests.
const IDLE_CONNECTIONS_MAX: usize = 16;

/// How long they wait.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// What belongs to one connection and is not handed on.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// Sends each request to whoever leads.
#[derive(Clone)]
pub(crate) struct Gate {
    lead: watch::Receiver<Lead>,
    group: Group,
    options: Arc<RestOptions>,
    address: std::net::SocketAddr,
    /// The handlers of the tenure that was asked last.
    routes: Arc<Mutex<Option<(LeaderEpoch, Router)>>>,
    client: Client<HttpConnector, Body>,
    /// Whether the server is to stop: what has no end of its own ends then.
    stopping: watch::Sender<bool>,
}

impl Gate {
    pub(crate) fn new(
        lead: watch::Receiver<Lead>,
        group: Group,
        options: Arc<RestOptions>,
        address: std::net::SocketAddr,
    ) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .build(connector);
        let stopping = watch::Sender::new(false);
        Self { lead, group, options, address, routes: Arc::default(), client, stopping }
    }

    /// All paths, whoever answers them.
    pub(crate) fn router(self) -> Router {
        Router::new().fallback(answer).with_state(self)
    }

    /// Ends what has no end of its own.
    pub(crate) fn stopping(&self) -> watch::Sender<bool> {
        self.stopping.clone()
    }

    fn routes_of(&self, dispatcher: &Dispatcher) -> Router {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = dispatcher.epoch();
        match &*routes {
            Some((of, router)) if *of == epoch => router.clone(),
            _ => {
                let options = self.options.clone();
                let events = events::Hub::default();
                let state = RestState { dispatcher: dispatcher.clone(), options, address: self.address, events };
                let router = routes::router(state);
                *routes = Some((epoch, router.clone()));
                router
            }
        }
    }

    async fn lead(&self, dispatcher: &Dispatcher, request: Request) -> Response {
        let router = self.routes_of(dispatcher);
        let reads = matches!(*request.method(), Method::GET | Method::HEAD);
        let work = dispatcher.spawn(router.oneshot(request));
        let finished = if reads { AbortOnDrop(work).finished().await } else { work.await.ok() };
        match finished {
            Some(Ok(response)) => {
                let epoch = dispatcher.epoch();
                self.bounded(response, move |lead| matches!(lead, Lead::Here(leader) if leader.epoch() == epoch))
            }
            // Routes never fail: the type says so.
            Some(Err(never)) => match never {},
            None => unknown("this JobManager has lost its lead while it answered"),
        }
    }

    /// Ends an answer that is a stream of events with the lead of whoever gives it, and when the server stops.
    fn bounded(&self, answer: Response, is_led_still: impl Fn(&Lead) -> bool + Send + Sync + 'static) -> Response {
        if !events::is_stream(&answer) {
            return answer;
        }
        let (mut lead, mut stopping) = (self.lead.clone(), self.stopping.subscribe());
        let over = async move {
            // Errors mean that the JobManager or the server is gone: that is an end too.
            tokio::select! {
                _ = lead.wait_for(|lead| !is_led_still(lead)) => (),
                _ = stopping.wait_for(|stopping| *stopping) => (),
            }
        };
        answer.map(|body| Body::from_stream(body.into_data_stream().take_until(Box::pin(over))))
    }

    async fn forward(&self, leader: &str, request: Request) -> Response {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        let uri = Uri::builder().scheme("http").authority(leader).path_and_query(path).build();
        let Ok(uri) = uri else { return nobody(&format!("the leader's REST address \"{leader}\" is none")) };
        parts.uri = uri;
        parts.version = axum::http::Version::HTTP_11;
        for name in HOP_BY_HOP {
            parts.headers.remove(name);
        }
        parts.headers.remove(header::HOST);
        parts.headers.insert(FORWARDED, HeaderValue::from_static("1"));
        let mut lead = self.lead.clone();
        let authority = leader.to_owned();
        let leads_still =
            move |lead: &Lead| matches!(lead, Lead::Elsewhere { addresses, .. } if addresses.rest == authority);
        let replaced = lead.wait_for(|lead| !leads_still(lead));
        let answer = tokio::select! {
            answer = self.client.request(Request::from_parts(parts, body)) => answer,
            // A leader that stands still takes requests and never answers.
            _ = replaced => return unknown(&format!("the leader at {leader} was replaced before it answered")),
        };
        match answer {
            Ok(answer) => {
                let (mut parts, body) = answer.into_parts();
                for name in HOP_BY_HOP {
                    parts.headers.remove(name);
                }
                self.bounded(Response::from_parts(parts, Body::new(body)), leads_still)
            }
            Err(error) if error.is_connect() => nobody(&format!("the leader at {leader} is not reached")),
            Err(error) => unknown(&format!("the leader at {leader} did not answer ({error})")),
        }
    }
}

async fn answer(State(gate): State<Gate>, request: Request) -> Response {
    if let Some(page) = page::answer(&request) {
        return page;
    }
    // What is lent out while somebody waits would keep the lead from changing.
    let lead = gate.lead.borrow().clone();
    match lead {
        Lead::Here(dispatcher) if dispatcher.is_sure_of_its_lead() => gate.lead(&dispatcher, request).await,
        // It has not heard of the group for a moment: another one may lead.
        Lead::Here(_) | Lead::Nowhere if is_group_status(&request) => Json(group_info(&gate.group)).into_response(),
        Lead::Here(_) => nobody("this JobManager does not hear of the others"),
        Lead::Elsewhere { .. } if request.headers().contains_key(FORWARDED) => {
            nobody("the member that was taken for the leader does not lead")
        }
        Lead::Elsewhere { addresses, .. } if !addresses.rest.is_empty() => gate.forward(&addresses.rest, request).await,
        Lead::Elsewhere { member, .. } => {
            nobody(&format!("member {member} leads and has no REST address: `millrace cluster readdress` gives it one"))
        }
        Lead::Nowhere => nobody("no JobManager leads at the moment"),
    }
}

fn is_group_status(request: &Request) -> bool {
    let path = request.uri().path();
    request.method() == Method::GET && path.strip_prefix("/v1").unwrap_or(path) == "/cluster/members"
}

/// Nothing was done, and somebody will do it soon.
fn nobody(reason: &str) -> Response {
    let text = format!("{reason}: try again in a moment; `millrace cluster status` shows the members");
    RestError::nobody_leads(text).into_response()
}

/// Nobody knows what was done.
fn unknown(reason: &str) -> Response {
    let text = format!("{reason}: it may or may not have done what was asked");
    RestError::new(StatusCode::BAD_GATEWAY, text).into_response()
}

/// A task that ends with whoever waits for it: nobody reads on for a client that has hung up.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> AbortOnDrop<T> {
    /// `None`: it was ended by its runtime.
    async fn finished(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}
