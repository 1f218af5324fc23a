//! The transparency catalogue: connections end as they would without us, in the same order and at
//! the same octet.

use weir_tests::{Connection, End, Family, GET, OK, Stage};

const CLOSES: &str = "GET / HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n";

#[test]
fn a_half_close_of_the_client_reaches_the_origin_behind_the_request() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for request in [GET, CLOSES, "GET / HTTP/1.0\r\n\r\n"] {
            let (mut client, mut origin) = stage.begin(family, request);
            client.half_close().unwrap();
            // First the end, then the answer: the origin may wait for it.
            origin.expect_last(request);
            origin.send(OK).unwrap();
            client.expect_last(OK);
        }
    }
}

/// The end of the request within its body is the origin's to judge; what it says of it arrives.
#[test]
fn a_request_that_ends_too_early_ends_there_for_the_origin() {
    let stage = Stage::new();
    let refusal = "HTTP/1.1 400 Short\r\nContent-Length: 2\r\n\r\nno";
    for family in Family::BOTH {
        for request in [
            "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 10\r\n\r\nhello",
            "POST / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello",
            "POST / HTTP/1.1\r\nHost: lab\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
        ] {
            let (mut client, mut origin) = stage.begin(family, request);
            client.half_close().unwrap();
            origin.expect_last(request);
            origin.send(refusal).unwrap();
            client.expect_last(refusal);
        }
    }
}

#[test]
fn a_response_that_ends_too_early_ends_there_for_the_client() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for response in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
        ] {
            let (mut client, mut origin) = stage.begin(family, GET);
            origin.expect(GET);
            origin.send(response).unwrap();
            client.expect(response);
            origin.half_close().unwrap();
            client.expect_end();
            origin.rest().unwrap();
        }
    }
}

#[test]
fn an_origin_that_says_nothing_and_closes() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.half_close().unwrap();
        client.expect_end();
        origin.expect_end();
        stage.expect_nobody(family);
    }
}

#[test]
fn resets_travel_whoever_sends_them() {
    let stage = Stage::new();
    let post = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 10\r\n\r\nhello";
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";
    for family in Family::BOTH {
        // The client's: while it waits, in its request, in the response, between two requests.
        let (client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        client.reset();
        origin.expect_reset_after("");

        let (client, mut origin) = stage.begin(family, post);
        origin.expect(post);
        client.reset();
        origin.expect_reset_after("");

        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(half).unwrap();
        client.expect(half);
        client.reset();
        origin.expect_reset_after("");

        // The origin's: before its answer, in it, in the request.
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.reset();
        client.expect_reset_after("");

        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(half).unwrap();
        client.expect(half);
        origin.reset();
        client.expect_reset_after("");

        let (mut client, mut origin) = stage.begin(family, post);
        origin.expect(post);
        origin.reset();
        client.expect_reset_after("");
    }
}

#[test]
fn idle_connections_end_on_both_sides() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = idle(&stage, family);
        origin.half_close().unwrap();
        client.expect_end();
        origin.expect_end();

        let (mut client, mut origin) = idle(&stage, family);
        client.half_close().unwrap();
        origin.expect_end();
        client.expect_end();

        let (mut client, origin) = idle(&stage, family);
        origin.reset();
        let (rest, _) = client.rest().unwrap();
        assert_eq!(rest, b"");
    }
}

#[test]
fn close_is_kept_by_whoever_hears_it() {
    let stage = Stage::new();
    let last = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
    for family in Family::BOTH {
        // Said by the client alone, by the origin alone, by both; nobody closes by itself.
        for (request, response) in [(CLOSES, OK), (GET, last), (CLOSES, last)] {
            let (mut client, mut origin) = stage.begin(family, request);
            origin.expect(request);
            origin.send(response).unwrap();
            client.expect_last(response);
            origin.expect_end();
        }
    }
}

/// RFC 9112 §9.3: without `keep-alive` from both sides there is one exchange.
#[test]
fn old_clients() {
    let stage = Stage::new();
    let keeps = "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let kept = "HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok";
    for family in Family::BOTH {
        let old = "GET / HTTP/1.0\r\n\r\n";
        let (mut client, mut origin) = stage.begin(family, format!("{old}{old}"));
        origin.expect(old);
        origin.send(OK).unwrap();
        client.expect_last(OK);
        origin.expect_end();

        let (mut client, mut origin) = stage.begin(family, keeps.repeat(3));
        for _ in 0..3 {
            origin.expect(keeps);
            origin.send(kept).unwrap();
            client.expect(kept);
        }
    }
}

/// A body to the close, for a client of 1.0: what TCP says is all there is.
#[test]
fn old_clients_and_bodies_to_the_close() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, "GET / HTTP/1.0\r\n\r\n");
        origin.expect("GET / HTTP/1.0\r\n\r\n");
        origin.send("HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
        origin.half_close().unwrap();
        client.expect_last("HTTP/1.1 200 OK\r\n\r\nhello");
        let (rest, end) = origin.rest().unwrap();
        assert_eq!((rest, end), (vec![], End::Fin));
    }
}

/// After one exchange, with another to come.
#[track_caller]
fn idle(stage: &Stage, family: Family) -> (Connection, Connection) {
    let (mut client, mut origin) = stage.begin(family, GET);
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
    (client, origin)
}
