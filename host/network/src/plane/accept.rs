//! Taking connections in.
//!
//! Invariants:
//! - A connection says who it is and whom it means within the handshake timeout, or is closed.
//! - At most so many strangers at a time are listened to; further ones wait in the system's queue until one has shown
//!   who it is or is closed.

use std::sync::Arc;
use std::time::Duration;

use millrace_wire::{HELLO_HEAD_BYTES, Hello, HelloError, HelloHead, HelloReply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::plane::gauge::Counted;
use crate::plane::incoming::Incoming;
use crate::plane::refusals::{Fault, Refusal};
use crate::plane::shared::Shared;
use crate::plane::stream::tune;

/// How long to wait after the system refused to hand out a connection: it lacks something that others must free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Takes connections in until the data plane is closed.
pub(crate) async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(shared.options.half_open_max));
    let mut closed = std::pin::pin!(shared.closed());
    loop {
        let next = async {
            // Never closed, so that `ok` loses nothing.
            let permit = Arc::clone(&strangers).acquire_owned().await.ok();
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            () = &mut closed => return,
        };
        match accepted {
            Ok((stream, from)) => {
                let (handler, half_open) = (Arc::clone(&shared), shared.gauges.half_open.count());
                shared.spawn(async move {
                    let admitted = tokio::select! {
                        admitted = admit(&handler, stream) => admitted,
                        () = handler.closed() => return,
                    };
                    drop((permit, half_open));
                    match admitted {
                        Ok((stream, peer, counted)) => Incoming::serve(handler, peer, stream, counted).await,
                        Err(fault) => handler.note(&fault, "stranger", &from.to_string()),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot take a connection of another TaskManager in");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn admit(shared: &Shared, mut stream: TcpStream) -> Result<(TcpStream, String, Counted), Fault> {
    let timeout = shared.options.handshake_timeout;
    let admitted = async {
        tune(&stream)?;
        match judge(shared, read_hello(&mut stream).await?) {
            Ok((peer, counted)) => {
                reply(&mut stream, &HelloReply::Accepted).await?;
                Ok((peer, counted))
            }
            Err(fault) => Err(fault),
        }
    };
    match tokio::time::timeout(timeout, admitted).await {
        Ok(Ok((peer, counted))) => Ok((stream, peer, counted)),
        Ok(Err(fault)) => {
            // A stranger that speaks something else gets no answer.
            if let Fault::Refused { refusal, text } = &fault
                && *refusal != Refusal::NotMillrace
            {
                let refused = HelloReply::Refused { reason: text.clone() };
                let _ = tokio::time::timeout(timeout, reply(&mut stream, &refused)).await;
            }
            Err(fault)
        }
        Err(_) => {
            let text = format!("no handshake within {} ms", timeout.as_millis());
            Err(Fault::refused(Refusal::HandshakeTimeout, text))
        }
    }
}

async fn read_hello(stream: &mut TcpStream) -> Result<Hello, Fault> {
    let mut head = [0; HELLO_HEAD_BYTES];
    // The first bytes alone tell a stranger, who may never send as many as a head has.
    let (magic, rest) = head.split_at_mut(4);
    read(stream, magic).await?;
    if let Some(found) = magic.first_chunk()
        && *found != Hello::MAGIC
    {
        return Err(HelloError::Magic { found: *found }.into());
    }
    read(stream, rest).await?;
    let head = HelloHead::parse(&head)?;
    let mut ids = vec![0; head.body_len()];
    read(stream, &mut ids).await?;
    Ok(Hello::from_parts(head, &ids)?)
}

async fn read(stream: &mut TcpStream, bytes: &mut [u8]) -> Result<(), Fault> {
    match stream.read_exact(bytes).await {
        Ok(_) => Ok(()),
        Err(_) => Err(Fault::refused(Refusal::CutOff, "the connection was closed within the handshake")),
    }
}

async fn reply(stream: &mut TcpStream, reply: &HelloReply) -> Result<(), Fault> {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    Ok(stream.write_all(&bytes).await?)
}

fn judge(shared: &Shared, hello: Hello) -> Result<(String, Counted), Fault> {
    if hello.receiver != shared.id.0 {
        let text = format!(
            "this is TaskManager {}, not {}: that one has ended and its address was given away; deploy again with the \
             TaskManagers that are registered now",
            shared.id, hello.receiver
        );
        return Err(Fault::refused(Refusal::OtherTaskManager, text));
    }
    let max = shared.options.connections_max;
    match shared.gauges.connections.count_up_to(max) {
        Some(counted) => Ok((hello.sender, counted)),
        None => {
            let text = format!("this TaskManager has {max} connections, and takes no more");
            Err(Fault::refused(Refusal::TooManyConnections, text))
        }
    }
}
