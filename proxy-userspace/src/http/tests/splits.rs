//! However the bytes arrive and whatever they are: one verdict, and what goes on is read alike by
//! us and by httparse.

use httparse::{EMPTY_HEADER, Status};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop},
    prop_assert, prop_assert_eq, prop_oneof, proptest,
};

use super::{GET, LIMITS};
use crate::http::{
    ChunkError, ChunkedDecoder, Edits, HeadScanner, Refusal, RequestContext, RequestHead,
    ResponseFraming, ResponseHead, parse_request, parse_request_from, parse_response,
    parse_response_from,
};

/// Where `input` is cut, from arbitrary numbers; byte by byte if there are none.
fn cuts(len: usize, at: &[usize]) -> Vec<usize> {
    if at.is_empty() {
        return (0..=len).collect();
    }
    let mut cuts: Vec<usize> = at.iter().map(|at| at % (len + 1)).collect();
    cuts.push(len);
    cuts.sort_unstable();
    cuts
}

/// Brings `input` in pieces; the first verdict counts.
fn in_pieces<H>(
    input: &[u8],
    at: &[usize],
    mut parse: impl FnMut(&mut HeadScanner, &[u8]) -> Result<Option<H>, Refusal>,
) -> Result<Option<H>, Refusal> {
    let mut scanner = HeadScanner::new();
    for cut in cuts(input.len(), at) {
        match parse(&mut scanner, &input[..cut]) {
            Ok(None) => {}
            verdict => return verdict,
        }
    }
    Ok(None)
}

fn request_facts(head: &RequestHead, buf: &[u8]) -> String {
    let host = head.host(buf).unwrap_or("-");
    let (method, target) = (head.method(buf), head.target(buf));
    let RequestHead {
        minor,
        framing,
        persistent,
        upgrade,
        expects_continue,
        ..
    } = head;
    format!(
        "{method} {target} {host} {minor} {framing:?} {persistent} {upgrade} {expects_continue}"
    )
}

fn response_facts(head: &ResponseHead) -> String {
    let ResponseHead {
        status,
        minor,
        framing,
        interim,
        ..
    } = head;
    format!("{status} {minor} {framing:?} {interim}")
}

/// Does the client take the connection for one that stays up? A client of 1.0 needs the word, and
/// who has asked for the end has not to be told.
fn told_to_stay(head: &ResponseHead, buf: &[u8], context: &RequestContext) -> bool {
    let said = head.field(buf, "connection").unwrap_or_default();
    let granted = said.eq_ignore_ascii_case(b"keep-alive")
        || said.to_ascii_lowercase().starts_with(b"keep-alive,");
    assert!(context.persistent || !granted);
    context.persistent && head.persistent && (context.minor > 0 || granted)
}

/// What goes on of a chunked body, how much of the input belonged to it and was content, and
/// whether it was complete, if all was well.
#[derive(Debug, Default, PartialEq, Eq)]
struct Relayed {
    out: Vec<u8>,
    consumed: usize,
    payload: usize,
    done: bool,
}

fn chunked(mut decoder: ChunkedDecoder, input: &[u8], at: &[usize]) -> Result<Relayed, ChunkError> {
    let mut relayed = Relayed::default();
    for cut in cuts(input.len(), at) {
        while !relayed.done && relayed.consumed <= cut {
            let rest = &input[relayed.consumed..cut];
            let progress = decoder.advance(rest)?;
            relayed.out.extend_from_slice(&rest[..progress.forward]);
            relayed.consumed += progress.consumed();
            relayed.payload += progress.payload;
            relayed.done = progress.done;
            if progress.consumed() == 0 {
                break;
            }
        }
    }
    Ok(relayed)
}

/// Pieces of heads, good and bad, so that many of the heads made of them are accepted.
fn head_piece() -> impl Strategy<Value = Vec<u8>> {
    let common = prop::sample::select(vec![
        "A: b\r\n",
        "x-long-name:\t some  value \r\n",
        "Empty:\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Connection: x, TE\r\n",
        "X: y\r\n",
        "TE: trailers\r\n",
        "TE: gzip\r\n",
        "Keep-Alive: 5\r\n",
        "Proxy-Connection: a\r\n",
        "Upgrade: websocket\r\n",
        "Upgrade: h2c, foo\r\n",
        "Connection: Upgrade\r\n",
        "Expect: 100-continue\r\n",
    ]);
    let framing = prop::sample::select(vec![
        "Content-Length: 5\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding: gzip, chunked\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Host: a\r\n",
    ]);
    let odd = prop::sample::select(vec![
        "\r\n",
        "\n",
        "\r",
        " ",
        "\t",
        ":",
        "Host : b\r\n",
        " folded\r\n",
        "\0",
        "A: b\n",
        "Content-Length: +5\r\n",
        "Connection: host\r\n",
        "Host: b c\r\n",
    ]);
    prop_oneof![
        12 => common.prop_map(|s| s.as_bytes().to_vec()),
        3 => framing.prop_map(|s| s.as_bytes().to_vec()),
        1 => odd.prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 1..4),
    ]
}

fn head(lines: &[&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let line = prop::sample::select(lines.to_vec());
    (line, prop::collection::vec(head_piece(), 0..8))
        .prop_map(|(line, pieces)| [line.as_bytes(), &pieces.concat(), b"\r\n"].concat())
}

fn request_head() -> impl Strategy<Value = Vec<u8>> {
    head(&[
        "GET / HTTP/1.1\r\nHost: a\r\n",
        "POST /x?y HTTP/1.1\r\nhost:a:80\r\n",
        "HEAD http://a/ HTTP/1.1\r\nHost: a\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\nMax-Forwards: 9\r\n",
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n",
        "GET / HTTP/1.0\r\n",
        "GET / HTTP/1.3\r\nHost: a\r\n",
        "GET / HTTP/2.0\r\n",
        "GET /\r\n",
        "GET / HTTP/1.1\r\n",
    ])
}

fn response_head() -> impl Strategy<Value = Vec<u8>> {
    head(&[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 204\r\n",
        "HTTP/1.1 304 Not Modified\r\n",
        "HTTP/1.0 200 OK\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n",
        "HTTP/1.1 103 Early Hints\r\n",
        "HTTP/1.4 404 \r\n",
        "HTTP/2 200\r\n",
    ])
}

fn context() -> impl Strategy<Value = RequestContext> {
    (prop::array::uniform4(any::<bool>()), 0..=1u8).prop_map(
        |([head, connect, upgrade, persistent], minor)| RequestContext {
            head,
            connect,
            upgrade,
            minor,
            persistent,
        },
    )
}

fn chunked_body() -> impl Strategy<Value = Vec<u8>> {
    let chunk = (
        prop::collection::vec(any::<u8>(), 1..40),
        "(;[a-z]{1,9}(=\"[a-z ]{1,9}\")?)?",
    )
        .prop_map(|(data, extension)| {
            let line = format!("{:x}{extension}\r\n", data.len());
            [line.as_bytes(), &data, b"\r\n"].concat()
        });
    let odd = prop::sample::select(vec![
        "\r\n",
        "\n",
        "-1\r\n",
        "1 \r\nx\r\n",
        "1;\0\r\nx\r\n",
        "1",
    ])
    .prop_map(|odd| odd.as_bytes().to_vec());
    let last = prop::sample::select(vec![
        "0\r\n\r\n",
        "00;x\r\n\r\n",
        "0\r\nA: b\r\n\r\n",
        "0\r\n\n",
        "0\r\nHost: a\r\n\r\n",
        "0\r\nKeep-Alive: 5\r\nB: c\r\nA: b\r\n\r\n",
        "0\r\n",
        "",
    ]);
    let pieces = prop::collection::vec(prop_oneof![15 => chunk, 1 => odd], 0..6);
    (pieces, last, prop::collection::vec(any::<u8>(), 0..5))
        .prop_map(|(pieces, last, rest)| [&pieces.concat(), last.as_bytes(), &rest].concat())
}

fn places() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(any::<usize>(), 0..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn requests_in_pieces(head in request_head(), at in places()) {
        let whole = parse_request(&head, &LIMITS).map(|parsed| parsed.map(|h| (h.len, request_facts(&h, &head))));
        let pieces = in_pieces(&head, &at, |scanner, buf| parse_request_from(scanner, buf, &LIMITS))
            .map(|parsed| parsed.map(|h| (h.len, request_facts(&h, &head))));
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn responses_in_pieces(head in response_head(), at in places(), context in context()) {
        let whole = parse_response(&head, &LIMITS, &context).map(|parsed| parsed.map(|h| (h.len, response_facts(&h))));
        let pieces = in_pieces(&head, &at, |scanner, buf| {
            parse_response_from(scanner, buf, &LIMITS, &context)
        })
        .map(|parsed| parsed.map(|h| (h.len, response_facts(&h))));
        prop_assert_eq!(whole, pieces);
    }

    #[test]
    fn forwarded_requests_read_alike(head in request_head()) {
        let Ok(Some(parsed)) = parse_request(&head, &LIMITS) else { return Ok(()) };
        let mut out = Vec::new();
        parsed.write_forwarded(&head, &Edits::NONE, &mut out);
        prop_assert!(!parsed.is_verbatim(&Edits::NONE) || out == head[..parsed.len]);
        let again = parse_request(&out, &LIMITS).unwrap().unwrap();
        prop_assert_eq!(again.len, out.len());
        prop_assert_eq!(request_facts(&again, &out), request_facts(&parsed, &head));
        let counts = again.method(&out) == "OPTIONS" && again.field(&out, "max-forwards").is_some();
        prop_assert!(counts || again.is_verbatim(&Edits::NONE), "{:?}", String::from_utf8_lossy(&out));

        let mut headers = [EMPTY_HEADER; 100];
        let mut theirs = httparse::Request::new(&mut headers);
        prop_assert_eq!(theirs.parse(&out), Ok(Status::Complete(out.len())));
        prop_assert_eq!(theirs.method.unwrap(), again.method(&out));
        prop_assert_eq!(theirs.path.unwrap(), again.target(&out));
        let lines = out.iter().filter(|&&byte| byte == b'\n').count();
        prop_assert_eq!(theirs.headers.len() + 2, lines);
    }

    #[test]
    fn forwarded_responses_read_alike(
        head in response_head(),
        context in context(),
        persistent in any::<bool>(),
    ) {
        let Ok(Some(parsed)) = parse_response(&head, &LIMITS, &context) else { return Ok(()) };
        let mut out = Vec::new();
        parsed.write_forwarded(&head, persistent, &Edits::NONE, &mut out);
        prop_assert!(!parsed.is_verbatim(persistent, &Edits::NONE) || out == head[..parsed.len]);
        let again = parse_response(&out, &LIMITS, &context).unwrap().unwrap();
        prop_assert_eq!(again.len, out.len());
        let mut facts = response_facts(&parsed);
        if context.minor == 0 {
            // The coding has been taken off.
            facts = facts.replace("Chunked", "UntilClose");
        }
        // Answers go as 1.1.
        facts = facts.replacen(" 0 ", " 1 ", 1);
        prop_assert_eq!(response_facts(&again), facts);
        prop_assert!(again.is_verbatim(persistent, &Edits::NONE), "{:?}", String::from_utf8_lossy(&out));
        if !again.interim && again.framing != ResponseFraming::Tunnel {
            let stays = persistent && parsed.persistent && context.persistent;
            prop_assert_eq!(told_to_stay(&again, &out, &context), stays);
        }

        let mut headers = [EMPTY_HEADER; 100];
        let mut theirs = httparse::Response::new(&mut headers);
        prop_assert_eq!(theirs.parse(&out), Ok(Status::Complete(out.len())));
        prop_assert_eq!(theirs.code, Some(again.status));
    }

    #[test]
    fn chunked_in_pieces(body in chunked_body(), at in places()) {
        let named: Box<[Box<[u8]>]> = Box::new([Box::from(&b"A"[..])]);
        let decoders: [&dyn Fn() -> ChunkedDecoder; 3] = [
            &ChunkedDecoder::new,
            &|| ChunkedDecoder::new().without(named.clone()),
            &|| ChunkedDecoder::new().unwrapping(),
        ];
        for decoder in decoders {
            let whole = chunked(decoder(), &body, &[body.len()]);
            prop_assert_eq!(&chunked(decoder(), &body, &at), &whole);
            prop_assert_eq!(&chunked(decoder(), &body, &[]), &whole);
        }
        if let Ok(content) = chunked(ChunkedDecoder::new().unwrapping(), &body, &at) {
            prop_assert_eq!(content.out.len(), content.payload);
        }
    }

    #[test]
    fn another_buffer_does_no_harm(head in request_head(), cut in any::<usize>()) {
        let mut scanner = HeadScanner::new();
        let _ = parse_request_from(&mut scanner, &head[..head.len() - 2], &LIMITS);
        let _ = parse_request_from(&mut scanner, &head[..cut % head.len()], &LIMITS);
        if let Ok(Some(parsed)) = parse_request(&head, &LIMITS) {
            parsed.write_forwarded(&head[..cut % head.len()], &Edits::NONE, &mut Vec::new());
        }
    }

    #[test]
    fn nothing_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), at in places()) {
        let _ = in_pieces(&bytes, &at, |scanner, buf| parse_request_from(scanner, buf, &LIMITS));
        let _ = parse_response(&bytes, &LIMITS, &GET);
        let _ = chunked(ChunkedDecoder::new(), &bytes, &at);
    }
}
