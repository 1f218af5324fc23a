//! The transparency catalogue: what cannot begin a request becomes a tunnel, and nothing else
//! does.

use weir_tests::{End, Family, GET, OK, Pattern, Stage};

/// First octets of other protocols, and of none.
const NOT_HTTP: [&[u8]; 13] = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"\x13BitTorrent protocol",
    b"{\"id\": 1}\n",
    b"\x00",
    b"\xff\xfe",
    b"\x05\x01\x00",
    b"*1\r\n$4\r\nPING\r\n",
    b"QUIT\r\n",
    b"GET\n",
    b"GET\r\n",
    b"<policy-file-request/>\0",
    b"(lisp)",
];

#[test]
fn every_octet_arrives_both_ways() {
    let stage = Stage::new();
    let octets = Pattern::bytes(300_000);
    for (first, family) in NOT_HTTP.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let (mut client, mut origin) = stage.begin(family, first);
        origin.expect(first);
        origin.send("banner\n").unwrap();
        client.expect("banner\n");
        // Inside, a request is nothing special.
        client.send(GET).unwrap();
        origin.expect(GET);
        client.send(&octets).unwrap();
        client.half_close().unwrap();
        origin.expect_last(&octets);
        origin.send(&octets).unwrap();
        origin.half_close().unwrap();
        client.expect_last(&octets);
    }
    assert_eq!(stage.weir.outcomes("tunnel"), NOT_HTTP.len() as u64);
    assert_eq!(stage.weir.status()["requests"], 0);
}

/// The verdict is the same however the octets come.
#[test]
fn one_octet_at_a_time() {
    let stage = Stage::new();
    for (first, family) in NOT_HTTP.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let mut client = stage.client(family);
        for octet in first {
            client.send([*octet]).unwrap();
        }
        let mut origin = stage.accept(&client);
        origin.expect(first);
    }
}

#[test]
fn the_end_of_an_undecided_word_arrives() {
    let stage = Stage::new();
    for (word, family) in ["GET", "G", "SSH-2.0-x", "PRI * HT", "\r\n"]
        .into_iter()
        .zip(Family::BOTH.into_iter().cycle())
    {
        let (mut client, mut origin) = {
            let mut client = stage.client(family);
            client.send(word).unwrap();
            client.half_close().unwrap();
            let origin = stage.accept(&client);
            (client, origin)
        };
        origin.expect_last(word);
        origin.send("what?\n").unwrap();
        origin.half_close().unwrap();
        client.expect_last("what?\n");
    }
}

/// An origin reads requests leniently, so each of these would be one to it, past every check.
#[test]
fn a_malformed_request_is_no_tunnel() {
    let stage = Stage::new();
    let requests = [
        "GET\t/ HTTP/1.1\r\nHost: lab\r\n\r\n",
        "GET\x0b/ HTTP/1.1\r\nHost: lab\r\n\r\n",
        "GET\r/ HTTP/1.1\r\nHost: lab\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: lab\r\n\r\n",
        "\t GET / HTTP/1.1\r\nHost: lab\r\n\r\n",
        "\nGET / HTTP/1.1\r\nHost: lab\r\n\r\n",
        "\r\n\r\nGET / HTTP/1.1\r\nHost: lab\r\n\r\n",
        "\r\n GET / HTTP/1.1\r\nHost: lab\r\n\r\n",
        "GET / HTTP/1.1\nHost: lab\n\n",
        "GET /\r\n",
        "GET / HTTP/1.1\r\nno field\r\n\r\n",
        "GET / FTP/1.1\r\n\r\n",
    ];
    for (request, family) in requests.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let mut client = stage.client(family);
        client.send(request).unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{request:?}: {head}");
        client.to_end().unwrap();
    }
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
    assert_eq!(stage.weir.outcomes("tunnel"), 0);
}

/// Whoever has begun with HTTP goes on with it.
#[test]
fn only_the_first_octets_of_a_connection_make_a_tunnel() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for first in NOT_HTTP {
            let (mut client, mut origin) = stage.begin(family, GET);
            origin.expect(GET);
            origin.send(OK).unwrap();
            client.expect(OK);
            client.send(first).unwrap();
            // Some of these are a whole line, others may yet become one.
            client.half_close().unwrap();
            let (answer, end) = client.rest().unwrap();
            assert!(
                answer.is_empty() || answer.starts_with(b"HTTP/1.1 400 "),
                "{}",
                answer.escape_ascii()
            );
            assert_eq!(end, End::Fin);
            origin.rest().unwrap();
            assert_eq!(origin.received(), GET.as_bytes());
        }
    }
    assert_eq!(stage.weir.outcomes("tunnel"), 0);
}
