//! Requests against a service whose answers take as long as the rows say, on a clock that stands still.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::Mutex;

use super::*;

/// Answers a row `NAME MS` with `NAME` after so many milliseconds.
#[derive(Default)]
struct Service {
    asked: Mutex<Vec<String>>,
}

#[async_trait]
impl AsyncFunction for Service {
    async fn invoke(&self, row: AsyncRow) -> Result<Vec<Bytes>, ConnectorError> {
        let text = String::from_utf8(row.payload.to_vec()).unwrap();
        let (name, ms) = text.split_once(' ').unwrap();
        self.asked.lock().unwrap().push(name.to_owned());
        tokio::time::sleep(Duration::from_millis(ms.parse().unwrap())).await;
        Ok(if name == "none" { vec![] } else { vec![Bytes::copy_from_slice(name.as_bytes())] })
    }
}

fn settings(order: ResultOrder, capacity: usize) -> AsyncSettings {
    AsyncSettings { order, capacity: NonZeroUsize::new(capacity).unwrap(), timeout: Some(Duration::from_millis(100)) }
}

fn requests(order: ResultOrder, capacity: usize, restored: &[Bytes]) -> AsyncRequests<Service> {
    AsyncRequests::new(Arc::default(), settings(order, capacity), restored).unwrap()
}

fn row(text: &str) -> AsyncRow {
    AsyncRow { timestamp: Some(7), key: None, payload: Bytes::copy_from_slice(text.as_bytes()) }
}

async fn next(requests: &mut AsyncRequests<Service>) -> Option<String> {
    Some(match requests.next().await.unwrap()? {
        AsyncEvent::Watermark(at) => format!("watermark {at}"),
        AsyncEvent::Results { timestamp, records } => {
            assert_eq!(timestamp, Some(7));
            String::from_utf8(records.concat()).unwrap()
        }
    })
}

async fn rest(requests: &mut AsyncRequests<Service>) -> Vec<String> {
    let mut all = Vec::new();
    while let Some(event) = next(requests).await {
        all.push(event);
    }
    all
}

#[tokio::test(start_paused = true)]
async fn results_come_in_the_order_that_was_asked_for_and_watermarks_are_kept() {
    for (order, expected) in [
        (ResultOrder::Ordered, ["slow", "quick", "", "watermark 1", "last"]),
        (ResultOrder::Unordered, ["", "quick", "slow", "watermark 1", "last"]),
    ] {
        let mut requests = requests(order, 10, &[]);
        for text in ["slow 90", "quick 20", "none 10"] {
            requests.start(row(text)).unwrap();
        }
        requests.watermark(1);
        requests.start(row("last 1")).unwrap();
        assert_eq!(rest(&mut requests).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn there_is_room_for_so_many_and_a_dropped_wait_loses_nothing() {
    let mut requests = requests(ResultOrder::Ordered, 2, &[]);
    requests.start(row("a 50")).unwrap();
    requests.start(row("b 10")).unwrap();
    assert!(!requests.has_room());
    assert_eq!(requests.start(row("c 1")), Err(row("c 1")));
    // "b" has its answer at 10 ms, and waits for "a".
    assert!(tokio::time::timeout(Duration::from_millis(20), requests.next()).await.is_err());
    assert!(!requests.has_room(), "what waits to be handed on takes room");
    assert_eq!(next(&mut requests).await.unwrap(), "a");
    requests.start(row("c 1")).unwrap();
    assert_eq!(rest(&mut requests).await, ["b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_fails_the_task_unless_the_function_has_one() {
    let begun = tokio::time::Instant::now();
    let mut plain = requests(ResultOrder::Unordered, 2, &[]);
    plain.start(row("late 101")).unwrap();
    let error = plain.next().await.unwrap_err();
    assert!(matches!(error, ConnectorError::Timeout { .. }) && error.to_string().contains("100 ms"), "{error}");
    assert_eq!(begun.elapsed(), Duration::from_millis(100));

    struct Forgiving;
    #[async_trait]
    impl AsyncFunction for Forgiving {
        async fn invoke(&self, _row: AsyncRow) -> Result<Vec<Bytes>, ConnectorError> {
            std::future::pending().await
        }

        fn timed_out(&self, row: AsyncRow, _after: Duration) -> Result<Vec<Bytes>, ConnectorError> {
            Ok(vec![row.payload])
        }
    }
    let mut forgiving = AsyncRequests::new(Arc::new(Forgiving), settings(ResultOrder::Ordered, 1), &[]).unwrap();
    forgiving.start(row("x")).unwrap();
    let records = vec![Bytes::from_static(b"x")];
    assert_eq!(forgiving.next().await.unwrap(), Some(AsyncEvent::Results { timestamp: Some(7), records }));
}

#[tokio::test(start_paused = true)]
async fn rows_whose_results_were_not_handed_on_are_asked_about_again_before_any_other() {
    let mut requests_before = requests(ResultOrder::Ordered, 4, &[]);
    for text in ["a 1", "b 50", "c 1", "d 99"] {
        requests_before.start(row(text)).unwrap();
    }
    assert_eq!(next(&mut requests_before).await.unwrap(), "a");
    // "c" has its answer by now; it was not handed on.
    assert!(tokio::time::timeout(Duration::from_millis(10), requests_before.next()).await.is_err());
    let snapshot = requests_before.snapshot().unwrap();
    drop(requests_before);

    // Another parallelism may give a subtask more rows than it has room for.
    let mut again = requests(ResultOrder::Ordered, 2, &snapshot);
    assert!(!again.has_room());
    assert_eq!(again.snapshot().unwrap(), snapshot, "also before any request was made");
    assert_eq!(again.start(row("new 1")), Err(row("new 1")));
    assert_eq!(again.snapshot().unwrap(), snapshot);
    again.watermark(3);
    assert_eq!(next(&mut again).await.unwrap(), "b");
    assert_eq!(again.snapshot().unwrap(), snapshot[1..]);
    assert_eq!(next(&mut again).await.unwrap(), "c");
    again.start(row("new 1")).unwrap();
    assert_eq!(rest(&mut again).await, ["d", "watermark 3", "new"]);
    let asked = again.function.asked.lock().unwrap().clone();
    assert_eq!(asked, ["b", "c", "d", "new"]);

    let broken = AsyncRequests::new(Arc::<Service>::default(), settings(ResultOrder::Ordered, 2), &[Bytes::new()]);
    assert!(matches!(broken.err(), Some(ConnectorError::BadSnapshot)));
}
