//! Every way to frame a message, crossed: Content-Length × Transfer-Encoding × version ×
//! Connection, for requests and for responses to every kind of request. What is expected is
//! computed by the letter of RFC 9112 §6.3 from what each part is known to be.

use super::{GET, request, response};
use crate::http::{
    Edits, HeadLimits, RequestContext, RequestFraming, ResponseFraming, parse_request,
    parse_response,
};

/// What a part is: absent, valid with this meaning, or invalid by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<T> {
    Absent,
    Valid(T),
    Invalid,
}

use Part::{Absent, Invalid, Valid};

/// A transfer coding, as far as framing goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Te {
    Chunked,
    OthersThenChunked,
    Others,
}

const LENGTHS: &[(&str, Part<u64>)] = &[
    ("", Absent),
    ("Content-Length: 0\r\n", Valid(0)),
    ("content-LENGTH:5\r\n", Valid(5)),
    ("Content-Length:  5 \r\n", Valid(5)),
    ("Content-Length: 007\r\n", Valid(7)),
    (
        "Content-Length: 9223372036854775807\r\n",
        Valid(i64::MAX as u64),
    ),
    ("Content-Length: 9223372036854775808\r\n", Invalid),
    ("Content-Length: 18446744073709551616\r\n", Invalid),
    ("Content-Length:\r\n", Invalid),
    ("Content-Length: -0\r\n", Invalid),
    ("Content-Length: +5\r\n", Invalid),
    ("Content-Length: 5, 5\r\n", Invalid),
    ("Content-Length: 5 5\r\n", Invalid),
    ("Content-Length: 0x5\r\n", Invalid),
    ("Content-Length: 5a\r\n", Invalid),
    ("Content-Length: 5_0\r\n", Invalid),
    ("Content-Length: \t5\r\n", Invalid),
    ("Content-Length: 5\r\nContent-Length: 5\r\n", Invalid),
    (
        "Content-Length: 5\r\nA: b\r\ncontent-length: 6\r\n",
        Invalid,
    ),
];

const CODINGS: &[(&str, Part<Te>)] = &[
    ("", Absent),
    ("Transfer-Encoding: chunked\r\n", Valid(Te::Chunked)),
    ("transfer-encoding:CHUNKED \r\n", Valid(Te::Chunked)),
    (
        "Transfer-Encoding: gzip, chunked\r\n",
        Valid(Te::OthersThenChunked),
    ),
    (
        "Transfer-Encoding: gzip;q=1 ,deflate,chunked\r\n",
        Valid(Te::OthersThenChunked),
    ),
    ("Transfer-Encoding: gzip\r\n", Valid(Te::Others)),
    ("Transfer-Encoding: identity\r\n", Valid(Te::Others)),
    ("Transfer-Encoding: xchunked\r\n", Valid(Te::Others)),
    ("Transfer-Encoding:\r\n", Invalid),
    ("Transfer-Encoding: chunked, gzip\r\n", Invalid),
    ("Transfer-Encoding: chunked, chunked\r\n", Invalid),
    ("Transfer-Encoding: chunked, identity\r\n", Invalid),
    ("Transfer-Encoding: ,chunked\r\n", Invalid),
    ("Transfer-Encoding: chunked,\r\n", Invalid),
    ("Transfer-Encoding: chunked;a=b\r\n", Invalid),
    ("Transfer-Encoding: chunked chunked\r\n", Invalid),
    ("Transfer-Encoding: \"chunked\"\r\n", Invalid),
    (
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        Invalid,
    ),
    (
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
        Invalid,
    ),
    (
        "Transfer-Encoding: chunked\r\nA: b\r\ntransfer-encoding: identity\r\n",
        Invalid,
    ),
];

/// Connection, and what it makes of HTTP/1.0 and of later versions.
const CONNECTIONS: &[(&str, [bool; 2])] = &[
    ("", [false, true]),
    ("Connection: keep-alive\r\n", [true, true]),
    ("Connection: close\r\n", [false, false]),
    ("Connection: keep-alive, close\r\n", [false, false]),
    (
        "Connection: CLOSE\r\nConnection: Keep-Alive\r\n",
        [false, false],
    ),
    ("Connection: x\r\n", [false, true]),
];

/// Calls `check` with each field section, both orders of the two fields, and what its parts are.
fn each(mut check: impl FnMut(&str, Part<u64>, Part<Te>, [bool; 2])) {
    for &(length, length_is) in LENGTHS {
        for &(coding, coding_is) in CODINGS {
            for &(connection, persistent) in CONNECTIONS {
                for fields in [
                    format!("{length}{connection}{coding}"),
                    format!("{coding}{connection}A: b\r\n{length}"),
                ] {
                    check(&fields, length_is, coding_is, persistent);
                }
            }
        }
    }
}

#[test]
fn requests() {
    each(|fields, length, coding, persistent| {
        for minor in [0, 1, 7] {
            let head = format!("POST / HTTP/1.{minor}\r\nHost: a\r\n{fields}\r\n");
            let expected = match (coding, length) {
                (Invalid, _) | (_, Invalid) | (Valid(_), Valid(_)) => Err(400),
                (Valid(_), Absent) if minor == 0 => Err(400),
                (Valid(Te::Others), Absent) => Err(400),
                (Valid(Te::OthersThenChunked), Absent) => Err(501),
                (Valid(Te::Chunked), Absent) => Ok(RequestFraming::Chunked),
                (Absent, Valid(length)) => Ok(RequestFraming::Length(length)),
                (Absent, Absent) => Ok(RequestFraming::None),
            };
            let parsed = request(&head);
            let verdict = parsed
                .as_ref()
                .map(|head| head.framing)
                .map_err(|r| r.status);
            assert_eq!(verdict, expected, "{head:?}");
            let Ok(parsed) = parsed else { continue };
            assert_eq!(
                parsed.persistent,
                persistent[usize::from(minor > 0)],
                "{head:?}"
            );

            // The origin reads the same.
            let mut out = Vec::new();
            parsed.write_forwarded(head.as_bytes(), &Edits::NONE, &mut out);
            let again = request(&out).unwrap();
            assert_eq!(again.framing, parsed.framing, "{head:?}");
            assert_eq!(again.persistent, parsed.persistent, "{head:?}");
            assert_eq!(again.len, out.len(), "{head:?}");
        }
    });
}

#[test]
fn responses() {
    let contexts = [
        GET,
        RequestContext { minor: 0, ..GET },
        RequestContext {
            persistent: false,
            ..GET
        },
        RequestContext { head: true, ..GET },
        RequestContext {
            connect: true,
            ..GET
        },
    ];
    each(|fields, length, coding, persistent| {
        for context in contexts {
            for minor in [0, 1] {
                for status in [100, 200, 204, 304, 404] {
                    let head = format!("HTTP/1.{minor} {status} X\r\n{fields}\r\n");
                    let expected = framing(status, minor, length, coding, context);
                    let held = persistent[minor];
                    check_response(&head, context, expected, held);
                }
            }
        }
    });
}

/// RFC 9112 §6.3.
fn framing(
    status: u16,
    minor: usize,
    length: Part<u64>,
    coding: Part<Te>,
    context: RequestContext,
) -> Result<ResponseFraming, u16> {
    let announces = matches!(coding, Valid(_)) || matches!(length, Valid(1..));
    match (coding, length) {
        (Invalid, _) | (_, Invalid) | (Valid(_), Valid(_)) => return Err(502),
        (Valid(_), _) if minor == 0 => return Err(502),
        _ if status == 100 && (announces || minor == 0) => return Err(502),
        _ if context.head => return Ok(ResponseFraming::None),
        _ if context.connect && status / 100 == 2 => return Ok(ResponseFraming::Tunnel),
        _ if matches!(status, 100 | 204 | 304) => return Ok(ResponseFraming::None),
        _ => {}
    }
    match (coding, length) {
        (Valid(Te::Chunked), _) => Ok(ResponseFraming::Chunked),
        (Valid(_), _) if context.minor == 0 => Err(502),
        (Valid(Te::OthersThenChunked), _) => Ok(ResponseFraming::Chunked),
        (_, Valid(length)) => Ok(ResponseFraming::Length(length)),
        _ => Ok(ResponseFraming::UntilClose),
    }
}

fn check_response(
    head: &str,
    context: RequestContext,
    expected: Result<ResponseFraming, u16>,
    held: bool,
) {
    let parsed = response(head, context);
    let verdict = parsed
        .as_ref()
        .map(|head| head.framing)
        .map_err(|r| r.status);
    assert_eq!(verdict, expected, "{context:?} {head:?}");
    let Ok(parsed) = parsed else { return };
    assert!(held || !parsed.persistent, "{context:?} {head:?}");
    let ends = match parsed.framing {
        ResponseFraming::UntilClose | ResponseFraming::Tunnel => true,
        ResponseFraming::Chunked => context.minor == 0,
        // Announces a body that it must not have, which somebody may wait for.
        ResponseFraming::None => parsed.status == 204 && head.contains(": 5"),
        ResponseFraming::Length(_) => false,
    };
    assert!(!ends || !parsed.persistent, "{context:?} {head:?}");

    for persistent in [true, false] {
        let mut out = Vec::new();
        parsed.write_forwarded(head.as_bytes(), persistent, &Edits::NONE, &mut out);
        let again = response(&out, context).unwrap();
        let seen = match parsed.framing {
            ResponseFraming::Chunked if context.minor == 0 => ResponseFraming::UntilClose,
            framing => framing,
        };
        assert_eq!((again.framing, again.len), (seen, out.len()), "{head:?}");
        assert_eq!(again.minor, 1, "{head:?}");
        if again.interim || again.framing == ResponseFraming::Tunnel {
            continue;
        }
        // What we end, the client does not wait on.
        let stays = persistent && parsed.persistent;
        assert!(stays || !again.persistent, "{context:?} {head:?}");
        assert!(
            !stays || !context.persistent || again.persistent,
            "{context:?} {head:?}"
        );
    }
}

#[test]
fn large_heads() {
    const UP: &str = "GET / HTTP/1.0\r\n";
    const DOWN: &str = "HTTP/1.1 200 OK\r\n";
    let limits = HeadLimits {
        head_bytes: 64 * 1024,
        fields: 1000,
    };
    // The whole head is taken, or refused with this status.
    let check = |head: &str| {
        let len = if head.starts_with("HTTP") {
            parse_response(head.as_bytes(), &limits, &GET).map(|head| head.map(|head| head.len))
        } else {
            parse_request(head.as_bytes(), &limits).map(|head| head.map(|head| head.len))
        };
        len.map(|len| len == Some(head.len())).map_err(|r| r.status)
    };
    for (line, refused) in [(UP, 431), (DOWN, 502)] {
        let long = |len: usize| {
            let value = "x".repeat(len - line.len() - "X: \r\n\r\n".len());
            check(&format!("{line}X: {value}\r\n\r\n"))
        };
        assert_eq!(long(limits.head_bytes), Ok(true));
        assert_eq!(long(limits.head_bytes + 1), Err(refused));
        let many = |count: usize| check(&format!("{line}{}\r\n", "a: b\r\n".repeat(count)));
        assert_eq!(many(limits.fields), Ok(true));
        assert_eq!(many(limits.fields + 1), Err(refused));
    }
    let target = |len: usize| check(&format!("GET /{} HTTP/1.0\r\n\r\n", "x".repeat(len)));
    assert_eq!(target(60_000), Ok(true));
    assert_eq!(target(70_000), Err(414));
}
