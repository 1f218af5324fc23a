//! `[[rule]]`: what becomes of requests by the operator's rules, seen from both sides.

use std::{fs, net::SocketAddr};

use weir_tests::{Echo, End, Family, OK, Options, Stage, World, until_some};

const SOON: std::time::Duration = std::time::Duration::from_secs(20);

fn world(config: &str) -> World {
    World::with(&Default::default(), &Options::config(config), |_| {})
}

#[test]
fn the_first_rule_that_holds_decides() {
    let world = world(
        "[[rule]]\nname = \"ours\"\nhost = \"good.bad.example\"\n\
         [[rule]]\nname = \"bad\"\nhost = \".bad.example\"\naction = \"deny\"\nstatus = 451\n\
         [[rule]]\npath = \"/admin\"\nmethod = \"POST\"\naction = \"deny\"\n",
    );
    for family in Family::BOTH {
        let ask = |method: &str, host: &str, path: &str| {
            let mut connection = world.connect(family);
            connection
                .send(format!(
                    "{method} {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 0\r\n\r\n"
                ))
                .unwrap();
            connection.response().unwrap()
        };
        assert_eq!(ask("GET", "good.bad.example", "/").status, 200);
        let denied = ask("GET", "WWW.bad.example.:80", "/");
        assert_eq!(denied.status, 451);
        assert_eq!(denied.field("connection"), Some("close"));
        assert!(denied.text().contains("bad"), "{}", denied.text());
        assert_eq!(ask("POST", "lab", "/%61dmin/x").status, 403);
        assert_eq!(ask("POST", "lab", "/x/../admin").status, 403);
        assert_eq!(ask("GET", "lab", "/admin").status, 200);
    }
    assert_eq!(world.weir.outcomes("denied"), 6);
    let log = until_some(SOON, "a line for each", || {
        let log = world.weir.access_log();
        (log.len() == 10).then_some(log)
    });
    let of = |rule: &str| log.iter().filter(|line| line["rule"] == rule).count();
    assert_eq!((of("ours"), of("bad"), of("rule-3")), (2, 2, 4));
}

#[test]
fn denied_requests_do_not_reach_the_origin_and_head_has_no_body() {
    let stage = Stage::with("[[rule]]\naction = \"deny\"\n");
    for family in Family::BOTH {
        let mut client = stage.client(family);
        client.send("HEAD / HTTP/1.1\r\nHost: lab\r\n\r\n").unwrap();
        let head = client.head();
        assert!(head.starts_with("HTTP/1.1 403 "), "{head}");
        assert_eq!(client.to_end().unwrap(), b"");
        // What is no request cannot be answered.
        let mut client = stage.client(family);
        client.send([0x16, 3, 1, 0]).unwrap();
        assert_eq!(client.rest().unwrap().1, End::Reset);
        assert!(stage.origin(family).waiting().is_none());
    }
}

#[test]
fn pages_and_redirects_are_filled_in() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("page.html");
    fs::write(&page, "<p>{{client}} {{host}} {{target}} {{rule}}</p>\n").unwrap();
    let world = world(&format!(
        "[[rule]]\nname = \"page\"\nhost = \"a.example\"\naction = \"deny\"\npage = {:?}\n\
         [[rule]]\nhost = \"b.example\"\naction = \"redirect\"\n\
         location = \"http://portal.example/?to={{{{url}}}}\"\n",
        page.display().to_string()
    ));
    let mut connection = world.connect(Family::V4);
    connection
        .send("GET /<x>?y HTTP/1.1\r\nHost: a.example\r\n\r\n")
        .unwrap();
    let expected = format!(
        "<p>{} a.example /&lt;x&gt;?y page</p>\n",
        Family::V4.client()
    );
    assert_eq!(connection.response().unwrap().text(), expected);
    let mut connection = world.connect(Family::V6);
    connection
        .send("GET /x?y=z HTTP/1.1\r\nHost: b.example\r\n\r\n")
        .unwrap();
    let response = connection.response().unwrap();
    assert_eq!(response.status, 302);
    assert_eq!(
        response.field("location"),
        Some("http://portal.example/?to=http%3A%2F%2Fb.example%2Fx%3Fy%3Dz")
    );
    assert_eq!(world.weir.outcomes("redirected"), 1);
}

#[test]
fn fields_are_set_and_removed_on_both_ways() {
    let stage = Stage::with(
        "[[rule]]\nrequest = { set = { X-From = \"branch 7\" }, remove = [\"Cookie\"] }\n\
         response = { set = { Server = \"none\" } }\n",
    );
    for family in Family::BOTH {
        let request = "GET / HTTP/1.1\r\nCookie: a\r\nHost: lab\r\nx-from: me\r\nA: b\r\n\r\n";
        let (mut client, mut origin) = stage.begin(family, request);
        origin.expect("GET / HTTP/1.1\r\nHost: lab\r\nA: b\r\nX-From: branch 7\r\n\r\n");
        origin
            .send("HTTP/1.1 200 OK\r\nServer: x\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        client.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: none\r\n\r\n");
    }
}

#[test]
fn removed_fields_do_not_come_behind_the_body() {
    let stage = Stage::with(
        "[[rule]]\nrequest = { remove = [\"X-Gone\"] }\nresponse = { remove = [\"X-Gone\"] }\n",
    );
    let head = "Transfer-Encoding: chunked\r\n\r\n";
    let (sent, left) = (
        "1\r\nx\r\n0\r\nA: b\r\nx-gone: 1\r\n\r\n",
        "1\r\nx\r\n0\r\nA: b\r\n\r\n",
    );
    let (post, ok) = ("POST / HTTP/1.1\r\nHost: lab\r\n", "HTTP/1.1 200 OK\r\n");
    for family in Family::BOTH {
        // At once, and in two pieces.
        for pieces in [
            vec![format!("{post}{head}{sent}")],
            vec![format!("{post}{head}"), sent.into()],
        ] {
            let (mut client, mut origin) = stage.begin(family, &pieces[0]);
            origin.expect(format!("{post}{head}"));
            if let Some(piece) = pieces.get(1) {
                client.send(piece).unwrap();
            }
            origin.expect(left);
            origin.send(format!("{ok}{head}{sent}")).unwrap();
            client.expect(format!("{ok}{head}{left}"));
        }
    }
}

#[test]
fn the_source_is_the_clients_or_the_routers_or_another() {
    let world = world(
        "[[rule]]\npath = \"/own\"\nspoof = false\n\
         [[rule]]\npath = \"/other\"\nsource = [\"10.77.1.3\", \"fd77:1::3\"]\n",
    );
    for family in Family::BOTH {
        let mut connection = world.connect(family);
        let mut peers: Vec<SocketAddr> = Vec::new();
        for target in ["/client", "/own", "/own", "/other", "/client"] {
            connection
                .send(format!("GET {target} HTTP/1.1\r\nHost: lab\r\n\r\n"))
                .unwrap();
            let echo = Echo::of(&connection.response().unwrap(), connection.local).unwrap();
            peers.push(echo.peer());
        }
        assert_eq!(peers[0].ip(), family.client());
        assert_ne!(peers[1].ip(), family.client());
        assert_eq!(peers[1], peers[2], "the same connection while it fits");
        assert_eq!(peers[3].ip(), family.second_client());
        assert_eq!(peers[4].ip(), family.client());
        assert_ne!(peers[4].port(), peers[0].port(), "a new connection");
    }
}

#[test]
fn a_tunnel_is_relayed_unread() {
    let stage = Stage::with(
        "[[rule]]\nport = 80\nclient = [\"10.77.1.3\", \"fd77:1::3\"]\naction = \"tunnel\"\n\
         [[rule]]\nhost = \"raw.example\"\naction = \"tunnel\"\n",
    );
    for family in Family::BOTH {
        // By a request: it and everything behind it.
        let request = "GET / HTTP/1.1\r\nHost: raw.example\r\nConnection: x\r\nX: 1\r\n\r\n";
        let (mut client, mut origin) = stage.begin(family, format!("{request}\0anything"));
        origin.expect(format!("{request}\0anything"));
        origin.send("\u{1}back").unwrap();
        client.expect("\u{1}back");
        // By the connection: not even a malformed request is looked at.
        let from = SocketAddr::new(family.second_client(), 0);
        let mut client = weir_tests::connect(&stage.net.client, from, family.http());
        client.send("GET  /\nbroken").unwrap();
        let mut origin = stage.accept(&client);
        origin.expect("GET  /\nbroken");
        origin.send(OK).unwrap();
        client.expect(OK);
    }
}

#[test]
fn rules_are_live_and_a_wrong_one_changes_nothing() {
    let world = world("[[rule]]\nhost = \"a.example\"\naction = \"deny\"\n");
    let status = |world: &World| {
        let mut connection = world.connect(Family::V4);
        connection
            .send("GET / HTTP/1.1\r\nHost: a.example\r\n\r\n")
            .unwrap();
        connection.response().unwrap().status
    };
    assert_eq!(status(&world), 403);
    let said = world
        .weir
        .reload("[[rule]]\nhost = \"a.example\"\nactoin = \"deny\"\n");
    assert!(said.contains(":3:1:") && said.contains("action"), "{said}");
    assert_eq!(status(&world), 403);
    world.weir.reload("");
    assert_eq!(status(&world), 200);
}

#[test]
fn a_rule_may_leave_no_line() {
    let world = world("[[rule]]\npath = \"/quiet\"\nlog = false\n");
    let mut connection = world.connect(Family::V4);
    connection.get("/quiet").unwrap();
    connection.get("/loud").unwrap();
    let log = until_some(SOON, "a line", || {
        let log = world.weir.access_log();
        (!log.is_empty()).then_some(log)
    });
    assert_eq!(log.len(), 1);
    assert_eq!(log[0]["target"], "/loud");
}
