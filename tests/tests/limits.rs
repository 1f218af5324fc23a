//! What one client, one head or one pause may cost, and what becomes of who goes beyond.

use std::{
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use weir_tests::{
    Connection, Dial, Family, Layout, Options, World, connect, dial, until, until_some,
};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn heads_that_are_too_large() {
    let config = "[limits]\nhead = \"2KiB\"\nfields = 8\n";
    let world = with(config);
    let long = "x".repeat(3000);
    let fields = "A: b\r\n".repeat(8);
    let cases = [
        (
            431,
            "head-too-large",
            format!("GET / HTTP/1.1\r\nHost: lab\r\nLong: {long}\r\n\r\n"),
        ),
        (
            431,
            "head-too-large",
            format!("GET / HTTP/1.1\r\nHost: lab\r\n{fields}\r\n"),
        ),
        (
            414,
            "target-too-long",
            format!("GET /{long} HTTP/1.1\r\nHost: lab\r\n\r\n"),
        ),
    ];
    for family in Family::BOTH {
        for (status, reason, request) in &cases {
            let before = world.weir.outcomes(reason);
            let mut connection = world.connect(family);
            connection.send(request).unwrap();
            let response = connection.response().unwrap();
            assert_eq!(response.status, *status, "{reason}: {}", response.head);
            assert_eq!(response.field("connection"), Some("close"));
            assert_eq!(connection.to_end().unwrap(), b"");
            until(SOON, reason, || world.weir.outcomes(reason) == before + 1);
        }
    }
    assert_eq!(world.origin.connections(), 0, "the origin saw none of it");
    until(SOON, "six lines", || world.weir.access_log().len() == 6);
    let log: Vec<_> = world.weir.access_log();
    let of_status = |status: u16| log.iter().filter(move |line| line["status"] == status);
    assert_eq!((of_status(431).count(), of_status(414).count()), (4, 2));
    let field = |key: &str| of_status(414).all(|line| line[key] == "target-too-long");
    assert!(field("reason"), "{log:?}");
}

#[test]
fn heads_as_large_as_may_be() {
    let config = "[limits]\nhead = \"2KiB\"\nfields = 8\n";
    let world = with(config);
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        let fields = "A: b\r\n".repeat(7);
        connection
            .send(format!("GET / HTTP/1.1\r\nHost: lab\r\n{fields}\r\n"))
            .unwrap();
        assert_eq!(connection.response().unwrap().status, 200);
        let rest = "GET / HTTP/1.1\r\nHost: lab\r\nLong: \r\n\r\n".len();
        let long = "x".repeat(2048 - rest);
        connection
            .send(format!(
                "GET / HTTP/1.1\r\nHost: lab\r\nLong: {long}\r\n\r\n"
            ))
            .unwrap();
        assert_eq!(connection.response().unwrap().status, 200);
    }
}

#[test]
fn a_head_that_does_not_come_to_its_end() {
    let world = with("[limits]\nhead_timeout = \"500ms\"\n");
    for (count, family) in (1..).zip(Family::BOTH) {
        let mut fresh = world.connect(family);
        let mut kept = world.connect(family);
        assert!(kept.echo("/").unwrap().intercepted());
        for connection in [&mut fresh, &mut kept] {
            let began = Instant::now();
            connection.send("GET / HTTP/1.1\r\nHo").unwrap();
            let response = connection.response().unwrap();
            assert_eq!(response.status, 408, "{}", response.head);
            assert!(began.elapsed() >= Duration::from_millis(500));
            assert_eq!(connection.to_end().unwrap(), b"");
        }
        until(SOON, "head-timeout counted", || {
            world.weir.outcomes("head-timeout") == 2 * count
        });
    }
}

#[test]
fn a_connection_that_says_nothing_more() {
    let world = with("[limits]\nidle_timeout = \"500ms\"\n");
    for family in Family::BOTH {
        let mut silent = world.connect(family);
        assert_eq!(silent.to_end().unwrap(), b"", "closed without a word");
        let mut kept = world.connect(family);
        assert!(kept.echo("/").unwrap().intercepted());
        let began = Instant::now();
        assert_eq!(kept.to_end().unwrap(), b"", "closed without a word");
        assert!(began.elapsed() >= Duration::from_millis(400));
    }
    until(SOON, "the ends at the origin", || world.origin.open() == 0);
    assert_eq!(
        world.weir.status()["requests"],
        2,
        "an end between requests is no request"
    );
}

#[test]
fn origins_that_do_not_answer() {
    let config = "[limits]\nconnect_timeout = \"1s\"\n\n[valve]\nenabled = false\n";
    let world = World::with(&Layout::default(), &Options::config(config), |net| {
        net.origin.nft(&origin_that("drop", "drop")).unwrap();
    });
    for family in Family::BOTH {
        // More of them than would open the valve, if it were not switched off.
        for number in 0..weir_tests::ORIGINS {
            let response = get(&world, family, number).unwrap();
            assert_eq!(response, 504);
        }
    }
    assert_eq!(world.weir.outcomes("origin-timeout"), 8);
    assert_eq!(world.weir.flows("no-return-path"), 0);
}

#[test]
fn origins_that_are_said_to_be_unreachable() {
    let rules = origin_that(
        "reject with icmp type host-unreachable",
        "reject with icmpv6 type addr-unreachable",
    );
    let world = World::with(&Layout::default(), &Options::default(), |net| {
        net.origin.nft(&rules).unwrap();
    });
    for family in Family::BOTH {
        let began = Instant::now();
        assert_eq!(get(&world, family, 0).unwrap(), 502);
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "by the ICMP error, not by a timeout"
        );
    }
    assert_eq!(world.weir.outcomes("origin-unreachable"), 2);
    assert!(world.weir.packets("icmp-steered") >= 2);
}

#[test]
fn origins_that_refuse() {
    for rules in [
        origin_that("reject with tcp reset", "reject with tcp reset"),
        origin_that(
            "reject with icmp type port-unreachable",
            "reject with icmpv6 type port-unreachable",
        ),
    ] {
        let world = World::with(&Layout::default(), &Options::default(), |net| {
            net.origin.nft(&rules).unwrap();
        });
        for family in Family::BOTH {
            let error = get(&world, family, 0).unwrap_err();
            assert_eq!(
                error.kind(),
                io::ErrorKind::ConnectionReset,
                "{error}: {rules}"
            );
        }
        assert_eq!(world.weir.outcomes("origin-refused"), 2);
    }
}

#[test]
fn beyond_the_limit_of_connections_new_flows_wait_if_they_are_to() {
    let world = with("[intercept]\non_overload = \"queue\"\n[limits]\nconnections = 4\n");
    let mut open: Vec<_> = (0..4)
        .map(|index| {
            let mut connection = world.connect(Family::BOTH[index % 2]);
            assert!(connection.echo("/").unwrap().intercepted());
            connection
        })
        .collect();
    until(SOON, "the limit being told", || {
        world.weir.status()["overload"] == serde_json::json!(["connections"])
    });
    let mut waiting = Family::BOTH.map(|family| {
        let mut connection = world.connect(family);
        connection
            .send("GET / HTTP/1.1\r\nHost: lab\r\n\r\n")
            .unwrap();
        connection
    });
    let seen = world.origin.connections();
    for connection in &mut open {
        assert!(connection.echo("/").unwrap().intercepted());
    }
    assert_eq!(world.origin.connections(), seen, "they wait");
    drop(open);
    for connection in &mut waiting {
        assert_eq!(connection.response().unwrap().status, 200);
    }
    assert_eq!(world.weir.flows("overload"), 0);
    assert_eq!(world.weir.flows("intercepted"), 6);
    until(SOON, "the end of it", || {
        world.weir.status()["overload"] == serde_json::json!([])
    });
}

#[test]
fn beyond_the_limit_of_connections_new_flows_go_direct() {
    let world = with("[limits]\nconnections = 16\n");
    let mut open: Vec<Connection> = Vec::new();
    let first_direct = until_some(SOON, "a direct connection", || {
        let family = Family::BOTH[open.len() % 2];
        // At the limit exactly, before the kernel has been told, a new one is reset.
        let way = Dial::new((family.client(), 0), family.http());
        let mut connection = world.net.client.run(|| dial(&way)).unwrap().ok()?;
        let echo = connection.echo("/").ok()?;
        if echo.direct() {
            return Some(connection);
        }
        open.push(connection);
        None
    });
    assert!(open.len() <= 16, "{} at once", open.len());
    assert!(world.weir.flows("overload") >= 1);
    for family in Family::BOTH {
        assert!(world.get(family).direct());
    }
    for connection in &mut open {
        assert!(
            connection.echo("/").unwrap().intercepted(),
            "those under way go on"
        );
    }
    world.weir.says("overloaded");

    drop(open);
    for family in Family::BOTH {
        until(SOON, "interception again", || {
            world.get(family).intercepted()
        });
    }
    let mut direct = first_direct;
    assert!(
        direct.echo("/").unwrap().direct(),
        "a direct one stays direct"
    );
    assert_eq!(world.weir.status()["connections"]["limit"], 16);
}

fn with(config: &str) -> World {
    World::with(&Layout::default(), &Options::config(config), |_| {})
}

/// What one GET to an address of the origin's comes to.
fn get(world: &World, family: Family, number: u8) -> io::Result<u16> {
    let to = SocketAddr::new(family.origin(number), 80);
    let mut connection = connect(&world.net.client, (family.client(), 0), to);
    let response = connection.get("/")?;
    Ok(response.status)
}

/// Rules for SYNs to port 80 of the origin, for each family.
fn origin_that(ipv4: &str, ipv6: &str) -> String {
    format!(
        "table inet origin {{
            chain input {{
                type filter hook input priority filter;
                meta nfproto ipv4 tcp dport 80 {ipv4}
                meta nfproto ipv6 tcp dport 80 {ipv6}
            }}
        }}"
    )
}
