//! The control RPC over real sockets.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use millrace_network::control::{
    ControlClient, ControlClientOptions, ControlError, ControlEvent, ControlHandler, ControlServer,
    ControlServerOptions, LeaderHandler, TaskManagerLink,
};
use millrace_protocol::{
    Answer, LogRequest, LogWanted, Question, TaskManagerHeartbeat, TaskManagerRegistration, ToJobManager, ToTaskManager,
};
use millrace_types::{AllocationId, Digest, Failure, FailureKind, JobId, LeaderEpoch, TaskManagerId, TenantId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

/// What a test has not looked at yet.
const SEEN_MAX: usize = 64;

/// What a handler saw.
#[derive(Debug)]
enum Seen {
    Connected(TaskManagerLink),
    Received(ToJobManager),
    Disconnected(String),
}

struct Handler {
    seen: mpsc::Sender<Seen>,
    known: Mutex<BTreeSet<TaskManagerId>>,
    component: Bytes,
    /// The group that it says it is of.
    job_managers: Arc<Mutex<Vec<String>>>,
}

/// A JobManager that leads for ever.
struct Leads(Arc<Handler>);

impl ControlHandler for Leads {
    fn leader(&self) -> Result<Arc<dyn LeaderHandler>, Option<String>> {
        Ok(self.0.clone())
    }
}

#[async_trait]
impl LeaderHandler for Handler {
    fn epoch(&self) -> LeaderEpoch {
        LeaderEpoch(7)
    }

    fn job_managers(&self) -> Vec<String> {
        self.job_managers.lock().unwrap().clone()
    }

    fn connected(&self, id: &TaskManagerId, link: TaskManagerLink) -> Result<(), String> {
        if !self.known.lock().unwrap().insert(id.clone()) {
            return Err("it is connected already".to_owned());
        }
        self.seen.try_send(Seen::Connected(link)).unwrap();
        Ok(())
    }

    async fn received(&self, _: &TaskManagerId, message: ToJobManager) {
        self.seen.send(Seen::Received(message)).await.unwrap();
    }

    async fn disconnected(&self, id: &TaskManagerId, reason: &str) {
        self.known.lock().unwrap().remove(id);
        // The test may be over.
        let _ = self.seen.send(Seen::Disconnected(reason.to_owned())).await;
    }

    async fn component(&self, tenant: &TenantId, digest: &Digest) -> Result<Bytes, Failure> {
        if *tenant == TenantId::default_tenant() && *digest == self::digest(self.component[0]) {
            Ok(self.component.clone())
        } else {
            Err(Failure::new(FailureKind::Internal, "there is no such component"))
        }
    }
}

fn digest(of: u8) -> Digest {
    Digest::from_bytes([of; 32])
}

struct Fixture {
    server: ControlServer,
    seen: mpsc::Receiver<Seen>,
    job_managers: Arc<Mutex<Vec<String>>>,
}

impl Fixture {
    fn new(heartbeat_interval: Duration, heartbeat_timeout: Duration) -> Self {
        let (sender, seen) = mpsc::channel(SEEN_MAX);
        let component = Bytes::from(vec![7u8; 3_000_000]);
        let job_managers = Arc::<Mutex<Vec<String>>>::default();
        let known = Mutex::default();
        let handler = Handler { seen: sender, known, component, job_managers: job_managers.clone() };
        let handler = Arc::new(Leads(Arc::new(handler)));
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        let options = ControlServerOptions { listen, heartbeat_interval, heartbeat_timeout };
        Self { server: ControlServer::bind(options, handler, None).unwrap(), seen, job_managers }
    }

    fn lively() -> Self {
        Self::new(Duration::from_millis(10), Duration::from_secs(30))
    }

    fn options(&self, id: &str) -> ControlClientOptions {
        ControlClientOptions {
            jobmanager: self.server.address().to_string(),
            id: TaskManagerId(id.to_owned()),
            connect_timeout: Duration::from_secs(30),
            heartbeat_timeout: Duration::from_secs(30),
        }
    }

    async fn connect(&self, id: &str) -> (Result<ControlClient, ControlError>, mpsc::Sender<ToJobManager>) {
        let (outbound, messages) = mpsc::channel(8);
        (ControlClient::connect(&self.options(id), messages).await, outbound)
    }

    async fn link(&mut self) -> TaskManagerLink {
        match self.seen.recv().await.unwrap() {
            Seen::Connected(link) => link,
            other => panic!("{other:?}"),
        }
    }

    async fn disconnected(&mut self) -> String {
        loop {
            if let Seen::Disconnected(reason) = self.seen.recv().await.unwrap() {
                return reason;
            }
        }
    }

    fn refused(&self, reason: &str) -> u64 {
        self.server.figures().refused.get(reason).copied().unwrap_or(0)
    }
}

fn registration(id: &str) -> ToJobManager {
    ToJobManager::Register(TaskManagerRegistration {
        id: TaskManagerId(id.to_owned()),
        slots: 2,
        data_address: Some("127.0.0.1:1".to_owned()),
        cpu_cores: 2,
        memory_bytes: 1,
        allocated: vec![],
    })
}

fn free_slot(n: u128) -> ToTaskManager {
    ToTaskManager::FreeSlot { epoch: LeaderEpoch(7), allocation: AllocationId::from_bytes(n.to_be_bytes()) }
}

#[tokio::test]
async fn messages_travel_both_ways_in_order() {
    let mut fixture = Fixture::lively();
    let (client, outbound) = fixture.connect("a").await;
    let mut client = client.unwrap();
    assert_eq!(client.epoch(), LeaderEpoch(7));
    let link = fixture.link().await;
    outbound.send(registration("a")).await.unwrap();
    match fixture.seen.recv().await.unwrap() {
        Seen::Received(message) => assert_eq!(message, registration("a")),
        other => panic!("{other:?}"),
    }
    for n in 0..100 {
        link.send(free_slot(n)).await.unwrap();
    }
    for n in 0..100 {
        assert_eq!(client.recv().await.unwrap(), ControlEvent::Message(Box::new(free_slot(n))));
    }
    drop((client, outbound));
    fixture.disconnected().await;
    assert!(link.send(free_slot(0)).await.is_err());
}

#[tokio::test]
async fn a_task_manager_is_told_of_the_group_and_of_each_change() {
    let mut fixture = Fixture::lively();
    let (client, _outbound) = fixture.connect("a").await;
    let mut client = client.unwrap();
    fixture.link().await;
    for group in [vec!["jm-1:6123"], vec!["jm-1:6123", "jm-2:6123"]] {
        let group: Vec<String> = group.into_iter().map(str::to_owned).collect();
        fixture.job_managers.lock().unwrap().clone_from(&group);
        assert_eq!(client.recv().await.unwrap(), ControlEvent::JobManagers(group));
    }
}

#[tokio::test]
async fn logs_are_asked_for_and_components_fetched() {
    let mut fixture = Fixture::lively();
    let (client, _outbound) = fixture.connect("a").await;
    let mut client = client.unwrap();
    let link = fixture.link().await;
    let components = client.components();
    let answering = tokio::spawn(async move {
        match client.recv().await.unwrap() {
            ControlEvent::FetchLog { request, log: LogWanted::Tasks(log) } => {
                client.log_answers().answer(request, Ok(format!("{} bytes at most", log.bytes_max))).await;
            }
            other => panic!("{other:?}"),
        }
        match client.recv().await.unwrap() {
            ControlEvent::FetchLog { request, log: LogWanted::Process { bytes_max } } => {
                client.log_answers().answer(request, Ok(format!("{bytes_max} bytes of its own"))).await;
            }
            other => panic!("{other:?}"),
        }
        match client.recv().await.unwrap() {
            ControlEvent::Ask { request, question } => {
                assert_eq!(*question, Question::Figures);
                client.log_answers().answer_question(request, Answer::Figures(Vec::new())).await;
            }
            other => panic!("{other:?}"),
        }
        client
    });
    let tenant = TenantId::default_tenant();
    let job = JobId::from_bytes([1; 16]);
    let wanted = LogRequest { tenant: tenant.clone(), job, vertex: None, subtask: None, bytes_max: 99 };
    let log = link.task_log(&wanted).await;
    assert_eq!(log.unwrap(), "99 bytes at most");
    assert_eq!(link.process_log(7).await.unwrap(), "7 bytes of its own");
    let answer = link.ask(&Question::Figures, Duration::from_secs(10)).await;
    assert_eq!(answer, Ok(Answer::Figures(Vec::new())));
    let _client = answering.await.unwrap();
    // It does not look at its messages any more.
    let error = link.ask(&Question::Figures, Duration::from_millis(20)).await.unwrap_err();
    assert!(error.contains("20 ms"), "{error}");

    let bytes = vec![7u8; 3_000_000];
    let digest = self::digest(7);
    assert_eq!(components.fetch(&tenant, &digest, 3_000_000).await.unwrap(), bytes);
    let error = components.fetch(&tenant, &digest, 2_999_999).await.unwrap_err();
    assert!(error.contains("larger"), "{error}");
    let error = components.fetch(&tenant, &self::digest(9), 1).await.unwrap_err();
    assert!(error.contains("no such component"), "{error}");
}

#[tokio::test]
async fn a_second_connection_of_an_id_and_a_foreign_name_are_refused() {
    let mut fixture = Fixture::lively();
    let (first, outbound) = fixture.connect("a").await;
    let mut first = first.unwrap();
    fixture.link().await;
    let (second, _second_outbound) = fixture.connect("a").await;
    let error = match second {
        Err(error) => error,
        Ok(mut second) => second.recv().await.unwrap_err(),
    };
    assert!(matches!(&error, ControlError::Refused { reason } if reason.contains("already")), "{error}");
    assert_eq!(fixture.refused("not-wanted"), 1);

    let heartbeat = TaskManagerHeartbeat {
        id: TaskManagerId("b".to_owned()),
        memory_free_bytes: 0,
        allocated: Vec::new(),
        figures: Vec::new(),
        metrics: Default::default(),
    };
    outbound.send(ToJobManager::Heartbeat(heartbeat)).await.unwrap();
    let error = first.recv().await.unwrap_err();
    assert!(matches!(&error, ControlError::Refused { reason } if reason.contains("in the name of b")), "{error}");
    assert_eq!(fixture.refused("foreign-id"), 1);
}

#[tokio::test]
async fn whoever_is_refused_hears_why() {
    let mut fixture = Fixture::lively();
    let (client, _outbound) = fixture.connect("a").await;
    let mut client = client.unwrap();
    fixture.link().await.close("register under a new id");
    let error = client.recv().await.unwrap_err();
    assert!(matches!(&error, ControlError::Refused { reason } if reason == "register under a new id"), "{error}");
    assert_eq!(fixture.disconnected().await, "register under a new id");
}

/// Longer than a busy machine keeps anybody from answering.
const SILENCE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn silence_ends_a_connection_on_either_side() {
    // The server hears nothing, since nothing is sent.
    let mut fixture = Fixture::new(Duration::from_millis(10), SILENCE);
    let (client, _outbound) = fixture.connect("a").await;
    let mut client = client.unwrap();
    let error = client.recv().await.unwrap_err();
    assert!(matches!(&error, ControlError::Refused { reason } if reason.contains("not heard of")), "{error}");
    assert!(fixture.disconnected().await.contains("not heard of"));

    // The client hears nothing, since the server's heartbeats are far apart.
    let fixture = Fixture::new(Duration::from_secs(600), Duration::from_secs(600));
    let options = ControlClientOptions { heartbeat_timeout: SILENCE, ..fixture.options("b") };
    let (_outbound, messages) = mpsc::channel(1);
    let mut client = ControlClient::connect(&options, messages).await.unwrap();
    // The first beat comes at once. Whoever waits has other things to do meanwhile.
    let mut others = tokio::time::interval(Duration::from_millis(20));
    let silent = async {
        loop {
            tokio::select! {
                event = client.recv() => return event.unwrap_err(),
                _ = others.tick() => {}
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(30), silent).await.unwrap();
    assert!(matches!(error, ControlError::Silent { .. }), "{error}");
}

#[tokio::test]
async fn nobody_there_and_nonsense_addresses_are_told() {
    let options = |jobmanager: &str| ControlClientOptions {
        jobmanager: jobmanager.to_owned(),
        id: TaskManagerId("a".to_owned()),
        connect_timeout: Duration::from_secs(5),
        heartbeat_timeout: Duration::from_secs(5),
    };
    let error = ControlClient::connect(&options("127.0.0.1:1"), mpsc::channel(1).1).await.unwrap_err();
    assert!(matches!(error, ControlError::Unreachable { .. }), "{error}");
    let error = ControlClient::connect(&options("not an address"), mpsc::channel(1).1).await.unwrap_err();
    assert!(matches!(error, ControlError::Address { .. }), "{error}");
}

/// Bytes that are no HTTP/2, and HTTP/2 that is no message: the connection ends, and another one works.
#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let mut fixture = Fixture::lively();
    let (client, _outbound) = fixture.connect("a").await;
    let mut client = client.unwrap();
    let link = fixture.link().await;
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0xFF; 4096], b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xFF\xFF\xFF\xFF"]
    {
        let mut stream = TcpStream::connect(fixture.server.address()).await.unwrap();
        // The server may hang up while it is being written to.
        let _ = stream.write_all(garbage).await;
        let mut answer = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "the connection stays open behind {garbage:?}");
    }
    link.send(free_slot(1)).await.unwrap();
    assert_eq!(client.recv().await.unwrap(), ControlEvent::Message(Box::new(free_slot(1))));
}
