//! The transparency catalogue: tunnels begin when both sides have agreed to one, not before.

use std::time::Duration;

use weir_tests::{Connection, End, Family, GET, OK, Pattern, Stage, until};

const UPGRADE: &str = "GET /chat HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
     Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";
const CONNECT: &str = "CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n";
const CONNECTED: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// Long enough for what is wrongly sent to arrive.
const WHILE: Duration = Duration::from_millis(150);

/// A request that asks for a tunnel, and the answer that grants it.
const GRANTED: [(&str, &str); 3] = [
    (UPGRADE, SWITCHING),
    (CONNECT, CONNECTED),
    // RFC 9110 §9.3.6: framing means nothing in a 2xx to CONNECT.
    (CONNECT, "HTTP/1.1 204 Go\r\nContent-Length: 40\r\n\r\n"),
];

#[test]
fn octets_sent_ahead_wait_for_the_agreement() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for (request, answer) in GRANTED {
            let (mut client, mut origin) = stage.begin(family, format!("{request}\x16early"));
            origin.expect(request);
            client.send(" bird").unwrap();
            origin.expect_silence(WHILE);
            // The first octets of the tunnel come in one piece with the agreement.
            origin.send(format!("{answer}\0first")).unwrap();
            client.expect(format!("{answer}\0first"));
            origin.expect("\x16early bird");
            relays(client, origin);
        }
    }
    assert_eq!(stage.weir.outcomes("upgraded"), 6);
}

/// 64 KiB are read ahead, the rest waits in the sockets; nothing is lost.
#[test]
fn a_mebibyte_sent_ahead_arrives_behind_the_agreement() {
    let stage = Stage::new();
    let octets = Pattern::bytes(1 << 20);
    for family in Family::BOTH {
        let (client, mut origin) = stage.begin(family, UPGRADE);
        let mut sender = client.stream.try_clone().unwrap();
        let sent = std::thread::spawn({
            let octets = octets.clone();
            move || std::io::Write::write_all(&mut sender, &octets)
        });
        origin.expect(UPGRADE);
        origin.expect_silence(WHILE);
        origin.send(SWITCHING).unwrap();
        origin.expect(&octets);
        sent.join().unwrap().unwrap();
    }
}

/// What was sent ahead is a request then, and has to be one.
#[test]
fn without_the_agreement_it_goes_on_as_http() {
    let stage = Stage::new();
    let refusal = "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno";
    for family in Family::BOTH {
        for (request, answer) in [(UPGRADE, OK), (UPGRADE, refusal), (CONNECT, refusal)] {
            let (mut client, mut origin) = stage.begin(family, format!("{request}{GET}"));
            origin.expect(request);
            origin.send(answer).unwrap();
            client.expect(answer);
            origin.expect(GET);
            origin.send(OK).unwrap();
            client.expect(OK);

            let (mut client, mut origin) = stage.begin(family, format!("{request}\x16\x03\x01"));
            origin.expect(request);
            origin.send(answer).unwrap();
            client.expect(answer);
            let head = client.head();
            assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
            client.to_end().unwrap();
            origin.rest().unwrap();
            assert_eq!(origin.received(), request.as_bytes());
        }
    }
}

#[test]
fn an_agreement_that_nobody_asked_for_is_refused() {
    let stage = Stage::new();
    let plain = "HTTP/1.1 101 Switching Protocols\r\n\r\n";
    let h2c = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n";
    let cases = [
        (GET, SWITCHING),
        (GET, plain),
        (UPGRADE, plain),
        (UPGRADE, h2c),
        (CONNECT, SWITCHING),
    ];
    for ((request, answer), family) in cases.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let (mut client, mut origin) = stage.begin(family, request);
        origin.expect(request);
        origin.send(answer).unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 502 "), "{answer:?}: {head}");
        client.to_end().unwrap();
        origin.rest().unwrap();
    }
}

/// An upgrade with a body: the origin must have read all of it before it switches.
#[test]
fn an_agreement_in_the_middle_of_the_request_is_refused() {
    let stage = Stage::new();
    let request = "POST / HTTP/1.1\r\nHost: lab\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Content-Length: 5\r\n\r\nhe";
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, request);
        origin.expect(request);
        origin.send(SWITCHING).unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 502 "), "{head}");
        assert!(client.to_end().unwrap().ends_with(b"bad-response\n"));
        // Half a request: it must not look whole.
        origin.expect_reset_after("");
    }
    assert_eq!(stage.weir.outcomes("upgraded"), 0);
}

#[test]
fn resets_travel_through_a_tunnel() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (client, mut origin) = tunnel(&stage, family);
        client.reset();
        assert_eq!(origin.rest().unwrap(), (vec![], End::Reset));
        let (mut client, origin) = tunnel(&stage, family);
        origin.reset();
        client.expect_reset_after("");
    }
}

/// A tunnel is over when both directions are.
#[test]
fn a_tunnel_ends_with_its_second_direction() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = tunnel(&stage, family);
        client.half_close().unwrap();
        origin.expect_end();
        until(Duration::from_secs(20), "no end yet", || {
            stage.weir.status()["connections"]["active"] == 1
        });
        origin.half_close().unwrap();
        client.expect_end();
        until(Duration::from_secs(20), "the end", || {
            stage.weir.status()["connections"]["active"] == 0
        });
    }
}

#[track_caller]
fn tunnel(stage: &Stage, family: Family) -> (Connection, Connection) {
    let (mut client, mut origin) = stage.begin(family, UPGRADE);
    origin.expect(UPGRADE);
    origin.send(SWITCHING).unwrap();
    client.expect(SWITCHING);
    (client, origin)
}

/// Every octet both ways; then each direction ends by itself, the origin's first.
#[track_caller]
fn relays(mut client: Connection, mut origin: Connection) {
    let octets: Vec<u8> = (0..=255).collect();
    client.send(&octets).unwrap();
    origin.expect(&octets);
    origin.send(&octets).unwrap();
    origin.half_close().unwrap();
    client.expect_last(&octets);
    client.send(&octets).unwrap();
    origin.expect(&octets);
    client.half_close().unwrap();
    origin.expect_end();
}
