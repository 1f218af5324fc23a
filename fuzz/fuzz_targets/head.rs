//! Heads: one verdict however the bytes arrive, and what is forwarded reads as what came.

#![no_main]

use libfuzzer_sys::fuzz_target;
use proxy_userspace::http::{
    HeadScanner, Refusal, RequestHead, ResponseHead, Start, classify, parse_request,
    parse_request_from, parse_response, parse_response_from,
};
use weir_fuzz::{LIMITS, Setup, cuts};

fuzz_target!(|input: &[u8]| {
    let Some((setup, bytes)) = Setup::split(input) else {
        return;
    };
    if setup.response {
        response(setup, bytes);
    } else {
        request(bytes);
    }
});

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
            head.is_verbatim(),
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
    let is_preface = bytes.starts_with(b"PRI * HTTP/2.0");
    assert!(is_preface || start == Start::Http { skip: 0 }, "{start:?}");
    let mut out = Vec::new();
    head.write_forwarded(bytes, &mut out);
    assert!(!head.is_verbatim() || out == bytes[..head.len]);
    nothing_is_invented(&bytes[..head.len], &out);
    nothing_is_left(&bytes[..head.len], &out, true);
    let again = parse_request(&out, &LIMITS)
        .expect("it was accepted before")
        .expect("it was complete");
    assert_eq!(again.len, out.len());
    assert_eq!(request_facts(&again, &out), request_facts(&head, bytes));
    assert!(again.is_verbatim(), "forwarding once more changes it again");
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
    let mut out = Vec::new();
    head.write_forwarded(bytes, persistent, &mut out);
    assert!(!head.is_verbatim(persistent) || out == bytes[..head.len]);
    nothing_is_invented(&bytes[..head.len], &out);
    nothing_is_left(&bytes[..head.len], &out, false);
    let again = parse_response(&out, &LIMITS, &context)
        .expect("it was accepted before")
        .expect("it was complete");
    assert_eq!(again.len, out.len());
    assert_eq!(response_facts(&again), response_facts(&head));
    assert!(
        again.is_verbatim(persistent),
        "forwarding once more changes it again"
    );
    if !head.interim {
        assert_eq!(again.persistent, head.persistent && persistent);
    }
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

/// Every field line that goes came in this order, but for the three that are ours to write.
fn nothing_is_invented(came: &[u8], goes: &[u8]) {
    let mut lines = came.split(|&byte| byte == b'\n').skip(1);
    for line in goes.split(|&byte| byte == b'\n').skip(1) {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        let ours = [&b"connection"[..], b"te", b"upgrade"];
        if ours.iter().any(|ours| name.eq_ignore_ascii_case(ours)) {
            continue;
        }
        assert!(
            lines.any(|came| came == line),
            "{:?}",
            String::from_utf8_lossy(line)
        );
    }
}

/// No field goes that is the next hop's business (RFC 9110 §7.6.1), but for those that are ours
/// to write, and Transfer-Encoding.
fn nothing_is_left(came: &[u8], goes: &[u8], request: bool) {
    let named: Vec<String> = fields(came)
        .filter(|(name, _)| name == "connection")
        .flat_map(|(_, value)| {
            let options = value.split(',').map(|option| option.trim().to_owned());
            options.collect::<Vec<_>>()
        })
        .collect();
    for (name, value) in fields(goes) {
        match name.as_str() {
            "connection" | "transfer-encoding" => {}
            "te" => assert!(request && value.trim() == "trailers"),
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
