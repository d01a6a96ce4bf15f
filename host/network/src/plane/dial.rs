//! Opening a connection to another TaskManager.

use std::time::Duration;

use millrace_types::TaskManagerId;
use millrace_wire::{HELLO_HEAD_BYTES, Hello, HelloReply, ReplyHead};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::plane::refusals::Fault;
use crate::plane::stream::tune;

/// How long it may take until the other side has answered. Longer than its own patience with strangers, behind whom
/// this connection may wait.
const DIAL_TIMEOUT: Duration = Duration::from_secs(15);

/// Connects and shakes hands.
pub(crate) async fn dial(here: &TaskManagerId, peer: &TaskManagerId, address: &str) -> Result<TcpStream, Fault> {
    match tokio::time::timeout(DIAL_TIMEOUT, shake_hands(here, peer, address)).await {
        Ok(connected) => connected,
        Err(_) => Err(Fault::other(format!("it has not answered within {} s", DIAL_TIMEOUT.as_secs()))),
    }
}

async fn shake_hands(here: &TaskManagerId, peer: &TaskManagerId, address: &str) -> Result<TcpStream, Fault> {
    let mut stream = TcpStream::connect(address).await?;
    tune(&stream)?;
    let mut hello = Vec::new();
    Hello { sender: here.0.clone(), receiver: peer.0.clone() }.encode(&mut hello);
    stream.write_all(&hello).await?;
    let mut head = [0; HELLO_HEAD_BYTES];
    stream.read_exact(&mut head).await?;
    let head = ReplyHead::parse(&head)?;
    let mut reason = vec![0; head.body_len()];
    stream.read_exact(&mut reason).await?;
    match HelloReply::from_parts(head, &reason)? {
        HelloReply::Accepted => Ok(stream),
        HelloReply::Refused { reason } => Err(Fault::other(format!("it refused the connection: {reason}"))),
    }
}
