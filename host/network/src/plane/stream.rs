//! Frames from and to a socket.
//!
//! Invariants:
//! - No room is made for a body before its header was checked; what is read of a long one decides how much more room is
//!   made, so that a peer that only promises much costs little.
//! - A batch is copied by the system alone: it is read into the memory that the gate gets, and written from where it
//!   is.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use millrace_wire::{FRAME_HEADER_BYTES, Frame, FrameHeader, Side};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::plane::queue::FrameQueue;
use crate::plane::refusals::{Fault, Refusal};

/// What is read ahead: headers and short frames. What it holds of a batch is copied once more.
const READ_AHEAD_BYTES: usize = 4 * 1024;

/// The room that is made for a body at first, in bytes.
const FIRST_BODY_BYTES: usize = 512 * 1024;

/// The most slices in one write.
const SLICES_MAX: usize = 64;

/// How long a connection may be silent before the system asks whether the other side is there, and between two asks.
const KEEPALIVE: Duration = Duration::from_secs(5);

/// How long the other side's system may leave what was sent unacknowledged. Heartbeats find a silent process sooner;
/// this frees what its connections hold.
const USER_TIMEOUT: Duration = Duration::from_secs(20);

/// Sets what all connections have: no delay, and an end if the other machine vanishes.
pub(crate) fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE).with_retries(3))?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

fn cut_off(error: io::Error) -> Fault {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Fault::refused(Refusal::CutOff, "the connection was closed within a frame"),
        _ => Fault::Io(error),
    }
}

/// Reads what one side sends.
#[derive(Debug)]
pub(crate) struct FrameReader<R> {
    stream: BufReader<R>,
    from: Side,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(stream: R, from: Side) -> Self {
        Self { stream: BufReader::with_capacity(READ_AHEAD_BYTES, stream), from }
    }

    /// The next frame's header; `None` if the other side has closed the connection behind a frame.
    pub(crate) async fn header(&mut self) -> Result<Option<FrameHeader>, Fault> {
        if self.stream.fill_buf().await?.is_empty() {
            return Ok(None);
        }
        let mut bytes = [0; FRAME_HEADER_BYTES];
        self.stream.read_exact(&mut bytes).await.map_err(cut_off)?;
        let header = FrameHeader::parse(&bytes)?;
        if !header.kind.comes_from(self.from) {
            let text = format!("a frame of the kind {:?} came from the wrong side", header.kind);
            return Err(Fault::refused(Refusal::WrongDirection, text));
        }
        Ok(Some(header))
    }

    /// The frame of a header that was just read.
    pub(crate) async fn frame(&mut self, header: FrameHeader) -> Result<Frame, Fault> {
        let len = header.len as usize;
        let mut body = BytesMut::with_capacity(len.min(FIRST_BODY_BYTES));
        while body.len() < len {
            let missing = len - body.len();
            if body.len() == body.capacity() {
                body.reserve(missing.min(body.len()));
            }
            if self.stream.read_buf(&mut (&mut body).limit(missing)).await? == 0 {
                return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
            }
        }
        Ok(Frame::from_parts(header, body.freeze())?)
    }

    /// Passes over the body of a header that was just read.
    pub(crate) async fn skip(&mut self, header: FrameHeader) -> Result<(), Fault> {
        let mut missing = header.len as usize;
        while missing > 0 {
            let here = self.stream.fill_buf().await?.len().min(missing);
            if here == 0 {
                return Err(cut_off(io::ErrorKind::UnexpectedEof.into()));
            }
            self.stream.consume(here);
            missing -= here;
        }
        Ok(())
    }
}

/// Writes what is queued, until the queue is closed and empty. What a frame holds is given back when it is written.
pub(crate) async fn write_frames<W: AsyncWrite + Unpin>(queue: &FrameQueue, stream: &mut W) -> io::Result<()> {
    let mut round = Vec::new();
    let mut heads = BytesMut::new();
    let mut chunks = VecDeque::new();
    while queue.next_round(&mut round).await {
        for outbound in &round {
            outbound.frame.encode_head(&mut heads);
            if let Frame::Batch { batch, .. } = &outbound.frame {
                chunks.push_back(heads.split().freeze());
                chunks.push_back(batch.clone());
            }
        }
        if !heads.is_empty() {
            chunks.push_back(heads.split().freeze());
        }
        write_chunks(&mut chunks, stream).await?;
        round.clear();
    }
    Ok(())
}

async fn write_chunks<W: AsyncWrite + Unpin>(chunks: &mut VecDeque<Bytes>, stream: &mut W) -> io::Result<()> {
    while !chunks.is_empty() {
        let mut written = {
            let mut slices = [IoSlice::new(&[]); SLICES_MAX];
            let filled =
                slices.iter_mut().zip(chunks.iter()).map(|(slice, chunk)| *slice = IoSlice::new(chunk)).count();
            stream.write_vectored(&slices[..filled]).await?
        };
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while let Some(chunk) = chunks.front_mut() {
            if written < chunk.len() {
                chunk.advance(written);
                break;
            }
            written -= chunk.len();
            chunks.pop_front();
        }
    }
    Ok(())
}
