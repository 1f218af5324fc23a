//! The transparency catalogue: the chunked coding goes through as it came, chunk for chunk, and
//! what two readers could take apart differently goes no further.

use weir_tests::{Connection, End, Family, GET, OK, Stage};

const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Bodies behind which another message could hide, if they were forwarded: after a good chunk.
const MALFORMED: [&str; 37] = [
    // Sizes
    "\r\n",
    "x\r\n",
    "-1\r\nx\r\n",
    "+1\r\nx\r\n",
    "0x1\r\nx\r\n",
    "1 \r\nx\r\n",
    " 1\r\nx\r\n",
    "1\t\r\nx\r\n",
    "1,\r\nx\r\n",
    "1_0\r\nx\r\n",
    "\u{661}\r\nx\r\n",
    ";a\r\n",
    "8000000000000000\r\n",
    "ffffffffffffffff\r\n",
    "10000000000000000\r\n",
    "00000000000000001\r\nx\r\n",
    // Line ends
    "1\nx\r\n",
    "1\r\r\nx\r\n",
    "1\rx\r\n",
    "1\r\nx\n",
    "1\r\nx\r",
    "1\r\nxx\r\n",
    "1\r\nx0\r\n\r\n",
    "0\n\r\n",
    "0\r\n\n",
    "0\r\n\r\r\n",
    // Extensions
    "1;\0\r\nx\r\n",
    "1;a\nb\r\nx\r\n",
    "1;a\rb\r\nx\r\n",
    "1;\x0b\r\nx\r\n",
    "1 ;a\r\nx\r\n",
    // Trailers
    "0\r\nContent-Length: 5\r\n\r\n",
    "0\r\ntransfer-encoding: chunked\r\n\r\n",
    "0\r\nHost: b\r\n\r\n",
    "0\r\nX : y\r\n\r\n",
    "0\r\n X: y\r\n\r\n",
    "0\r\nX: y\n\r\n",
];

#[test]
fn chunks_arrive_as_they_were_cut() {
    let stage = Stage::new();
    let bodies = [
        "0\r\n\r\n",
        "5\r\nhello\r\n0\r\n\r\n",
        "0005\r\nhello\r\n0000000000000000\r\n\r\n",
        "1\r\na\r\n1\r\nb\r\n0b\r\nHTTP/1.1 20\r\n0\r\n\r\n",
        "A\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        "5;ext\r\nhello\r\n0\r\n\r\n",
        "5;a=b;c=\"d e\"\r\nhello\r\n0;last\r\n\r\n",
        "5;=;;\r\nhello\r\n0\r\n\r\n",
        "1\r\nx\r\n0\r\nX-Sum: 1\r\nx-sum:2\r\nX-Empty:\r\n\r\n",
    ];
    for (body, family) in bodies.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let (mut client, mut origin) = stage.begin(family, format!("{POST}{body}{GET}"));
        origin.expect(format!("{POST}{body}"));
        origin.send(format!("{CHUNKED}{body}")).unwrap();
        client.expect(format!("{CHUNKED}{body}"));
        origin.expect(GET);
        origin.send(OK).unwrap();
        client.expect(OK);
    }
}

/// A chunk is passed on before the next one comes, in both directions.
#[test]
fn nothing_waits_for_the_rest() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, POST);
        origin.expect(POST);
        origin.send(CHUNKED).unwrap();
        client.expect(CHUNKED);
        for _ in 0..10 {
            client.send("2\r\nup\r\n").unwrap();
            origin.expect("2\r\nup\r\n");
            origin.send("4\r\ndown\r\n").unwrap();
            client.expect("4\r\ndown\r\n");
            // Content goes on as it comes, even within a chunk.
            client.send("3\r\nab").unwrap();
            origin.expect("3\r\nab");
            client.send("c\r\n").unwrap();
            origin.expect("c\r\n");
        }
        client.send("0\r\n\r\n").unwrap();
        origin.expect("0\r\n\r\n");
        origin.send("0\r\n\r\n").unwrap();
        client.expect("0\r\n\r\n");
    }
}

/// What came before it has arrived; of the malformed line, and of all behind it, nothing does.
#[test]
fn a_malformed_request_body_goes_no_further() {
    let stage = Stage::new();
    for (bad, family) in MALFORMED.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let (mut client, mut origin) = stage.begin(family, format!("{POST}4\r\ngood\r\n"));
        origin.expect(format!("{POST}4\r\ngood\r\n"));
        let _ = client.send(format!("{bad}{GET}"));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{bad:?}: {head}");
        client.to_end().unwrap();
        // It must not take what it has for a whole request.
        let (rest, end) = origin.rest().unwrap();
        assert!(begins(&rest, bad), "{bad:?}: {}", rest.escape_ascii());
        assert_eq!(end, End::Reset, "{bad:?}");
    }
}

#[test]
fn a_malformed_response_body_goes_no_further() {
    let stage = Stage::new();
    for (bad, family) in MALFORMED.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(format!("{CHUNKED}4\r\ngood\r\n")).unwrap();
        client.expect(format!("{CHUNKED}4\r\ngood\r\n"));
        let _ = origin.send(format!("{bad}HTTP/1.1 200 evil\r\n\r\n"));
        // Nor must the client take what it has for a whole response.
        let (rest, end) = client.rest().unwrap();
        assert!(begins(&rest, bad), "{bad:?}: {}", rest.escape_ascii());
        assert_eq!(end, End::Reset, "{bad:?}");
        drained(&mut origin);
    }
}

/// Extensions are no way to make us, or the other side, work for nothing (CVE-2023-39326).
#[test]
fn extensions_have_a_limit() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, origin) = stage.begin(family, POST);
        let _ = client.send(format!("1;{}\r\nx\r\n", "e".repeat(5000)));
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        drop(origin);
        let (mut client, origin) = stage.begin(family, POST);
        for _ in 0..1000 {
            if client
                .send(format!("1;{}\r\nx\r\n", "e".repeat(200)))
                .is_err()
            {
                break;
            }
        }
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        drop(origin);
    }
}

/// Content goes on as it comes, lines only when they are whole and valid.
fn begins(rest: &[u8], bad: &str) -> bool {
    let valid = ["1\r\nx", "0\r\n"]
        .into_iter()
        .find(|valid| bad.starts_with(valid));
    valid.unwrap_or_default().as_bytes().starts_with(rest)
}

/// Reads what there is until the end, whichever it is.
fn drained(connection: &mut Connection) {
    connection.rest().unwrap();
    assert_eq!(connection.received(), GET.as_bytes());
}
