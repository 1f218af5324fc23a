//! However the bytes arrive and whatever they are: one verdict, and what goes on is read alike by
//! us and by httparse.

use httparse::{EMPTY_HEADER, Status};
use proptest::{
    prelude::{ProptestConfig, Strategy, any, prop},
    prop_assert, prop_assert_eq, proptest,
};

use super::{
    GET, LIMITS,
    pieces::{chunked_body, context, request_head, response_head},
};
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
