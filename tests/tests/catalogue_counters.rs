//! The transparency catalogue: what the two sides of a connection did not do alike is counted.

use std::time::Duration;

use weir_tests::{Connection, Family, GET, OK, Stage, until};

const SOON: Duration = Duration::from_secs(20);
const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 10\r\n\r\nhello";
const HALF: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello";

/// Does something to the client's end and the origin's, of which the origin has read `GET`.
type Deed = fn(Connection, Connection);

#[test]
fn every_asymmetry_has_its_counter() {
    let stage = Stage::new();
    let deeds: [(&str, Deed); 8] = [
        ("client-half-closed", |mut client, mut origin| {
            client.half_close().unwrap();
            origin.expect_end();
            origin.send(OK).unwrap();
            client.expect_last(OK);
        }),
        ("truncated-response", |mut client, mut origin| {
            origin.send(HALF).unwrap();
            origin.half_close().unwrap();
            client.expect_last(HALF);
        }),
        ("client-reset", |client, mut origin| {
            client.reset();
            origin.expect_reset_after("");
        }),
        ("origin-reset", |mut client, origin| {
            origin.reset();
            client.expect_reset_after("");
        }),
        ("unsolicited", |mut client, mut origin| {
            answered(&mut client, &mut origin);
            origin.send(OK).unwrap();
            client.expect_end();
        }),
        ("bytes-behind-response", |mut client, mut origin| {
            origin.send(format!("{OK}x")).unwrap();
            client.expect_last(OK);
        }),
        ("truncated-request", |mut client, mut origin| {
            answered(&mut client, &mut origin);
            client.send(POST).unwrap();
            client.half_close().unwrap();
            origin.expect_last(POST);
            origin.send(OK).unwrap();
            client.expect_last(OK);
        }),
        ("early-response", |mut client, mut origin| {
            answered(&mut client, &mut origin);
            client.send(POST).unwrap();
            origin.expect(POST);
            origin.send(OK).unwrap();
            client.expect(OK);
            client.send("world").unwrap();
            origin.expect("world");
        }),
    ];
    for (word, deed) in deeds {
        for family in Family::BOTH {
            let before = asymmetries(&stage, word);
            let (client, mut origin) = stage.begin(family, GET);
            origin.expect(GET);
            deed(client, origin);
            until(SOON, word, || asymmetries(&stage, word) == before + 1);
        }
    }
}

#[test]
fn so_have_retries_and_silent_clients() {
    let stage = Stage::with("[http]\nsilence = \"50ms\"\n");
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        answered(&mut client, &mut origin);
        client.send(GET).unwrap();
        origin.expect(GET);
        drop(origin);
        let mut origin = stage.accept(&client);
        origin.expect(GET);
        assert_eq!(asymmetries(&stage, "retried"), number);

        let mut client = stage.client(family);
        let mut origin = stage.accept(&client);
        assert_eq!(asymmetries(&stage, "silent-client"), number);
        origin.send("banner").unwrap();
        client.expect("banner");
        assert_eq!(asymmetries(&stage, "origin-first"), number);
    }
}

/// TLS on port 80: the tunnel's line in the log says whom the client asked for.
#[test]
fn the_name_in_a_client_hello_is_logged() {
    let stage = Stage::new();
    let hello = client_hello("lab.example");
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, &hello);
        origin.expect(&hello);
        client.half_close().unwrap();
        origin.expect_end();
        origin.half_close().unwrap();
        client.expect_end();
        let port = client.local.port();
        let record = weir_tests::until_some(SOON, "a record", || {
            let log = stage.weir.access_log();
            log.into_iter().find(|record| record["client_port"] == port)
        });
        assert_eq!(record["sni"], "lab.example", "{record}");
        assert_eq!(record["reason"], "tunnel", "{record}");
    }
}

/// The origin's answer to the request that it has read.
#[track_caller]
fn answered(client: &mut Connection, origin: &mut Connection) {
    origin.send(OK).unwrap();
    client.expect(OK);
}

#[track_caller]
fn asymmetries(stage: &Stage, word: &str) -> u64 {
    let count = &stage.weir.status()["asymmetries"][word];
    count
        .as_u64()
        .unwrap_or_else(|| panic!("no counter {word}"))
}

/// RFC 8446 §4.1.2, with `server_name` (RFC 6066 §3) as its one extension.
fn client_hello(name: &str) -> Vec<u8> {
    let with_length = |length: usize, octets: Vec<u8>| {
        let count = octets.len().to_be_bytes();
        [&count[count.len() - length..], &octets].concat()
    };
    let host_name = [vec![0], with_length(2, name.as_bytes().to_vec())].concat();
    let server_name = [vec![0, 0], with_length(2, with_length(2, host_name))].concat();
    let body = [
        vec![3, 3],
        vec![7; 32],
        with_length(1, vec![]),
        with_length(2, vec![0x13, 1]),
        with_length(1, vec![0]),
        with_length(2, server_name),
    ];
    let handshake = [vec![1], with_length(3, body.concat())].concat();
    [vec![0x16, 3, 1], with_length(2, handshake)].concat()
}
