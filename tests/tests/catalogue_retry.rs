//! The transparency catalogue: an origin's connection that dies while it is idle, as the next
//! request comes to it.

use weir_tests::{Connection, End, Family, GET, OK, Pattern, Stage};

const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello";
const PUT: &str = "PUT / HTTP/1.1\r\nHost: lab\r\nContent-Length: 5\r\n\r\nhello";

/// RFC 9110 §9.2.2: it could not have known, and nothing is done twice.
#[test]
fn an_idempotent_request_is_sent_once_more() {
    let stage = Stage::new();
    let head = "HEAD / HTTP/1.1\r\nHost: lab\r\n\r\n";
    let delete = "DELETE /a HTTP/1.1\r\nHost: lab\r\nX:  y\r\n\r\n";
    for family in Family::BOTH {
        for request in [GET, head, delete] {
            for end in [End::Fin, End::Reset] {
                let (mut client, first) = kept(&stage, family);
                let mut second = dies(&stage, &mut client, first, request, end);
                second.expect(request);
                second.send(OK).unwrap();
                client.expect(OK);
                // The new connection is the one that is kept.
                client.send(GET).unwrap();
                second.expect(GET);
                second.send(OK).unwrap();
                client.expect(OK);
            }
        }
    }
}

#[test]
fn with_its_body_if_that_is_at_hand() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, first) = kept(&stage, family);
        let mut second = dies(&stage, &mut client, first, PUT, End::Fin);
        second.expect(PUT);
        second.send(OK).unwrap();
        client.expect(OK);
    }
}

/// What was read ahead of the answer stays ahead of it.
#[test]
fn requests_behind_it_come_behind_it() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut first) = kept(&stage, family);
        client.send(format!("{GET}{POST}")).unwrap();
        first.expect(GET);
        first.half_close().unwrap();
        let mut second = stage.accept(&client);
        second.expect(GET);
        second.send(OK).unwrap();
        second.expect(POST);
        second.send(OK).unwrap();
        client.expect(format!("{OK}{OK}"));
        first.rest().unwrap();
        assert_eq!(first.received(), format!("{GET}{GET}").as_bytes());
    }
}

#[test]
fn once_and_no_more() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, first) = kept(&stage, family);
        let mut second = dies(&stage, &mut client, first, GET, End::Fin);
        second.expect(GET);
        second.half_close().unwrap();
        client.expect_end();
        stage.expect_nobody(family);
    }
}

/// The client has to know, and to decide.
#[test]
fn a_post_is_never_sent_again() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut client, mut first) = kept(&stage, family);
        client.send(POST).unwrap();
        first.expect(POST);
        first.half_close().unwrap();
        client.expect_end();

        let (mut client, mut first) = kept(&stage, family);
        client.send(POST).unwrap();
        first.expect(POST);
        first.reset();
        client.expect_reset_after("");
        stage.expect_nobody(family);
    }
}

#[test]
fn nor_is_what_has_been_answered_in_part() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for part in [
            "H",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            let (mut client, mut first) = kept(&stage, family);
            client.send(GET).unwrap();
            first.expect(GET);
            first.send(part).unwrap();
            first.half_close().unwrap();
            let (_, end) = client.rest().unwrap();
            assert_eq!(end, End::Fin, "{part:?}");
            stage.expect_nobody(family);
        }
    }
}

/// A body that has gone by is not there any more.
#[test]
fn nor_is_a_long_body() {
    let stage = Stage::new();
    let body = Pattern::bytes(1 << 20);
    for family in Family::BOTH {
        let (mut client, mut first) = kept(&stage, family);
        let head = format!(
            "PUT / HTTP/1.1\r\nHost: lab\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        client.send(&head).unwrap();
        first.expect(&head);
        client.send(&body).unwrap();
        first.expect(&body);
        first.half_close().unwrap();
        client.expect_end();
        stage.expect_nobody(family);
    }
}

/// After one exchange.
#[track_caller]
fn kept(stage: &Stage, family: Family) -> (Connection, Connection) {
    let (mut client, mut origin) = stage.begin(family, GET);
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
    (client, origin)
}

/// `request` comes to `first` and is all that does; the connection that takes its place.
#[track_caller]
fn dies(
    stage: &Stage,
    client: &mut Connection,
    mut first: Connection,
    request: &str,
    end: End,
) -> Connection {
    client.send(request).unwrap();
    first.expect(request);
    match end {
        End::Fin => first.half_close().unwrap(),
        End::Reset => first.reset(),
    }
    stage.accept(client)
}
