//! Messages as gRPC carries them: each encoded by postcard. See docs/decisions/010 for why not protobuf.

use std::marker::PhantomData;

use bytes::{Buf, BufMut};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

/// Encodes `E` and decodes `D`.
#[derive(Debug)]
pub(crate) struct Postcard<E, D>(PhantomData<fn(E) -> D>);

impl<E, D> Default for Postcard<E, D> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<E, D> Codec for Postcard<E, D>
where
    E: Serialize + Send + 'static,
    D: DeserializeOwned + Send + 'static,
{
    type Encode = E;
    type Decode = D;
    type Encoder = PostcardEncoder<E>;
    type Decoder = PostcardDecoder<D>;

    fn encoder(&mut self) -> Self::Encoder {
        PostcardEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        PostcardDecoder(PhantomData)
    }
}

#[derive(Debug)]
pub(crate) struct PostcardEncoder<E>(PhantomData<fn(E)>);

impl<E: Serialize> Encoder for PostcardEncoder<E> {
    type Item = E;
    type Error = Status;

    fn encode(&mut self, item: E, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        let written = postcard::to_io(&item, out.writer());
        written.map(drop).map_err(|error| Status::internal(format!("a message cannot be encoded: {error}")))
    }
}

#[derive(Debug)]
pub(crate) struct PostcardDecoder<D>(PhantomData<fn() -> D>);

impl<D: DeserializeOwned> Decoder for PostcardDecoder<D> {
    type Item = D;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<D>, Status> {
        let bytes = from.copy_to_bytes(from.remaining());
        decode(&bytes).map(Some).map_err(Status::invalid_argument)
    }
}

/// A message of exactly these bytes.
pub(crate) fn decode<D: DeserializeOwned>(bytes: &[u8]) -> Result<D, String> {
    match postcard::take_from_bytes::<D>(bytes) {
        Ok((message, [])) => Ok(message),
        Ok((_, rest)) => Err(format!("a message has {} bytes too many", rest.len())),
        Err(error) => Err(format!("a message cannot be decoded: {error}")),
    }
}
