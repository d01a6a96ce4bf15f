//! How a connection of the data plane begins. Pure.
//!
//! The producer's TaskManager sends a [`Hello`]:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 4 | "MRDP" |
//! | 4 | 2 | the version, [`DATA_PLANE_VERSION`] |
//! | 6 | 2 | the length of the sender's id, 1 to [`ID_BYTES_MAX`] |
//! | 8 | 2 | the length of the receiver's id, 1 to [`ID_BYTES_MAX`] |
//! | 10 | 2 | zero |
//! | 12 | | the sender's id, then that of the TaskManager that it means to reach, as UTF-8 |
//!
//! The other one answers with a [`HelloReply`]:
//!
//! | offset | bytes | what |
//! | --- | --- | --- |
//! | 0 | 4 | "MRDR" |
//! | 4 | 2 | its version |
//! | 6 | 2 | 0: accepted, 1: refused |
//! | 8 | 2 | the length of the reason, 0 to [`REASON_BYTES_MAX`] |
//! | 10 | 2 | zero |
//! | 12 | | why it was refused, as UTF-8 |
//!
//! All versions share the first six bytes of both, so that one can refuse another by its name.

use bytes::BufMut;

use crate::frame::REASON_BYTES_MAX;
use crate::text::bounded_text;

/// The version of handshake and frames.
pub const DATA_PLANE_VERSION: u16 = 2;

/// The length of what comes before the texts, in bytes, in both directions.
pub const HELLO_HEAD_BYTES: usize = 12;

/// The longest id of a TaskManager, in bytes.
pub const ID_BYTES_MAX: usize = 256;

const HELLO: [u8; 4] = *b"MRDP";
const REPLY: [u8; 4] = *b"MRDR";

/// Why some bytes are no handshake of this version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HelloError {
    /// Something else speaks here.
    #[error("the connection begins with {found:02x?}, which is not Millrace's data plane")]
    Magic {
        /// The first four bytes.
        found: [u8; 4],
    },
    /// Another version of Millrace.
    #[error(
        "the other TaskManager speaks version {found} of the data plane and this one version {DATA_PLANE_VERSION}: run \
         the same release on both"
    )]
    Version {
        /// The other's version.
        found: u16,
    },
    /// A length, a status or a text that cannot be.
    #[error("the handshake is malformed: {what}")]
    Malformed {
        /// What is wrong.
        what: &'static str,
    },
}

fn malformed(what: &'static str) -> HelloError {
    HelloError::Malformed { what }
}

/// The head of either message: three numbers behind magic and version.
fn read_head(bytes: &[u8; HELLO_HEAD_BYTES], magic: [u8; 4]) -> Result<[u16; 3], HelloError> {
    let [m0, m1, m2, m3, v0, v1, a0, a1, b0, b1, c0, c1] = *bytes;
    let found = [m0, m1, m2, m3];
    if found != magic {
        return Err(HelloError::Magic { found });
    }
    let found = u16::from_le_bytes([v0, v1]);
    if found != DATA_PLANE_VERSION {
        return Err(HelloError::Version { found });
    }
    Ok([u16::from_le_bytes([a0, a1]), u16::from_le_bytes([b0, b1]), u16::from_le_bytes([c0, c1])])
}

fn put_head(out: &mut impl BufMut, magic: [u8; 4], numbers: [u16; 3]) {
    out.put_slice(&magic);
    out.put_u16_le(DATA_PLANE_VERSION);
    numbers.into_iter().for_each(|number| out.put_u16_le(number));
}

fn text(bytes: &[u8]) -> Result<&str, HelloError> {
    std::str::from_utf8(bytes).map_err(|_| malformed("a text is not UTF-8"))
}

/// Who wants to send records, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The TaskManager that opened the connection.
    pub sender: String,
    /// The TaskManager that it means to reach.
    pub receiver: String,
}

/// The checked head of a [`Hello`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HelloHead {
    sender_len: usize,
    receiver_len: usize,
}

impl HelloHead {
    /// Checks it.
    ///
    /// # Errors
    /// If it is of something else, of another version, or states lengths that cannot be.
    pub fn parse(bytes: &[u8; HELLO_HEAD_BYTES]) -> Result<Self, HelloError> {
        let [sender_len, receiver_len, zero] = read_head(bytes, HELLO)?;
        let lengths = 1..=ID_BYTES_MAX;
        let (sender_len, receiver_len) = (usize::from(sender_len), usize::from(receiver_len));
        if zero != 0 || !lengths.contains(&sender_len) || !lengths.contains(&receiver_len) {
            return Err(malformed("an id is empty or too long, or bytes that should be zero are not"));
        }
        Ok(Self { sender_len, receiver_len })
    }

    /// The length of what follows, in bytes.
    pub fn body_len(&self) -> usize {
        self.sender_len + self.receiver_len
    }
}

impl Hello {
    /// The first bytes.
    pub const MAGIC: [u8; 4] = HELLO;

    /// Makes it of its head and what follows.
    ///
    /// # Errors
    /// If the body has another length, or an id is no text.
    pub fn from_parts(head: HelloHead, body: &[u8]) -> Result<Self, HelloError> {
        let ids = body.split_at_checked(head.sender_len).filter(|(_, rest)| rest.len() == head.receiver_len);
        let (sender, receiver) = ids.ok_or(malformed("the ids are cut off"))?;
        Ok(Self { sender: text(sender)?.to_owned(), receiver: text(receiver)?.to_owned() })
    }

    /// Reads it from the beginning of some bytes, with its length; `None` if more bytes are needed.
    ///
    /// # Errors
    /// As [`HelloHead::parse`] and [`Self::from_parts`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, HelloError> {
        let Some((head, rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let head = HelloHead::parse(head)?;
        let Some(body) = rest.get(..head.body_len()) else {
            return Ok(None);
        };
        Ok(Some((Self::from_parts(head, body)?, HELLO_HEAD_BYTES + body.len())))
    }

    /// Writes it. Ids beyond [`ID_BYTES_MAX`] are cut off, and are refused by the receiver as unknown.
    pub fn encode(&self, out: &mut impl BufMut) {
        let (sender, receiver) = (bounded_text(&self.sender, ID_BYTES_MAX), bounded_text(&self.receiver, ID_BYTES_MAX));
        put_head(out, HELLO, [sender.len() as u16, receiver.len() as u16, 0]);
        out.put_slice(sender.as_bytes());
        out.put_slice(receiver.as_bytes());
    }
}

/// Whether the connection is accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HelloReply {
    /// Frames may follow.
    Accepted,
    /// Nothing follows.
    Refused {
        /// Why, at most [`REASON_BYTES_MAX`] bytes; encoding cuts it off there.
        reason: String,
    },
}

/// The checked head of a [`HelloReply`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplyHead {
    accepted: bool,
    reason_len: usize,
}

impl ReplyHead {
    /// Checks it.
    ///
    /// # Errors
    /// As [`HelloHead::parse`].
    pub fn parse(bytes: &[u8; HELLO_HEAD_BYTES]) -> Result<Self, HelloError> {
        let [status, reason_len, zero] = read_head(bytes, REPLY)?;
        let (accepted, reason_len) = (status == 0, usize::from(reason_len));
        if status > 1 || zero != 0 || reason_len > REASON_BYTES_MAX || (accepted && reason_len != 0) {
            return Err(malformed("the answer's status or the length of its reason cannot be"));
        }
        Ok(Self { accepted, reason_len })
    }

    /// The length of what follows, in bytes.
    pub fn body_len(&self) -> usize {
        self.reason_len
    }
}

impl HelloReply {
    /// Makes it of its head and what follows.
    ///
    /// # Errors
    /// If the body has another length or is no text.
    pub fn from_parts(head: ReplyHead, body: &[u8]) -> Result<Self, HelloError> {
        if body.len() != head.reason_len {
            return Err(malformed("the reason is cut off"));
        }
        let reason = text(body)?;
        Ok(if head.accepted { Self::Accepted } else { Self::Refused { reason: reason.to_owned() } })
    }

    /// Reads it from the beginning of some bytes, with its length; `None` if more bytes are needed.
    ///
    /// # Errors
    /// As [`ReplyHead::parse`] and [`Self::from_parts`].
    pub fn decode(bytes: &[u8]) -> Result<Option<(Self, usize)>, HelloError> {
        let Some((head, rest)) = bytes.split_first_chunk() else {
            return Ok(None);
        };
        let head = ReplyHead::parse(head)?;
        let Some(body) = rest.get(..head.body_len()) else {
            return Ok(None);
        };
        Ok(Some((Self::from_parts(head, body)?, HELLO_HEAD_BYTES + body.len())))
    }

    /// Writes it.
    pub fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Accepted => put_head(out, REPLY, [0, 0, 0]),
            Self::Refused { reason } => {
                let reason = bounded_text(reason, REASON_BYTES_MAX);
                put_head(out, REPLY, [1, reason.len() as u16, 0]);
                out.put_slice(reason.as_bytes());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let mut bytes = Vec::new();
        Hello { sender: "a".to_owned(), receiver: "bc".to_owned() }.encode(&mut bytes);
        assert_eq!(bytes, b"MRDP\x02\0\x01\0\x02\0\0\0abc");
        bytes.clear();
        HelloReply::Refused { reason: "no".to_owned() }.encode(&mut bytes);
        assert_eq!(bytes, b"MRDR\x02\0\x01\0\x02\0\0\0no");
        bytes.clear();
        HelloReply::Accepted.encode(&mut bytes);
        assert_eq!(bytes, b"MRDR\x02\0\0\0\0\0\0\0");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let parse = |bytes: &[u8; 12]| HelloHead::parse(bytes).unwrap_err();
        assert_eq!(parse(b"GET / HTTP/1"), HelloError::Magic { found: *b"GET " });
        assert_eq!(parse(b"MRDP\x03\0\x01\0\x01\0\0\0"), HelloError::Version { found: 3 });
        assert!(matches!(parse(b"MRDP\x02\0\0\0\x01\0\0\0"), HelloError::Malformed { .. }));
        assert!(matches!(parse(b"MRDP\x02\0\x01\0\x01\x02\0\0"), HelloError::Malformed { .. }));
        assert!(matches!(parse(b"MRDP\x02\0\x01\0\x01\0\x01\0"), HelloError::Malformed { .. }));
        assert!(ReplyHead::parse(b"MRDR\x02\0\0\0\x01\0\0\0").is_err(), "accepted with a reason");
        assert!(ReplyHead::parse(b"MRDR\x02\0\x02\0\0\0\0\0").is_err(), "an unknown status");
        let head = HelloHead::parse(b"MRDP\x02\0\x01\0\x01\0\0\0").unwrap();
        assert!(Hello::from_parts(head, b"\xffa").is_err());
        assert!(Hello::from_parts(head, b"a").is_err());
    }
}
