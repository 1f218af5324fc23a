//! The transparency catalogue: how long each side is waited for, how slow it may be, and that
//! nobody is blamed for the other's silence.

use std::{io::ErrorKind, net::Shutdown, thread, time::Duration};

use weir_tests::{Connection, End, Family, Fnv, GET, OK, Pattern, Stage, until};

const SOON: Duration = Duration::from_secs(20);
const SHORT: &str = "[limits]\nclient_timeout = \"600ms\"\norigin_timeout = \"600ms\"\n";
const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 10\r\n\r\n";

#[test]
fn an_origin_that_does_not_answer() {
    let stage = Stage::with(SHORT);
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        told(&mut client, 504, "origin-stalled");
        origin.expect_reset_after("");
    }
    assert_eq!(stage.weir.outcomes("origin-stalled"), 2);
}

/// What is not whole must not look whole.
#[test]
fn an_origin_that_stops_within_its_answer() {
    let stage = Stage::with(SHORT);
    for family in Family::BOTH {
        for half in [
            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "HTTP/1.1 200 OK\r\n\r\nhello",
        ] {
            let (mut client, mut origin) = stage.begin(family, GET);
            origin.expect(GET);
            origin.send(half).unwrap();
            client.expect_reset_after(half);
            origin.expect_reset_after("");
        }
    }
    assert_eq!(stage.weir.outcomes("origin-stalled"), 6);
}

#[test]
fn a_client_that_stops_within_its_request() {
    let stage = Stage::with(SHORT);
    for family in Family::BOTH {
        let (mut client, mut origin) = stage.begin(family, format!("{POST}hello"));
        origin.expect(format!("{POST}hello"));
        told(&mut client, 408, "client-stalled");
        origin.expect_reset_after("");
    }
    assert_eq!(stage.weir.outcomes("client-stalled"), 2);
}

#[test]
fn a_client_that_takes_nothing() {
    let stage = Stage::with(SHORT);
    for family in Family::BOTH {
        let mut client = stage.client_with_buffer(family, Some(4096));
        client.send(GET).unwrap();
        let mut origin = stage.accept(&client);
        origin.expect(GET);
        origin
            .send("HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n")
            .unwrap();
        let error = origin.send_pattern(100_000_000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}");
        assert_eq!(client.rest().unwrap().1, End::Reset);
    }
    assert_eq!(stage.weir.outcomes("client-stalled"), 2);
}

/// An origin that waits for the rest of a request is not silent, and neither is the client that
/// waits for its answer.
#[test]
fn silence_is_blamed_on_whose_turn_it_is() {
    let while_ = Duration::from_millis(1000);
    let hasty_origin = Stage::with("[limits]\norigin_timeout = \"300ms\"\n");
    let hasty_client = Stage::with("[limits]\nclient_timeout = \"300ms\"\n");
    for family in Family::BOTH {
        let (mut client, mut origin) = hasty_origin.begin(family, format!("{POST}hello"));
        origin.expect(format!("{POST}hello"));
        client.expect_silence(while_);
        client.send("world").unwrap();
        origin.expect("world");
        origin.send(OK).unwrap();
        client.expect(OK);

        let (mut client, mut origin) = hasty_client.begin(family, format!("{POST}helloworld"));
        origin.expect(format!("{POST}helloworld"));
        client.expect_silence(while_);
        origin.send(OK).unwrap();
        client.expect(OK);
    }
}

/// Slowly is not silently, in either direction.
#[test]
fn who_moves_at_all_is_waited_for() {
    let stage = Stage::with(SHORT);
    let octets = Pattern::bytes(20);
    for family in Family::BOTH {
        let head = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 20\r\n\r\n";
        let (mut client, mut origin) = stage.begin(family, head);
        origin.expect(head);
        trickle(&mut client, &octets);
        origin.expect(&octets);
        origin
            .send("HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n")
            .unwrap();
        client.head();
        trickle(&mut origin, &octets);
        client.expect(&octets);
    }
}

#[test]
fn a_client_that_takes_too_slowly() {
    let stage = Stage::with("[limits]\nmin_receive_rate = \"64KiB\"\nrate_grace = \"500ms\"\n");
    // More than the sockets in between hold.
    let length = 32 << 20;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
    let sends = |origin: &Connection| {
        let stream = origin.stream.try_clone().unwrap();
        let mut sender = Connection::new(stream, SOON).unwrap();
        thread::spawn(move || sender.send_pattern(length))
    };
    for family in Family::BOTH {
        let mut slow = stage.client_with_buffer(family, Some(4096));
        slow.send(GET).unwrap();
        let mut origin = stage.accept(&slow);
        origin.expect(GET);
        origin.send(&head).unwrap();
        let sent = sends(&origin);
        slow.expect(&head);
        // 4 KiB a second, until it is thrown out.
        let read = slow.paced(length, 4096, &mut Fnv::default());
        assert!(read.is_err(), "it was to be thrown out");
        assert!(sent.join().unwrap().is_err(), "and the origin to be told");

        let (mut quick, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(&head).unwrap();
        let sent = sends(&origin);
        quick.expect(&head);
        assert_eq!(
            quick.checksum(length).unwrap(),
            sent.join().unwrap().unwrap()
        );
    }
    assert_eq!(stage.weir.outcomes("slow-client"), 2);
}

#[test]
fn a_head_that_comes_too_slowly() {
    let stage = Stage::with("[limits]\nmin_send_rate = \"64KiB\"\nrate_grace = \"500ms\"\n");
    for family in Family::BOTH {
        let mut slow = stage.client(family);
        slow.send("GET / HTTP/1.1\r\nX: ").unwrap();
        let mut sender = slow.stream.try_clone().unwrap();
        let trickling = thread::spawn(move || {
            while std::io::Write::write_all(&mut sender, b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let head = slow.head();
        assert!(head.starts_with("HTTP/1.1 408 "), "{head}");
        let _ = slow.stream.shutdown(Shutdown::Both);
        trickling.join().unwrap();
    }
    stage.expect_nobody(Family::V4);
    stage.expect_nobody(Family::V6);
}

/// As long as anything moves, in whichever direction, a tunnel is none of it.
#[test]
fn a_tunnel_in_which_nothing_moves() {
    let stage =
        Stage::with("[limits]\ntunnel_idle_timeout = \"600ms\"\nclient_timeout = \"100ms\"\n");
    let hello = [0x16, 3, 1];
    let octets = Pattern::bytes(20);
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let (mut client, mut origin) = stage.begin(family, hello);
        origin.expect(hello);
        trickle(&mut client, &octets);
        origin.expect(&octets);
        trickle(&mut origin, &octets);
        client.expect(&octets);
        client.expect_reset_after("");
        origin.expect_reset_after("");
        until(SOON, "counted", || {
            stage.weir.outcomes("idle-timeout") == number
        });
    }
}

/// Heads that are not whole cannot be sent on; all of them together have a bound.
#[test]
fn the_memory_of_unfinished_heads_is_bounded() {
    let stage = Stage::with("[limits]\nmemory = \"1MiB\"\n");
    let mut many: Vec<_> = (0..200)
        .map(|number| stage.client(Family::BOTH[number % 2]))
        .collect();
    until(SOON, "all of them at the daemon", || {
        stage.weir.status()["connections"]["active"] == 200
    });
    let memory = stage.weir.watch_memory();
    let long = format!("GET / HTTP/1.1\r\nHost: lab\r\nX: {}", "x".repeat(60_000));
    for client in &mut many {
        // Who is refused meanwhile may find its connection closed.
        let _ = client.send(&long);
    }
    until(SOON, "somebody refused", || {
        stage.weir.outcomes("memory-limit") > 0
    });
    let refused: Vec<_> = many
        .iter_mut()
        .filter_map(|client| {
            client.stream.set_nonblocking(true).unwrap();
            let answer = client.through(b"\r\n\r\n").ok();
            client.stream.set_nonblocking(false).unwrap();
            answer
        })
        .collect();
    assert!(!refused.is_empty());
    assert!(
        refused
            .iter()
            .all(|answer| answer.starts_with(b"HTTP/1.1 503 "))
    );
    let growth = memory.growth();
    assert!(
        growth <= 4 << 20,
        "of 12 MB offered, {growth} octets were kept"
    );
    drop(many);
    // With room again, it is as if nothing had been.
    until(SOON, "interception again", || {
        let mut client = stage.client(Family::V4);
        client.send(GET).unwrap();
        let origin = stage.origin(Family::V4).accept();
        origin.peer().port() != client.local.port()
    });
}

#[track_caller]
fn told(client: &mut Connection, status: u16, reason: &str) {
    let head = client.head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    let body = client.to_end().unwrap();
    let told = body.ends_with(format!("{reason}\n").as_bytes());
    assert!(told, "{}", body.escape_ascii());
}

/// An octet at a time, a second for twenty.
fn trickle(connection: &mut Connection, octets: &[u8]) {
    for octet in octets {
        connection.send([*octet]).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
}
