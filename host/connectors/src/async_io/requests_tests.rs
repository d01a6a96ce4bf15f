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
    fn service(&self) -> &str {
        "the test's service"
    }

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

fn requests(order: ResultOrder, capacity: usize, restored: &[Bytes]) -> AsyncRequests {
    AsyncRequests::new(Arc::<Service>::default(), settings(order, capacity), restored).unwrap()
}

fn row(text: &str) -> AsyncRow {
    AsyncRow { timestamp: Some(7), payload: Bytes::copy_from_slice(text.as_bytes()) }
}

async fn event(requests: &mut AsyncRequests) -> Result<AsyncEvent, ConnectorError> {
    std::future::poll_fn(|cx| requests.poll_ready(cx)).await;
    Ok(requests.take()?.unwrap())
}

async fn next(requests: &mut AsyncRequests) -> String {
    match event(requests).await.unwrap() {
        AsyncEvent::Watermark(at) => format!("watermark {at}"),
        AsyncEvent::Results { timestamp, records } => {
            assert_eq!(timestamp, Some(7));
            String::from_utf8(records.concat()).unwrap()
        }
    }
}

async fn rest(requests: &mut AsyncRequests) -> Vec<String> {
    let mut all = Vec::new();
    while !requests.is_idle() {
        all.push(next(requests).await);
    }
    assert_eq!(requests.take().unwrap(), None);
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
            requests.offer(row(text));
        }
        requests.watermark(1);
        requests.offer(row("last 1"));
        assert_eq!(rest(&mut requests).await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn so_many_are_under_way_and_others_wait_with_their_watermarks() {
    let mut requests = requests(ResultOrder::Ordered, 2, &[]);
    requests.offer(row("a 50"));
    requests.offer(row("b 10"));
    assert!(requests.has_room());
    requests.offer(row("c 1"));
    assert!(!requests.has_room());
    requests.watermark(4);
    requests.watermark(5);
    requests.offer(row("d 1"));
    assert_eq!(requests.snapshot().unwrap().len(), 4, "what waits is part of a snapshot");
    // "b" has its answer at 10 ms, and waits for "a".
    assert!(tokio::time::timeout(Duration::from_millis(20), event(&mut requests)).await.is_err());
    assert!(!requests.has_room(), "what waits to be handed on takes room");
    assert_eq!(requests.take().unwrap(), None);
    assert_eq!(rest(&mut requests).await, ["a", "b", "c", "watermark 5", "d"]);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_fails_the_task_unless_the_function_has_one() {
    let begun = tokio::time::Instant::now();
    let mut plain = requests(ResultOrder::Unordered, 2, &[]);
    plain.offer(row("late 101"));
    let error = event(&mut plain).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, ConnectorError::Timeout { .. }) && text.contains("100 ms"), "{text}");
    assert!(text.contains("the test's service"), "{text}");
    assert_eq!(begun.elapsed(), Duration::from_millis(100));

    struct Forgiving;
    #[async_trait]
    impl AsyncFunction for Forgiving {
        fn service(&self) -> &str {
            "nobody"
        }

        async fn invoke(&self, _row: AsyncRow) -> Result<Vec<Bytes>, ConnectorError> {
            std::future::pending().await
        }

        fn timed_out(&self, row: AsyncRow, _after: Duration) -> Result<Vec<Bytes>, ConnectorError> {
            Ok(vec![row.payload])
        }
    }
    let mut forgiving = AsyncRequests::new(Arc::new(Forgiving), settings(ResultOrder::Ordered, 1), &[]).unwrap();
    forgiving.offer(row("x"));
    let records = vec![Bytes::from_static(b"x")];
    assert_eq!(event(&mut forgiving).await.unwrap(), AsyncEvent::Results { timestamp: Some(7), records });
}

#[tokio::test(start_paused = true)]
async fn rows_whose_results_were_not_handed_on_are_asked_about_again_before_any_other() {
    let mut before = requests(ResultOrder::Ordered, 4, &[]);
    for text in ["a 1", "b 50", "c 1", "d 99"] {
        before.offer(row(text));
    }
    assert_eq!(next(&mut before).await, "a");
    // "c" has its answer by now; it was not handed on.
    assert!(tokio::time::timeout(Duration::from_millis(10), event(&mut before)).await.is_err());
    let snapshot = before.snapshot().unwrap();
    drop(before);

    // Another parallelism may give a subtask more rows than it has room for.
    let service = Arc::<Service>::default();
    let function = Arc::clone(&service) as Arc<dyn AsyncFunction>;
    let mut again = AsyncRequests::new(function, settings(ResultOrder::Ordered, 2), &snapshot).unwrap();
    assert!(!again.has_room() && !again.is_idle());
    assert_eq!(again.snapshot().unwrap(), snapshot, "also before any request was made");
    again.watermark(3);
    assert_eq!(again.snapshot().unwrap(), snapshot);
    again.offer(row("new 1"));
    assert_eq!(next(&mut again).await, "b");
    assert_eq!(again.snapshot().unwrap()[..2], snapshot[1..]);
    assert_eq!(rest(&mut again).await, ["c", "d", "watermark 3", "new"]);
    assert_eq!(*service.asked.lock().unwrap(), ["b", "c", "d", "new"]);

    let broken = AsyncRequests::new(Arc::<Service>::default(), settings(ResultOrder::Ordered, 2), &[Bytes::new()]);
    assert!(matches!(broken.err(), Some(ConnectorError::BadSnapshot)));
}
