//! Chunked bodies: one verdict however the bytes arrive, the end where a plain reader of
//! RFC 9112 §7.1 has it, and nothing behind it touched.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_userspace::http::{BodyDecoder, BodyError, RequestFraming};
use weir_fuzz::{
    cuts,
    origin::{Plain, read_chunked},
};

fuzz_target!(|input: &[u8]| {
    let Some((&seed, body)) = input.split_first() else {
        return;
    };
    let whole = decode(body, [body.len()], false);
    assert_eq!(decode(body, 0..=body.len(), false), whole, "byte by byte");
    assert_eq!(
        decode(body, cuts(body.len(), seed), false),
        whole,
        "in pieces"
    );
    assert_eq!(
        decode(body, cuts(body.len(), seed), true),
        whole,
        "content past it"
    );

    let Ok(Decoded {
        consumed,
        payload,
        done,
    }) = whole
    else {
        return;
    };
    assert!(payload <= consumed && consumed <= body.len());
    // What has been forwarded is what would have been without the rest.
    let forwarded = decode(&body[..consumed], [consumed], false);
    assert_eq!(forwarded, whole);
    match read_chunked(body) {
        Plain::Complete { len, content } => {
            assert!(done);
            assert_eq!((len, content.len()), (consumed, payload));
        }
        Plain::Incomplete => assert!(!done),
        Plain::Malformed => panic!("a plain reader takes it for malformed"),
    }
    if done {
        assert!(
            !decode(&body[..consumed - 1], [consumed - 1], false)
                .unwrap()
                .done
        );
        let followed = [&body[..consumed], b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(decode(&followed, [followed.len()], false), whole);
    }
});

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decoded {
    consumed: usize,
    payload: usize,
    done: bool,
}

/// Brings what was not consumed again with what came since, as the session does. With `past`,
/// content is forwarded without passing through the decoder where that is possible.
fn decode(
    body: &[u8],
    ends: impl IntoIterator<Item = usize>,
    past: bool,
) -> Result<Decoded, BodyError> {
    let mut decoder = BodyDecoder::from(RequestFraming::Chunked);
    let (mut consumed, mut payload) = (0, 0);
    for end in ends {
        if end < consumed {
            continue;
        }
        if past && let Some(left) = decoder.remaining_length() {
            let count = left.min((end - consumed) as u64);
            decoder.skip(count)?;
            consumed += count as usize;
            payload += count as usize;
        }
        let progress = decoder.advance(&body[consumed..end])?;
        assert!(progress.consumed <= end - consumed);
        assert_eq!(progress.done, decoder.is_done());
        consumed += progress.consumed;
        payload += progress.payload;
        if progress.done {
            break;
        }
    }
    Ok(Decoded {
        consumed,
        payload,
        done: decoder.is_done(),
    })
}
