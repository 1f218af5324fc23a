//! The transparency catalogue: there is no origin to be had, and what the client gets instead.

use std::{net::SocketAddr, process::Command, time::Duration};

use nix::sys::signal::Signal;
use serde_json::Value;
use weir_tests::{Connection, Dial, Family, GET, OK, Stage, dial, until};

const SOON: Duration = Duration::from_secs(20);

/// What the origin does with SYNs to its port 80.
fn origin_that(does: &str) -> String {
    format!(
        "table inet origin {{
            chain input {{
                type filter hook input priority filter;
                tcp dport 80 tcp flags & (syn | ack) == syn {does}
            }}
        }}"
    )
}

/// The origin's backlog accepts, and it resets before Weir has come to look.
#[test]
fn an_origin_that_resets_what_has_just_been_made() {
    let stage = Stage::new();
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        stage.net.origin.nft(&origin_that("drop")).unwrap();
        let mut client = stage.client(family);
        client.send(GET).unwrap();
        until(SOON, "a connect", || state(&stage, &client) == "connecting");
        stage.weir.sigstop();
        stage.net.origin.nft("delete table inet origin").unwrap();
        // The SYN comes again.
        let origin = stage.origin(family).accept();
        let port = origin.peer().port();
        origin.reset();
        until(SOON, "the reset at the router", || {
            let sockets = stage.net.router.command("ss").args(["-Htn"]).output();
            let sockets = String::from_utf8(sockets.unwrap().stdout).unwrap();
            !sockets.contains(&format!(":{port} "))
        });
        stage.weir.signal(Signal::SIGCONT);
        client.expect_reset_after("");
        until(SOON, "counted", || {
            stage.weir.outcomes("origin-reset") == number
        });
    }
}

/// No descriptor is left for a connection to the origin.
#[test]
fn this_process_is_at_its_limit() {
    let stage = Stage::new();
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let mut client = stage.client(family);
        let (begun, rest) = GET.split_at(5);
        client.send(begun).unwrap();
        until(SOON, "the client's connection", || {
            state(&stage, &client) == "request"
        });
        let most = descriptors(&stage, "3:");
        client.send(rest).unwrap();
        refused(&mut client, 503, "local-limit");
        descriptors(&stage, &most);
        assert_eq!(stage.weir.outcomes("local-limit"), number);
        let (mut client, mut origin) = stage.begin(family, GET);
        origin.expect(GET);
        origin.send(OK).unwrap();
        client.expect(OK);
    }
}

/// Whoever waits for a banner learns nothing from an answer that is HTTP.
#[test]
fn a_silent_clients_origin_cannot_be_connected() {
    let stage = Stage::with("[http]\nsilence = \"50ms\"\n");
    for (rules, reason) in [
        ("reject with tcp reset", "origin-refused"),
        ("reject with icmpx host-unreachable", "origin-unreachable"),
    ] {
        stage.net.origin.nft(&origin_that(rules)).unwrap();
        for (family, number) in Family::BOTH.into_iter().zip(1..) {
            let mut client = stage.client(family);
            client.expect_reset_after("");
            until(SOON, reason, || stage.weir.outcomes(reason) == number);
        }
        stage.net.origin.nft("delete table inet origin").unwrap();
    }
    assert_eq!(stage.weir.status()["asymmetries"]["silent-client"], 4);
}

/// Both ports of ours are taken towards this origin: another client's are not.
#[test]
fn no_port_left() {
    let stage = Stage::with("[spoof]\nports = \"20000-20001\"\n");
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let mut open: Vec<_> = (0..2).map(|_| stage.begin(family, GET)).collect();
        let mut third = stage.client(family);
        third.send(GET).unwrap();
        refused(&mut third, 503, "no-source-port");
        assert_eq!(stage.weir.outcomes("no-source-port"), number);

        let from = SocketAddr::new(family.second_client(), 0);
        let mut other = weir_tests::connect(&stage.net.client, from, family.http());
        other.send(GET).unwrap();
        stage.accept(&other).expect(GET);
        for (client, origin) in &mut open {
            origin.expect(GET);
            origin.send(OK).unwrap();
            client.expect(OK);
        }
    }
}

/// They have all come while Weir could not tell the kernel that it is full.
#[test]
fn more_connections_than_there_may_be() {
    const AT_ONCE: usize = 4;
    const CLIENTS: usize = 12;

    let stage = Stage::with(&format!(
        "[limits]\nconnections = {AT_ONCE}\n[workers]\ncount = 1\n"
    ));
    stage.weir.sigstop();
    let mut clients: Vec<_> = stage
        .net
        .client
        .run(|| {
            let families = Family::BOTH.into_iter().cycle().take(CLIENTS);
            let dials =
                families.map(|family| dial(&Dial::new((family.client(), 0), family.http())));
            dials.collect::<Result<Vec<_>, _>>()
        })
        .unwrap()
        .unwrap();
    for client in &mut clients {
        client.send(GET).unwrap();
    }
    stage.weir.signal(Signal::SIGCONT);
    until(SOON, "overload counted", || {
        stage.weir.outcomes("overload") == (CLIENTS - AT_ONCE) as u64
    });
    let mut served = Vec::new();
    until(SOON, "the others at the origin", || {
        served.extend(
            Family::BOTH
                .map(|family| stage.origin(family).waiting())
                .into_iter()
                .flatten(),
        );
        served.len() == AT_ONCE
    });
    for origin in &mut served {
        origin.expect(GET);
        origin.send(OK).unwrap();
    }
    let mut answered = 0;
    for mut client in clients {
        let head = client.head();
        if head.starts_with("HTTP/1.1 200 ") {
            answered += 1;
        } else {
            assert!(head.starts_with("HTTP/1.1 503 "), "{head}");
            assert!(client.to_end().unwrap().ends_with(b": overload\n"));
        }
    }
    assert_eq!(answered, AT_ONCE);
}

/// What `weir flows` says that the client's connection is doing.
#[track_caller]
fn state(stage: &Stage, client: &Connection) -> String {
    let own = client.local.to_string();
    let flows = stage.weir.ask(&["flows", "--interval", "0", "--json"]);
    let flows: Value = serde_json::from_str(&flows).unwrap();
    let mut flows = flows["flows"].as_array().unwrap().iter();
    let flow = flows.find(|flow| flow["client"] == own.as_str());
    flow.map_or_else(String::new, |flow| flow["state"].as_str().unwrap().into())
}

/// Sets how many descriptors the daemon may have; what it was before, in the same form.
#[track_caller]
fn descriptors(stage: &Stage, limit: &str) -> String {
    let prlimit = |arguments: &[&str]| {
        let pid = stage.weir.pid().to_string();
        let output = Command::new("prlimit")
            .args(["--pid", &pid])
            .args(arguments)
            .output();
        let output = output.unwrap_or_else(|error| panic!("prlimit (package util-linux): {error}"));
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let before = prlimit(&["--nofile", "--output=SOFT", "--noheadings"]);
    prlimit(&[&format!("--nofile={limit}")]);
    format!("{}:", before.trim())
}

#[track_caller]
fn refused(client: &mut Connection, status: u16, reason: &str) {
    let head = client.head();
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
    let body = client.to_end().unwrap();
    let told = body.ends_with(format!(": {reason}\n").as_bytes());
    assert!(told, "{}", body.escape_ascii());
}
