//! The transparency catalogue: requests sent ahead of their answers.

use std::time::Duration;

use weir_tests::{End, Family, GET, OK, Stage};

/// Long enough for what is wrongly sent to arrive.
const WHILE: Duration = Duration::from_millis(150);

#[test]
fn each_request_waits_for_the_answer_to_the_one_before() {
    let stage = Stage::new();
    let requests: Vec<String> = (0..6)
        .map(|number| match number % 3 {
            0 => format!("GET /{number} HTTP/1.1\r\nHost: lab\r\n\r\n"),
            1 => format!("PUT /{number} HTTP/1.1\r\nHost: lab\r\nContent-Length: 3\r\n\r\nabc"),
            _ => format!(
                "PUT /{number} HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n\
                 3\r\nabc\r\n0\r\n\r\n"
            ),
        })
        .collect();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, requests.concat());
        for (number, request) in requests.iter().enumerate() {
            origin.expect(request);
            origin.expect_silence(WHILE);
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n{number}");
            origin.send(&answer).unwrap();
            client.expect(answer);
        }
        assert_eq!(origin.received(), requests.concat().as_bytes());
    }
}

/// RFC 9112 §9.6: no request follows a response with `close`, and none is sent anywhere else.
#[test]
fn requests_behind_a_response_with_close_are_left() {
    let stage = Stage::new();
    let answer = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    for family in Family::BOTH {
        // Whether it closes itself or leaves it to us.
        for closes in [true, false] {
            let (mut client, mut origin) = stage.begin(family, format!("{GET}{GET}{GET}"));
            origin.expect(GET);
            origin.send(answer).unwrap();
            if closes {
                origin.half_close().unwrap();
            }
            client.expect_last(answer);
            origin.expect_end();
            assert_eq!(origin.received(), GET.as_bytes());
        }
        stage.expect_nobody(family);
    }
}

#[test]
fn requests_behind_a_request_with_close_are_left() {
    let stage = Stage::new();
    let last = "GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{GET}{last}{GET}"));
        origin.expect(GET);
        origin.send(OK).unwrap();
        origin.expect(last);
        origin.send(OK).unwrap();
        client.expect_last(format!("{OK}{OK}"));
        origin.expect_end();
        stage.expect_nobody(family);
    }
}

/// The end within the second answer is the end of the second answer, at the same octet.
#[test]
fn an_origin_that_closes_in_the_middle() {
    let stage = Stage::new();
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{GET}{GET}{GET}"));
        origin.expect(GET);
        origin.send(OK).unwrap();
        origin.expect(GET);
        origin.send(half).unwrap();
        origin.half_close().unwrap();
        client.expect_last(format!("{OK}{half}"));
        let (rest, _) = origin.rest().unwrap();
        assert_eq!(rest, b"", "the third goes nowhere");
        stage.expect_nobody(family);
    }
}

#[test]
fn an_origin_that_resets_in_the_middle() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{GET}{GET}"));
        origin.expect(GET);
        origin.send(OK).unwrap();
        client.expect(OK);
        origin.expect(GET);
        origin
            .send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
            .unwrap();
        client.head();
        origin.reset();
        assert_eq!(client.rest().unwrap().1, End::Reset);
        stage.expect_nobody(family);
    }
}

/// The client has said all it has to say; the answers still come, each in its turn.
#[test]
fn a_half_closed_client_gets_every_answer() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{GET}{GET}{GET}"));
        client.half_close().unwrap();
        for _ in 0..3 {
            origin.expect(GET);
            origin.send(OK).unwrap();
            client.expect(OK);
        }
        origin.expect_end();
        client.expect_end();
    }
}
