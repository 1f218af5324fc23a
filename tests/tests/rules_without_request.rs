//! `[[rule]]`, for connections on which there is no request: nobody comes past a rule by not speaking
//! HTTP.

use std::{net::SocketAddr, time::Duration};

use weir_tests::{Connection, End, Family, GET, OK, Stage, connect, until_some};

const SOON: Duration = Duration::from_secs(20);
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const TLS: &[u8] = &[0x16, 3, 1];

/// As the manual begins: everybody may see the portal, and the first client nothing else.
const GUESTS: &str = "[http]\nsilence = \"50ms\"\n\
    [[rule]]\nname = \"portal\"\nhost = \"portal.example\"\n\
    [[rule]]\nname = \"path\"\npath = \"/free\"\nclient = [\"10.77.1.2\", \"fd77:1::2\"]\n\
    [[rule]]\nname = \"guests\"\nclient = [\"10.77.1.2\", \"fd77:1::2\"]\naction = \"redirect\"\n\
    location = \"http://portal.example/\"\n";

#[test]
fn an_allowed_host_allows_no_other_protocol() {
    let stage = Stage::with(GUESTS);
    for family in Family::BOTH {
        for octets in [TLS, PREFACE.as_bytes(), b"\0"] {
            let mut client = stage.client(family);
            client.send(octets).unwrap();
            assert_eq!(client.rest().unwrap(), (vec![], End::Reset));
        }
        assert!(stage.origin(family).waiting().is_none());
    }
    assert_eq!(stage.weir.outcomes("denied"), 6);
    let log = until_some(SOON, "a line for each", || {
        let log = stage.weir.access_log();
        (log.len() == 6).then_some(log)
    });
    assert!(log.iter().all(|line| line["rule"] == "guests"), "{log:?}");
}

/// An origin that speaks first would have been heard.
#[test]
fn nor_does_silence() {
    let stage = Stage::with(GUESTS);
    for family in Family::BOTH {
        let mut client = stage.client(family);
        client.expect_silence(Duration::from_millis(500));
        assert!(stage.origin(family).waiting().is_none());
        client.send(GET).unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 302 "), "{head}");
    }
}

#[test]
fn what_the_rules_allow_is_not_touched_by_that() {
    let stage = Stage::with(GUESTS);
    for family in Family::BOTH {
        for request in [
            "GET / HTTP/1.1\r\nHost: portal.example\r\n\r\n",
            "GET /free HTTP/1.1\r\nHost: lab\r\n\r\n",
        ] {
            let (mut client, mut origin) = stage.begin(family, request);
            origin.expect(request);
            origin.send(OK).unwrap();
            client.expect(OK);
        }
        // Another client is no guest.
        for octets in [TLS, PREFACE.as_bytes()] {
            let mut client = other(&stage, family);
            client.send(octets).unwrap();
            stage.accept(&client).expect(octets);
        }
        let mut client = other(&stage, family);
        let mut origin = stage.accept(&client);
        origin.send("220 banner\r\n").unwrap();
        client.expect("220 banner\r\n");
    }
}

/// It is relayed in spite of the options, by the way that the rule says; requests are requests.
#[test]
fn a_tunnel_behind_a_host() {
    let stage = Stage::with(
        "[http]\nnot_http = \"reject\"\nhttp2_preface = \"reject\"\nsilence = \"50ms\"\n\
         [[rule]]\nhost = \"portal.example\"\n\
         [[rule]]\nclient = [\"10.77.1.2\", \"fd77:1::2\"]\naction = \"tunnel\"\n\
         source = [\"10.77.1.3\", \"fd77:1::3\"]\n",
    );
    for family in Family::BOTH {
        for octets in [TLS, PREFACE.as_bytes()] {
            let mut client = stage.client(family);
            client.send(octets).unwrap();
            let mut origin = stage.origin(family).accept();
            assert_eq!(origin.peer().ip(), family.second_client());
            origin.expect(octets);
            origin.send(octets).unwrap();
            client.expect(octets);
        }
        let mut client = stage.client(family);
        let mut origin = stage.origin(family).accept();
        assert_eq!(origin.peer().ip(), family.second_client());
        origin.send("220 banner\r\n").unwrap();
        client.expect("220 banner\r\n");

        let mut client = stage.client(family);
        client.send("GET  / HTTP/1.1\r\n\r\n").unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        let request = "GET / HTTP/1.1\r\nHost: portal.example\r\n\r\n";
        let (_client, mut origin) = stage.begin(family, request);
        origin.expect(request);
    }
}

#[track_caller]
fn other(stage: &Stage, family: Family) -> Connection {
    let from = SocketAddr::new(family.second_client(), 0);
    connect(&stage.net.client, from, family.http())
}
