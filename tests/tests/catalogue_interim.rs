//! The transparency catalogue: interim responses, 100-continue in all its combinations, and
//! answers that come before the request is through.

use weir_tests::{Family, GET, OK, Stage};

const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";
const EXPECTS: &str =
    "POST / HTTP/1.1\r\nHost: lab\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\n";
const TOO_LARGE: &str = "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno";

#[test]
fn the_client_waits_and_the_origin_says_continue() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, EXPECTS);
        origin.expect(EXPECTS);
        origin.send(CONTINUE).unwrap();
        client.expect(CONTINUE);
        client.send("hello").unwrap();
        origin.expect("hello");
        origin.send(OK).unwrap();
        client.expect(OK);
        in_step(client, origin);
    }
}

/// It has waited long enough, and sends. No 100 is made up in between.
#[test]
fn the_client_waits_in_vain_and_sends_in_the_end() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, EXPECTS);
        origin.expect(EXPECTS);
        client.send("hello").unwrap();
        origin.expect("hello");
        origin.send(OK).unwrap();
        client.expect(OK);
        in_step(client, origin);
    }
}

#[test]
fn the_client_does_not_wait_and_the_origin_says_continue() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{EXPECTS}hello"));
        origin.expect(format!("{EXPECTS}hello"));
        origin.send(format!("{CONTINUE}{OK}")).unwrap();
        client.expect(format!("{CONTINUE}{OK}"));
        in_step(client, origin);
    }
}

#[test]
fn neither_waits() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{EXPECTS}hello"));
        origin.expect(format!("{EXPECTS}hello"));
        origin.send(OK).unwrap();
        client.expect(OK);
        in_step(client, origin);
    }
}

/// RFC 9110 §10.1.1: it may leave the body out now, so that what comes next could be either.
#[test]
fn the_client_waits_and_the_origin_answers_for_good() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, EXPECTS);
        origin.expect(EXPECTS);
        origin.send(TOO_LARGE).unwrap();
        client.expect(TOO_LARGE);
        // It takes the answer for what it is, and goes on with another request.
        let _ = client.send(GET);
        client.expect_end();
        origin.rest().unwrap();
        assert_eq!(
            origin.received(),
            EXPECTS.as_bytes(),
            "not as a body either"
        );
        stage.expect_nobody(family);
    }
}

/// Here the body is on its way, and there is no doubt about what it is.
#[test]
fn the_origin_answers_for_good_before_the_body_has_come() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{POST}he"));
        origin.expect(format!("{POST}he"));
        origin.send(TOO_LARGE).unwrap();
        client.expect(TOO_LARGE);
        client.send(format!("llo{GET}")).unwrap();
        origin.expect(format!("llo{GET}"));
        origin.send(OK).unwrap();
        client.expect(OK);
    }
}

/// RFC 9110 §15.2.
#[test]
fn interim_responses_are_passed_on_each() {
    let stage = Stage::new();
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\nx-ODD:  1 \r\n\r\n";
    let processing = "HTTP/1.1 102 Processing\r\n\r\n";
    let unknown = "HTTP/1.1 199 \r\nX: y\r\n\r\n";
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        for interim in [hints, processing, CONTINUE, hints, unknown, hints] {
            origin.send(interim).unwrap();
            client.expect(interim);
        }
        let all = format!("{hints}{processing}{unknown}{OK}");
        origin.send(&all).unwrap();
        client.expect(&all);
        in_step(client, origin);
    }
}

/// RFC 9110 §15.2, §10.1.1: a client of 1.0 knows neither them nor Expect.
#[test]
fn old_clients_get_no_interim_responses() {
    let stage = Stage::new();
    let request = "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello";
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, request);
        origin.expect(request);
        origin
            .send(format!("{CONTINUE}HTTP/1.1 103 Early Hints\r\n\r\n{OK}"))
            .unwrap();
        client.expect_last(OK);
        origin.expect_end();
    }
}

/// A client that took one for the answer would be out of step for good.
#[test]
fn interim_responses_that_are_none() {
    let stage = Stage::new();
    let cases = [
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.0 100 Continue\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
    ];
    for (interim, family) in cases.into_iter().zip(Family::BOTH.into_iter().cycle()) {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(format!("{interim}hello{OK}")).unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 502 "), "{interim:?}: {head}");
        assert!(
            client.to_end().unwrap().ends_with(b"bad-response\n"),
            "{interim:?}"
        );
        origin.rest().unwrap();
    }
}

/// The next exchange on these connections is as good as the first.
#[track_caller]
fn in_step(mut client: weir_tests::Connection, mut origin: weir_tests::Connection) {
    client.send(GET).unwrap();
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
}
