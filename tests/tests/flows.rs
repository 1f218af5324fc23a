//! `weir flows`: the live connections, and the end of one of them.

use std::time::Duration;

use serde_json::Value;
use weir_tests::{Connection, Family, GET, OK, Stage, until, until_some};

const SOON: Duration = Duration::from_secs(20);

fn flows(stage: &Stage, arguments: &[&str]) -> Vec<Value> {
    let all = [&["flows", "--interval", "0", "--json"], arguments].concat();
    let told: Value = serde_json::from_str(&stage.weir.ask(&all)).unwrap();
    told["flows"].as_array().unwrap().clone()
}

fn flow(stage: &Stage, client: &Connection) -> Option<Value> {
    let own = client.local.to_string();
    let mut all = flows(stage, &[]).into_iter();
    all.find(|flow| flow["client"] == own.as_str())
}

/// Waits until the flow is in that state.
#[track_caller]
fn in_state(stage: &Stage, client: &Connection, state: &str) -> Value {
    until_some(SOON, state, || {
        flow(stage, client).filter(|flow| flow["state"] == state)
    })
}

#[test]
fn each_is_shown_with_what_it_does() {
    // The one that says nothing has no connection to an origin, however long this takes.
    let stage = Stage::with("[http]\nsilence = \"1m\"\n");
    for family in Family::BOTH {
        let quiet = stage.client(family);
        let seen = in_state(&stage, &quiet, "request");
        assert_eq!(seen["origin"], family.http().to_string(), "{seen}");
        assert_eq!(
            (&seen["bytes_in"], &seen["requests"]),
            (&0.into(), &0.into())
        );
        assert!(
            seen["host"].is_null() && seen["rate_in"].is_null(),
            "{seen}"
        );

        let asked = "GET /a HTTP/1.1\r\nHost: www.lab.example\r\n\r\n";
        let (mut client, mut origin) = stage.begin(family, asked);
        origin.expect(asked);
        let seen = in_state(&stage, &client, "exchange");
        assert_eq!(seen["bytes_in"], asked.len(), "{seen}");
        assert_eq!(seen["host"], "www.lab.example", "{seen}");

        // A body that is under way is counted, here and in the daemon's counters, before its end.
        let counted = stage.weir.status()["bytes_out"].as_u64().unwrap();
        origin
            .send("HTTP/1.1 200 OK\r\nContent-Length: 3000000\r\n\r\n")
            .unwrap();
        let head = client.head();
        origin.send(vec![b'x'; 2_000_000]).unwrap();
        client.exactly(2_000_000).unwrap();
        let moved = 2_000_000 + head.len() as u64;
        until(SOON, "its bytes", || {
            flow(&stage, &client).is_some_and(|it| it["bytes_out"] == moved)
        });
        let early = stage.weir.status()["bytes_out"].as_u64().unwrap() - counted;
        assert!(early > 1_700_000 && early <= moved, "{early}");
        origin.send(vec![b'x'; 1_000_000]).unwrap();
        client.exactly(1_000_000).unwrap();
        in_state(&stage, &client, "request");
        let counted = stage.weir.status()["bytes_out"].as_u64().unwrap() - counted;
        assert_eq!(counted, moved + 1_000_000, "once, and all of it");

        let (tunnel, mut origin) = stage.begin(family, b"\x00\x01 not HTTP");
        origin.expect(b"\x00\x01 not HTTP");
        in_state(&stage, &tunnel, "tunnel");

        drop((quiet, client, tunnel, origin));
        until(SOON, "nobody", || flows(&stage, &[]).is_empty());
    }
}

#[test]
fn they_are_filtered_and_sorted() {
    let stage = Stage::new();
    let mut open = Vec::new();
    for family in Family::BOTH {
        for host in ["one.example", "two.example"] {
            let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n");
            open.push(stage.begin(family, request));
        }
    }
    until(SOON, "four exchanges", || {
        flows(&stage, &["--filter", "state=exchange"]).len() == 4
    });
    let v4 = format!("client={}", Family::V4.client());
    assert_eq!(flows(&stage, &["--filter", &v4]).len(), 2);
    let both = ["--filter", &v4, "--filter", "host=TWO"];
    assert_eq!(flows(&stage, &both).len(), 1);
    let origin = format!("origin={}/128", Family::V6.origin(0));
    assert_eq!(flows(&stage, &["--filter", &origin]).len(), 2);
    let sorted = flows(&stage, &["--sort", "host"]);
    let hosts: Vec<_> = sorted.iter().map(|flow| flow["host"].clone()).collect();
    assert_eq!(
        hosts,
        ["one.example", "one.example", "two.example", "two.example"]
    );
    let oldest = flows(&stage, &["--sort", "age", "--limit", "1"]);
    assert_eq!(oldest[0]["client"], open[0].0.local.to_string());

    let table = stage
        .weir
        .ask(&["flows", "--interval", "0.05", "--limit", "3"]);
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(
        table.contains("HOST") && table.ends_with("1 more\n"),
        "{table}"
    );

    let wrong = stage.weir.command(&["flows", "--filter", "port=80"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn one_is_killed_and_the_others_live() {
    let stage = Stage::new();
    for family in Family::BOTH {
        let (mut kept, mut kept_origin) = stage.begin(family, GET);
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        let mut idle = stage.client(family);
        for victim in [&client, &idle] {
            let had = stage.weir.outcomes("killed");
            let id = until_some(SOON, "the flow", || flow(&stage, victim))["id"].to_string();
            stage.weir.ask(&["flows", "kill", &id]);
            until(SOON, "its record", || {
                stage.weir.outcomes("killed") == had + 1
            });
            let again = stage.weir.command(&["flows", "kill", &id]);
            assert_eq!(again.status.code(), Some(2), "{again:?}");
        }
        client.expect_reset_after(b"");
        origin.expect_reset_after(b"");
        idle.expect_reset_after(b"");
        kept_origin.expect(GET);
        kept_origin.send(OK).unwrap();
        kept.expect(OK);
    }
}
