//! A body's bytes through a decoder, as the session brings them.

use proxy_userspace::http::{BodyDecoder, BodyError, Eof};

/// What became of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relayed {
    /// What goes on.
    pub out: Vec<u8>,
    /// How many bytes of the input belonged to it.
    pub consumed: usize,
    /// How many of them were content.
    pub payload: usize,
    /// What it would mean that the stream ends here.
    pub eof: Eof,
    /// The body was complete.
    pub done: bool,
}

/// Brings `body` up to each of `ends`, what was not consumed again with what came since. With
/// `past`, content is forwarded without passing through the decoder where that is possible.
///
/// # Errors
/// The decoder's.
pub fn relay(
    mut decoder: BodyDecoder,
    body: &[u8],
    ends: impl IntoIterator<Item = usize>,
    past: bool,
) -> Result<Relayed, BodyError> {
    let (mut out, mut consumed, mut payload) = (Vec::new(), 0, 0);
    for end in ends {
        while consumed <= end && !decoder.is_done() {
            if past && let Some(left) = decoder.remaining_length() {
                let count = usize::try_from(left).map_or(end - consumed, |l| l.min(end - consumed));
                decoder.skip(count as u64)?;
                out.extend_from_slice(&body[consumed..consumed + count]);
                consumed += count;
                payload += count;
            }
            let rest = &body[consumed..end];
            let progress = decoder.advance(rest)?;
            assert!(progress.consumed() <= rest.len() && progress.payload <= progress.forward);
            assert_eq!(progress.done, decoder.is_done());
            out.extend_from_slice(&rest[..progress.forward]);
            consumed += progress.consumed();
            payload += progress.payload;
            if progress.consumed() == 0 {
                break;
            }
        }
    }
    Ok(Relayed {
        out,
        consumed,
        payload,
        eof: decoder.on_eof(),
        done: decoder.is_done(),
    })
}
