//! The catalogue of chunked bodies, well-formed and malformed (RFC 9112 §7.1).

use crate::http::{ChunkError, ChunkedDecoder, MAX_EXTENSION, MAX_TRAILERS, Progress};

fn whole(input: &[u8]) -> Result<Progress, ChunkError> {
    ChunkedDecoder::new().advance(input)
}

#[test]
fn well_formed_bodies() {
    let bodies: [(&[u8], usize); 9] = [
        (b"0\r\n\r\n", 0),
        (b"000\r\n\r\n", 0),
        (b"5\r\nhello\r\n0\r\n\r\n", 5),
        (b"A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", 20),
        (b"0000000000000001\r\nx\r\n0\r\n\r\n", 1),
        (b"1;a=b;c=\"d e\"\r\nx\r\n0;z\r\n\r\n", 1),
        (b"1;\t\xc3\xa4\r\nx\r\n0\r\n\r\n", 1),
        (b"2\r\n\r\n\r\n0\r\n\r\n", 2),
        (b"1\r\nx\r\n0\r\nGrpc-Status: 0\r\nEmpty:\r\n\r\n", 1),
    ];
    for (body, payload) in bodies {
        let progress = Progress {
            forward: body.len(),
            dropped: 0,
            payload,
            done: true,
        };
        assert_eq!(
            whole(body),
            Ok(progress),
            "{:?}",
            String::from_utf8_lossy(body)
        );
        let followed = [body, b"GET / HTTP/1.1\r\n"].concat();
        assert_eq!(
            whole(&followed),
            Ok(progress),
            "{:?}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn malformed_bodies() {
    use ChunkError as E;
    let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "e".repeat(MAX_EXTENSION));
    let trailer = format!("0\r\na: {}\r\n\r\n", "e".repeat(MAX_TRAILERS));
    let cases: &[(&[u8], E)] = &[
        (b"-1\r\n", E::Size),
        (b"+1\r\n", E::Size),
        (b"0x1\r\n", E::Size),
        (b" 1\r\n", E::Size),
        (b"1 \r\n", E::Size),
        (b"1\t;a\r\n", E::Size),
        (b"1_0\r\n", E::Size),
        (b"g\r\n", E::Size),
        (b"\r\n", E::Size),
        (b";a\r\n", E::Size),
        (b"1\n", E::Size),
        (b"1\0\r\n", E::Size),
        (b"ffffffffffffffff\r\n", E::SizeOverflow),
        (b"8000000000000000\r\n", E::SizeOverflow),
        (b"00000000000000001\r\n", E::SizeOverflow),
        (b"10000000000000000\r\n", E::SizeOverflow),
        (b"1\rx", E::LineEnd),
        (b"1\r\r\n", E::LineEnd),
        (b"1;a\nx\r\n", E::Extension),
        (b"1;a\0\r\n", E::Extension),
        (b"1;\x7f\r\n", E::Extension),
        (b"1;a\rb\r\n", E::LineEnd),
        (long.as_bytes(), E::ExtensionTooLong),
        (b"1\r\nxy\r\n", E::DataEnd),
        (b"1\r\nx\n0\r\n\r\n", E::DataEnd),
        (b"1\r\nx\r0\r\n\r\n", E::DataEnd),
        (b"1\r\nx0\r\n\r\n", E::DataEnd),
        (b"0\r\n\n", E::Trailer("invalid octet in field name")),
        (b"0\r\n\rx", E::Trailer("CR without LF in field")),
        (
            b"0\r\nGET / HTTP/1.1\r\n",
            E::Trailer("whitespace in or after field name"),
        ),
        (b"0\r\na: b\n\r\n", E::Trailer("LF without CR in field")),
        (
            b"0\r\na: b\r\n c\r\n\r\n",
            E::Trailer("line begins with whitespace (obs-fold)"),
        ),
        (
            b"0\r\na: \0\r\n\r\n",
            E::Trailer("control octet in field value"),
        ),
        (b"0\r\nContent-Length: 5\r\n\r\n", E::TrailerField),
        (
            b"0\r\na: b\r\nTRANSFER-ENCODING: chunked\r\n\r\n",
            E::TrailerField,
        ),
        (b"0\r\nHost: a\r\n\r\n", E::TrailerField),
        (b"0\r\ncontent_length: 5\r\n\r\n", E::TrailerField),
        (trailer.as_bytes(), E::TrailersTooLong),
    ];
    for (body, error) in cases {
        assert_eq!(
            whole(body),
            Err(*error),
            "{:?}",
            String::from_utf8_lossy(body)
        );
    }
}

#[test]
fn lines_are_held_and_content_is_not() {
    let mut decoder = ChunkedDecoder::new();
    let mut step = |input: &[u8]| decoder.advance(input).map(|p| (p.forward, p.payload));
    assert_eq!(step(b"5;a"), Ok((0, 0)));
    assert_eq!(step(b"5;a=b\r"), Ok((0, 0)));
    assert_eq!(step(b"5;a=b\r\nhe"), Ok((9, 2)));
    assert_eq!(step(b"llo\r"), Ok((3, 3)));
    assert_eq!(step(b"\r\n0\r\n"), Ok((5, 0)));
    assert_eq!(step(b"a: b\r\nc"), Ok((6, 0)));
    assert_eq!(step(b"c: d\r\n\r"), Ok((6, 0)));
    assert_eq!(step(b"\r\nGET"), Ok((2, 0)));
    assert!(decoder.is_done());
    assert_eq!(
        decoder.advance(b"GET"),
        Ok(Progress {
            done: true,
            ..Progress::default()
        })
    );
}

/// What goes on of `input`, which comes in two pieces, and whether the body is complete.
fn forwarded(mut decoder: ChunkedDecoder, input: &[u8], cut: usize) -> (Vec<u8>, bool) {
    let (mut out, mut at) = (Vec::new(), 0);
    for end in [cut, input.len()] {
        loop {
            let progress = decoder.advance(&input[at..end]).unwrap();
            out.extend_from_slice(&input[at..at + progress.forward]);
            at += progress.consumed();
            if progress.done || progress.consumed() == 0 {
                break;
            }
        }
    }
    assert!(!decoder.is_done() || at == input.len());
    (out, decoder.is_done())
}

#[test]
fn the_coding_can_be_taken_off() {
    let body = b"5;a=b\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0;z\r\nA: b\r\nC: d\r\n\r\n";
    for cut in 0..=body.len() {
        let (content, done) = forwarded(ChunkedDecoder::new().unwrapping(), body, cut);
        assert_eq!((content.as_slice(), done), (&b"hello world"[..], true));
    }
    // In as few pieces as the content has.
    let mut decoder = ChunkedDecoder::new().unwrapping();
    let mut step = |input| {
        decoder
            .advance(input)
            .map(|p| (p.forward, p.dropped, p.done))
    };
    assert_eq!(
        step(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\nHTTP"),
        Ok((0, 3, false))
    );
    assert_eq!(step(b"ab\r\n1\r\nc\r\n0\r\n\r\nHTTP"), Ok((2, 5, false)));
    assert_eq!(step(b"c\r\n0\r\n\r\nHTTP"), Ok((1, 7, true)));
    assert_eq!(step(b"HTTP"), Ok((0, 0, true)));
}

#[test]
fn trailers_of_the_connection_are_dropped() {
    let named: Box<[Box<[u8]>]> = Box::new([Box::from(&b"X-Hop"[..]), Box::from(&b"y"[..])]);
    let body = b"1\r\nx\r\n0\r\nx-hop: 1\r\nY:\r\nA: b\r\nKeep-Alive: 5\r\nte: x\r\n\
        Connection: A\r\nProxy-Connection: x\r\nUPGRADE: x\r\nYY: z\r\n\r\n";
    let goes = b"1\r\nx\r\n0\r\nA: b\r\nYY: z\r\n\r\n";
    for cut in 0..=body.len() {
        let decoder = ChunkedDecoder::new().without(named.clone());
        assert_eq!(forwarded(decoder, body, cut), (goes.to_vec(), true));
    }
}

#[test]
fn held_bytes_must_come_back() {
    let mut decoder = ChunkedDecoder::new();
    assert!(decoder.advance(b"5;abc").is_ok());
    assert_eq!(decoder.advance(b"5"), Err(ChunkError::Lost));
}

#[test]
fn extensions_are_weighed_against_content() {
    let extension = "e".repeat(200);
    let bare = format!("1;{extension}\r\nx\r\n").repeat(100);
    assert_eq!(whole(bare.as_bytes()), Err(ChunkError::ExtensionTooLong));
    let full = format!("100;{extension}\r\n{}\r\n", "x".repeat(256)).repeat(1000);
    assert!(whole(full.as_bytes()).is_ok());
}

#[test]
fn content_can_go_past_the_decoder() {
    let mut decoder = ChunkedDecoder::new();
    assert_eq!(decoder.remaining_length(), None);
    assert_eq!(decoder.advance(b"10\r\nab").map(|p| p.forward), Ok(6));
    assert_eq!(decoder.remaining_length(), Some(14));
    assert!(!decoder.skip(15));
    assert!(decoder.skip(13));
    assert_eq!(decoder.remaining_length(), Some(1));
    assert!(decoder.skip(1) && decoder.skip(0) && !decoder.skip(1));
    assert!(decoder.advance(b"\r\n0\r\n\r\n").is_ok_and(|p| p.done));
}
