//! The transparency catalogue: clients that say nothing. The origin may be one that speaks first.

use std::time::{Duration, Instant};

use weir_tests::{Connection, Family, GET, OK, Stage, until};

const QUICK: &str = "[http]\nsilence = \"100ms\"\n";
const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_server_that_speaks_first_is_heard() {
    let stage = Stage::with(QUICK);
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let (mut client, mut origin) = silent(&stage, family);
        origin.send("SSH-2.0-server\r\n").unwrap();
        client.expect("SSH-2.0-server\r\n");
        client.send("SSH-2.0-client\r\n").unwrap();
        origin.expect("SSH-2.0-client\r\n");
        // From here on it is a tunnel: each direction ends by itself.
        origin.send("more").unwrap();
        origin.half_close().unwrap();
        client.expect_last("more");
        client.send([0, 1, 2]).unwrap();
        client.half_close().unwrap();
        origin.expect_last([0, 1, 2]);
        until(SOON, "the tunnel counted", || {
            stage.weir.outcomes("tunnel") == number
        });
    }
}

/// Browsers connect ahead of time: their silence is no tunnel.
#[test]
fn a_request_after_the_silence_is_a_request() {
    let stage = Stage::with(QUICK);
    for family in Family::BOTH {
        let (mut client, mut origin) = silent(&stage, family);
        for _ in 0..2 {
            client.send(GET).unwrap();
            origin.expect(GET);
            origin.send(OK).unwrap();
            client.expect(OK);
        }
    }
    until(SOON, "requests counted", || {
        stage.weir.outcomes("served") == 4
    });
}

#[test]
fn a_malformed_request_after_the_silence_is_refused() {
    let stage = Stage::with(QUICK);
    for family in Family::BOTH {
        let (mut client, mut origin) = silent(&stage, family);
        client.send("GET\t/ HTTP/1.1\r\nHost: lab\r\n\r\n").unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 400 "), "{head}");
        client.to_end().unwrap();
        origin.rest().unwrap();
        assert_eq!(origin.received(), b"");
    }
}

#[test]
fn what_is_not_http_after_the_silence_is_a_tunnel() {
    let stage = Stage::with(QUICK);
    for family in Family::BOTH {
        let (mut client, mut origin) = silent(&stage, family);
        client.send([0x16, 3, 1]).unwrap();
        origin.expect([0x16, 3, 1]);
        origin.send([0x15, 3, 3]).unwrap();
        client.expect([0x15, 3, 3]);
    }
}

/// The request was on its way when the server spoke: it goes where it was meant to go.
#[test]
fn octets_that_cross_a_banner_arrive() {
    let stage = Stage::with(QUICK);
    for family in Family::BOTH {
        let (mut client, mut origin) = silent(&stage, family);
        client.send("EHLO").unwrap();
        origin.send("220 lab ESMTP\r\n").unwrap();
        client.expect("220 lab ESMTP\r\n");
        client.send(" me\r\n").unwrap();
        origin.expect("EHLO me\r\n");
    }
}

#[test]
fn a_silent_client_that_leaves_has_left_for_the_origin_too() {
    let stage = Stage::with(QUICK);
    for family in Family::BOTH {
        let (mut client, mut origin) = silent(&stage, family);
        client.half_close().unwrap();
        origin.expect_end();
        origin.half_close().unwrap();
        client.expect_end();

        let (client, mut origin) = silent(&stage, family);
        client.reset();
        origin.rest().unwrap();
        assert_eq!(origin.received(), b"");
    }
}

#[test]
fn a_server_that_leaves_has_left_for_the_silent_client_too() {
    let stage = Stage::with(QUICK);
    for family in Family::BOTH {
        let (mut client, mut origin) = silent(&stage, family);
        origin.half_close().unwrap();
        client.expect_end();
        client.half_close().unwrap();
        origin.expect_end();
    }
}

/// 300 ms unless configured; who speaks earlier is connected when the request is there.
#[test]
fn how_long_a_silence_is() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let began = Instant::now();
        let client = stage.client(family);
        let _origin = stage.accept(&client);
        assert!(
            began.elapsed() >= Duration::from_millis(250),
            "{:?}",
            began.elapsed()
        );
    }
    let patient = Stage::with("[http]\nsilence = \"0s\"\n");
    let mut client = patient.client(Family::V4);
    client.expect_silence(Duration::from_secs(1));
    patient.expect_nobody(Family::V4);
}

/// A client that has said nothing, and the origin that was connected for it all the same.
#[track_caller]
fn silent(stage: &Stage, family: Family) -> (Connection, Connection) {
    let client = stage.client(family);
    let origin = stage.accept(&client);
    (client, origin)
}
