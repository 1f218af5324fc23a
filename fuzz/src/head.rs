//! Heads: one verdict however the bytes arrive, and what is forwarded reads as what came.

use proxy_userspace::http::{
    Edits, HeadScanner, Refusal, RequestContext, RequestHead, ResponseFraming, ResponseHead, Start,
    classify, parse_request, parse_request_from, parse_response, parse_response_from,
};

use crate::setup::{LIMITS, Setup, cuts};

/// Panics where it does not hold for `input`.
pub fn run(input: &[u8]) {
    let Some((setup, bytes)) = Setup::split(input) else {
        return;
    };
    if setup.response {
        response(setup, bytes);
    } else {
        request(bytes);
    }
}

fn request(bytes: &[u8]) {
    let start = classify(bytes);
    for end in 0..bytes.len() {
        let earlier = classify(&bytes[..end]);
        assert!(earlier == Start::NeedMore || earlier == start, "at {end}");
    }
    let facts = |head: &RequestHead| {
        (
            head.len,
            request_facts(head, bytes),
            head.is_verbatim(&Edits::NONE),
            head.host(bytes).map(str::to_owned),
        )
    };
    let whole = parse_request(bytes, &LIMITS);
    let verdict = whole.clone().map(|head| head.as_ref().map(facts));
    for cut in [0, 1, 2] {
        let pieces = in_pieces(bytes, cut, |scanner, buf| {
            parse_request_from(scanner, buf, &LIMITS)
        });
        assert_eq!(pieces.map(|head| head.as_ref().map(facts)), verdict);
    }

    let Ok(Some(head)) = whole else { return };
    assert_eq!(start, Start::Http { skip: 0 });
    head.write_final_answer(bytes, &mut Vec::new());
    let write = |edits: &Edits<'_>| {
        let mut out = Vec::new();
        head.write_forwarded(bytes, edits, &mut out);
        out
    };
    let out = write(&Edits::NONE);
    assert!(!head.is_verbatim(&Edits::NONE) || out == bytes[..head.len]);
    nothing_is_invented(&bytes[..head.len], &out, true);
    nothing_is_left(&bytes[..head.len], &out, Goes::Request);
    edits_are_all_that_differs(&out, write);
    let again = parse_request(&out, &LIMITS)
        .expect("it was accepted before")
        .expect("it was complete");
    assert_eq!(again.len, out.len());
    assert_eq!(request_facts(&again, &out), request_facts(&head, bytes));
    assert_eq!(
        again.field(&out, "host").is_some(),
        head.field(bytes, "host").is_some()
    );
    let counts = matches!(head.method(bytes), "TRACE" | "OPTIONS")
        && again.field(&out, "max-forwards").is_some();
    assert!(
        counts || again.is_verbatim(&Edits::NONE),
        "forwarding once more changes it again"
    );
}

fn response(setup: Setup, bytes: &[u8]) {
    let Setup {
        context,
        persistent,
        ..
    } = setup;
    let facts = |head: &ResponseHead| (head.len, response_facts(head), head.persistent);
    let whole = parse_response(bytes, &LIMITS, &context);
    let verdict = whole.clone().map(|head| head.as_ref().map(facts));
    for cut in [0, 1, 2] {
        let pieces = in_pieces(bytes, cut, |scanner, buf| {
            parse_response_from(scanner, buf, &LIMITS, &context)
        });
        assert_eq!(pieces.map(|head| head.as_ref().map(facts)), verdict);
    }

    let Ok(Some(head)) = whole else { return };
    let write = |edits: &Edits<'_>| {
        let mut out = Vec::new();
        head.write_forwarded(bytes, persistent, edits, &mut out);
        out
    };
    let out = write(&Edits::NONE);
    assert!(!head.is_verbatim(persistent, &Edits::NONE) || out == bytes[..head.len]);
    assert!(out.starts_with(b"HTTP/1.1 "));
    nothing_is_invented(&bytes[..head.len], &out, false);
    let goes = if context.minor == 0 {
        Goes::Old
    } else {
        Goes::Response
    };
    nothing_is_left(&bytes[..head.len], &out, goes);
    edits_are_all_that_differs(&out, write);
    let again = parse_response(&out, &LIMITS, &context)
        .expect("it was accepted before")
        .expect("it was complete");
    assert_eq!(again.len, out.len());
    let framing = match head.framing {
        // The coding is taken off.
        ResponseFraming::Chunked if context.minor == 0 => ResponseFraming::UntilClose,
        framing => framing,
    };
    assert_eq!(response_facts(&again), (head.status, framing, head.interim));
    assert!(
        again.is_verbatim(persistent, &Edits::NONE),
        "forwarding once more changes it again"
    );
    if !head.interim && framing != ResponseFraming::Tunnel {
        let stays = head.persistent && persistent && context.persistent;
        assert_eq!(told_to_stay(&again, &out, &context), stays);
    }
}

/// Does the client take the connection for one that stays up? One of 1.0 needs the word, and one
/// that asks for the end has not to be told.
fn told_to_stay(head: &ResponseHead, buf: &[u8], context: &RequestContext) -> bool {
    let said = head.field(buf, "connection").unwrap_or_default();
    let said = String::from_utf8_lossy(said).to_ascii_lowercase();
    let granted = said.split(',').any(|option| option.trim() == "keep-alive");
    assert!(context.persistent || !granted);
    context.persistent && head.persistent && (context.minor > 0 || granted)
}

/// Edits add their lines and leave out what they name, if it may be left out.
fn edits_are_all_that_differs(out: &[u8], write: impl Fn(&Edits<'_>) -> Vec<u8>) {
    let kept = [
        "Host",
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "TE",
        "upgrade",
    ];
    let mut remove: Vec<Box<str>> = kept.map(Box::from).into();
    let append = b"X-Added: 1\r\n";
    let edits = Edits {
        append,
        remove: &remove,
    };
    let before = &out[..out.len() - 2];
    assert_eq!(write(&edits), [before, append, b"\r\n"].concat());
    remove.push("a".into());
    let edits = Edits {
        append: b"",
        remove: &remove,
    };
    let is_a = |line: &&[u8]| line.len() > 1 && line[..2].eq_ignore_ascii_case(b"a:");
    let rest: Vec<&[u8]> = out
        .split_inclusive(|&byte| byte == b'\n')
        .filter(|line| !is_a(line))
        .collect();
    assert_eq!(write(&edits), rest.concat());
}

/// In pseudo-random pieces, or byte by byte for 0; the first verdict counts.
fn in_pieces<H>(
    bytes: &[u8],
    seed: u8,
    mut parse: impl FnMut(&mut HeadScanner, &[u8]) -> Result<Option<H>, Refusal>,
) -> Result<Option<H>, Refusal> {
    let mut scanner = HeadScanner::new();
    let ends: Vec<usize> = match seed {
        0 => (0..=bytes.len()).collect(),
        seed => cuts(bytes.len(), seed).collect(),
    };
    for end in ends {
        match parse(&mut scanner, &bytes[..end]) {
            Ok(None) => {}
            verdict => return verdict,
        }
    }
    Ok(None)
}

fn request_facts(head: &RequestHead, buf: &[u8]) -> String {
    format!(
        "{} {} {:?} {} {:?} {} {} {}",
        head.method(buf),
        head.target(buf),
        head.host(buf),
        head.minor,
        head.framing,
        head.persistent,
        head.upgrade,
        head.expects_continue,
    )
}

fn response_facts(head: &ResponseHead) -> (u16, ResponseFraming, bool) {
    (head.status, head.framing, head.interim)
}

/// Every field line that goes came in this order, but for those that are ours to write.
fn nothing_is_invented(came: &[u8], goes: &[u8], request: bool) {
    let mut lines = came.split(|&byte| byte == b'\n').skip(1);
    for line in goes.split(|&byte| byte == b'\n').skip(1) {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let ours = [&b"connection"[..], b"te", b"upgrade"];
        let replaced = [&b"host"[..], b"max-forwards"];
        let is = |names: &[&[u8]]| names.iter().any(|ours| name.eq_ignore_ascii_case(ours));
        if is(&ours) || (request && is(&replaced)) {
            continue;
        }
        assert!(
            lines.any(|came| came == line),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Goes {
    Request,
    Response,
    /// A response to a client of HTTP/1.0.
    Old,
}

/// No field goes that is the next hop's business (RFC 9110 §7.6.1), but for those that are ours
/// to write, and Transfer-Encoding, if the client knows it (RFC 9112 §6.1).
fn nothing_is_left(came: &[u8], goes: &[u8], who: Goes) {
    let named: Vec<String> = fields(came)
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            let options = value.split(',').map(|option| option.trim().to_owned());
            options.collect::<Vec<_>>()
        })
        .collect();
    for (name, value) in fields(goes) {
        match name.as_str() {
            "connection" => {}
            "transfer-encoding" => assert_ne!(who, Goes::Old),
            "te" => assert!(who == Goes::Request && value.trim() == "trailers"),
            "upgrade" => assert!(named.contains(&name) && !value.split(',').any(is_h2c)),
            "keep-alive" | "proxy-connection" => panic!("{name}"),
            _ => assert!(!named.contains(&name), "{name}"),
        }
    }
}

fn is_h2c(protocol: &str) -> bool {
    protocol.trim().split(['/', '-']).next() == Some("h2c")
}

/// Names and values, in lower case.
fn fields(head: &[u8]) -> impl Iterator<Item = (String, String)> {
    head.split(|&byte| byte == b'\n')
        .skip(1)
        .filter_map(|line| {
            let line = String::from_utf8_lossy(line).to_ascii_lowercase();
            let (name, value) = line.split_once(':')?;
            Some((name.to_owned(), value.to_owned()))
        })
}
