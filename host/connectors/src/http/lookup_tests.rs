//! Requests to a server of this process.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::HttpOrigins;

/// Answers each request with the next of these texts, which are whole responses, and keeps the requests.
async fn serve(responses: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    let requests = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&requests);
    tokio::spawn(async move {
        for response in responses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            let complete = |request: &str| {
                let (head, body) = request.split_once("\r\n\r\n")?;
                let length =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                (body.len() >= length.unwrap_or(0)).then_some(())
            };
            while complete(&request).is_none() {
                let mut buffer = [0; 1024];
                let read = stream.read(&mut buffer).await.unwrap();
                request.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            kept.lock().unwrap().push(request);
            stream.write_all(response.as_bytes()).await.unwrap();
        }
    });
    (origin, requests)
}

fn response(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

/// Asks about one record.
async fn lookup(origin: &str, options: &str, payload: &str) -> Result<String, ConnectorError> {
    let plan = HttpLookupPlan::parse(&options.replace("ORIGIN", origin)).unwrap();
    let operator = plan.open(&HttpOrigins::only([origin]).unwrap())?;
    let row = AsyncRow { timestamp: None, payload: Bytes::copy_from_slice(payload.as_bytes()) };
    let records = operator.function.invoke(row).await?;
    assert_eq!(records.len(), 1);
    Ok(String::from_utf8(records[0].to_vec()).unwrap())
}

#[tokio::test]
async fn a_record_is_answered_with_itself_the_status_and_the_body() {
    let (origin, requests) =
        serve(vec![response("200 OK", "two\n"), response("404 Not Found", ""), response("200 OK", "\"7\"")]).await;
    let row = lookup(&origin, r#"{"url": "ORIGIN/n/{}"}"#, "a b").await.unwrap();
    assert_eq!(row, r#"{"input":"a b","status":200,"body":"two\n"}"#);
    let row = lookup(&origin, r#"{"url": "ORIGIN/?id={id}", "format": "json"}"#, r#"{"id":7}"#).await.unwrap();
    assert_eq!(row, r#"{"input":{"id":7},"status":404,"body":""}"#);
    let row = lookup(&origin, r#"{"url": "ORIGIN/", "format": "json", "method": "POST"}"#, "[1]").await.unwrap();
    assert_eq!(row, r#"{"input":[1],"status":200,"body":"\"7\""}"#);
    let requests = requests.lock().unwrap();
    assert!(requests[0].starts_with("GET /n/a%20b HTTP/1.1\r\n"), "{}", requests[0]);
    assert!(requests[1].starts_with("GET /?id=7 HTTP/1.1\r\n"), "{}", requests[1]);
    assert!(requests[2].starts_with("POST / HTTP/1.1\r\n") && requests[2].ends_with("\r\n\r\n[1]"), "{}", requests[2]);
    assert!(requests[2].to_lowercase().contains("content-type: application/json"), "{}", requests[2]);
}

#[tokio::test]
async fn a_get_is_made_again_while_the_service_is_not_there() {
    let away = || response("503 Service Unavailable", "later");
    let (origin, requests) = serve(vec![away(), String::new(), response("200 OK", "now")]).await;
    let row = lookup(&origin, r#"{"url": "ORIGIN"}"#, "x").await.unwrap();
    assert_eq!(row, r#"{"input":"x","status":200,"body":"now"}"#);
    assert_eq!(requests.lock().unwrap().len(), 3);

    let (origin, _) = serve(vec![away(), away()]).await;
    let row = lookup(&origin, r#"{"url": "ORIGIN", "retries": 1}"#, "x").await.unwrap();
    assert_eq!(row, r#"{"input":"x","status":503,"body":"later"}"#, "the last answer counts");

    let (origin, requests) = serve(vec![String::new(), response("200 OK", "")]).await;
    let error = lookup(&origin, r#"{"url": "ORIGIN/p", "method": "POST"}"#, "x").await.unwrap_err();
    assert!(error.to_string().contains(&format!("{origin}/p")), "{error}");
    assert_eq!(requests.lock().unwrap().len(), 1, "a POST may have had its effect");
}

#[tokio::test]
async fn no_redirection_is_followed_and_no_answer_is_longer_than_allowed() {
    let moved = "HTTP/1.1 302 Found\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".to_owned();
    let (origin, _) = serve(vec![moved, response("200 OK", &"x".repeat(11))]).await;
    let row = lookup(&origin, r#"{"url": "ORIGIN"}"#, "x").await.unwrap();
    assert_eq!(row, r#"{"input":"x","status":302,"body":""}"#);
    let error = lookup(&origin, r#"{"url": "ORIGIN", "body-max": 10}"#, "x").await.unwrap_err();
    assert!(error.to_string().contains("more than 10 bytes"), "{error}");
}

#[tokio::test]
async fn what_nobody_allowed_is_not_asked() {
    let plan = HttpLookupPlan::parse(r#"{"url": "http://127.0.0.1:9/{}"}"#).unwrap();
    assert!(matches!(plan.open(&HttpOrigins::none()), Err(ConnectorError::OutsideOrigins { .. })));
}

#[tokio::test]
async fn a_record_that_cannot_be_asked_about_is_told_from_a_service_that_is_away() {
    let options = r#"{"url": "ORIGIN/{id}", "format": "json", "retries": 0}"#;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let origin = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = lookup(&origin, options, "{}").await.unwrap_err();
    assert!(matches!(&error, ConnectorError::BadRow { .. }) && error.to_string().contains("\"id\""), "{error}");
    let error = lookup(&origin, options, r#"{"id": 1}"#).await.unwrap_err();
    assert!(matches!(error, ConnectorError::Request { .. }), "{error}");
}
