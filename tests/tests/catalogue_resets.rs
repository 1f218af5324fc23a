//! The transparency catalogue: a reset arrives behind the octets that came before it.

use std::{net::Shutdown, time::Duration};

use weir_tests::{End, Family, GET, Pattern, Stage, until};

const SOON: Duration = Duration::from_secs(20);
/// More than a small receive buffer holds, less than the sockets in between do.
const LENGTH: usize = 100_000;
const SMALL: Option<usize> = Some(4096);

#[test]
fn of_the_origin_behind_its_response() {
    let stage = Stage::new();
    let body = Pattern::bytes(LENGTH);
    for family in Family::BOTH {
        let mut client = stage.client_with_buffer(family, SMALL);
        client.send(GET).unwrap();
        let mut origin = stage.accept(&client);
        origin.expect(GET);
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 2 * LENGTH);
        origin.send(&head).unwrap();
        origin.send(&body).unwrap();
        until(SOON, "all of it acknowledged", || {
            stage.unacknowledged(&origin) == 0
        });
        origin.reset();
        client.expect(&head);
        client.expect_reset_after(&body);
    }
}

#[test]
fn of_the_origin_behind_octets_of_a_tunnel() {
    let stage = Stage::new();
    let octets = Pattern::bytes(LENGTH);
    for family in Family::BOTH {
        let mut client = stage.client_with_buffer(family, SMALL);
        client.send([0]).unwrap();
        let mut origin = stage.accept(&client);
        origin.expect([0]);
        origin.send(&octets).unwrap();
        until(SOON, "all of it acknowledged", || {
            stage.unacknowledged(&origin) == 0
        });
        origin.reset();
        client.expect_reset_after(&octets);
    }
}

#[test]
fn of_the_client_behind_its_request() {
    let stage = Stage::with_buffer("", SMALL);
    let body = Pattern::bytes(LENGTH);
    for family in Family::BOTH {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: {}\r\n\r\n",
            2 * LENGTH
        );
        let (mut client, mut origin) = stage.begin(family, &head);
        client.send(&body).unwrap();
        until(SOON, "all of it acknowledged", || {
            stage.unacknowledged(&client) == 0
        });
        client.reset();
        origin.expect(&head);
        origin.expect_reset_after(&body);
    }
}

/// The answer that explains the reset: an origin that has seen enough of an upload, and goes.
#[test]
fn an_early_answer_is_read_before_the_reset() {
    let stage = Stage::new();
    let answer = "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno";
    let head = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 100000000\r\n\r\n";
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, head);
        let mut sender = client.stream.try_clone().unwrap();
        let sending = std::thread::spawn(move || {
            let block = [0; 65536];
            while std::io::Write::write_all(&mut sender, &block).is_ok() {}
        });
        origin.expect(head);
        origin.send(answer).unwrap();
        until(SOON, "the answer acknowledged", || {
            stage.unacknowledged(&origin) == 0
        });
        // With octets unread, a close is a reset.
        drop(origin);
        client.expect(answer);
        let (rest, end) = client.rest().unwrap();
        assert_eq!(rest, b"", "{end:?}");
        let _ = client.stream.shutdown(Shutdown::Both);
        sending.join().unwrap();
    }
}

/// Nobody is waited for without end: a client that reads nothing more is reset in the end.
#[test]
fn a_client_that_does_not_read_does_not_hold_the_connection() {
    let stage = Stage::new();
    let body = Pattern::bytes(LENGTH);
    for family in Family::BOTH {
        let mut client = stage.client_with_buffer(family, SMALL);
        client.send(GET).unwrap();
        let mut origin = stage.accept(&client);
        origin.expect(GET);
        origin
            .send("HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            .unwrap();
        origin.send(&body).unwrap();
        until(SOON, "all of it acknowledged", || {
            stage.unacknowledged(&origin) == 0
        });
        origin.reset();
        until(3 * SOON, "the end of the connection", || {
            stage.weir.status()["connections"]["active"] == 0
        });
        assert_eq!(client.rest().unwrap().1, End::Reset);
    }
}
