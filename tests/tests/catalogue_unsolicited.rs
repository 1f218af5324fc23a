//! The transparency catalogue: what an origin says before a request has come to it is no answer to
//! that request, wherever the request is meanwhile.

use std::time::Duration;

use serde_json::Value;
use weir_tests::{Connection, Family, GET, OK, Stage, until};

const SOON: Duration = Duration::from_secs(20);
const EVIL: &str = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
const POST: &str = "POST / HTTP/1.1\r\nHost: lab\r\nContent-Length: 10\r\n\r\nhello";

/// What an origin may do to a connection on which nothing is outstanding.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Speaks,
    Closes,
}

const DEEDS: [Deed; 2] = [Deed::Speaks, Deed::Closes];

#[test]
fn while_a_head_is_unfinished() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for deed in DEEDS {
            for part in ["G", "GET / HTTP/1.1\r\nHost"] {
                let (mut client, mut origin) = stage.begin(family, GET);
                answered(&mut client, &mut origin);
                begin(&stage, &mut client, part);
                let counted = unsolicited(&stage);
                act(&mut origin, deed);
                until(SOON, "counted", || unsolicited(&stage) == counted + 1);
                client.send(&GET[part.len()..]).unwrap();
                served_elsewhere(&stage, client);
                origin.rest().unwrap();
                assert_eq!(origin.received(), GET.as_bytes());
            }
        }
    }
}

/// A browser that has connected ahead of time: no request has come to this origin at all.
#[test]
fn before_the_first_request() {
    let stage = Stage::with("[http]\nsilence = \"50ms\"\n");
    for family in Family::BOTH {
        for deed in DEEDS {
            let part = "GET / HTTP/1.1\r\n";
            let mut client = stage.client(family);
            let mut origin = stage.accept(&client);
            begin(&stage, &mut client, part);
            let counted = unsolicited(&stage);
            act(&mut origin, deed);
            until(SOON, "counted", || unsolicited(&stage) == counted + 1);
            client.send(&GET[part.len()..]).unwrap();
            served_elsewhere(&stage, client);
            origin.rest().unwrap();
            assert_eq!(origin.received(), b"");
        }
    }
}

/// The next request comes in one piece with the rest of the one before, which is answered already:
/// nobody waits, or listens, in between.
#[test]
fn while_an_answered_request_is_on_its_way() {
    let stage = Stage::new();
    for family in Family::BOTH {
        for deed in DEEDS {
            let (mut client, mut origin) = stage.begin(family, POST);
            origin.expect(POST);
            origin.send(OK).unwrap();
            client.expect(OK);
            let counted = unsolicited(&stage);
            act(&mut origin, deed);
            until(SOON, "at the router", || stage.unacknowledged(&origin) == 0);
            client.send(format!("world{GET}")).unwrap();
            served_elsewhere(&stage, client);
            assert_eq!(unsolicited(&stage), counted + 1, "{deed:?}");
            origin.rest().unwrap();
            assert_eq!(origin.received(), format!("{POST}world").as_bytes());
        }
    }
}

/// The client sends the beginning of a request, and Weir has it.
#[track_caller]
fn begin(stage: &Stage, client: &mut Connection, part: &str) {
    let own = client.local.to_string();
    let octets = || {
        let flows = stage.weir.ask(&["flows", "--interval", "0", "--json"]);
        let flows: Value = serde_json::from_str(&flows).unwrap();
        let mut flows = flows["flows"].as_array().unwrap().iter();
        let flow = flows.find(|flow| flow["client"] == own.as_str());
        flow.map_or(0, |flow| flow["bytes_in"].as_u64().unwrap())
    };
    let before = octets();
    client.send(part).unwrap();
    until(SOON, "a part of a head", || octets() > before);
}

fn act(origin: &mut Connection, deed: Deed) {
    match deed {
        Deed::Speaks => origin.send(EVIL).unwrap(),
        Deed::Closes => origin.half_close().unwrap(),
    }
}

/// The client's request comes to another connection, and the answer is the one that was given
/// there. That connection is kept as any other.
#[track_caller]
fn served_elsewhere(stage: &Stage, mut client: Connection) {
    let mut origin = stage.accept(&client);
    answered(&mut client, &mut origin);
    client.send(GET).unwrap();
    answered(&mut client, &mut origin);
}

#[track_caller]
fn answered(client: &mut Connection, origin: &mut Connection) {
    origin.expect(GET);
    origin.send(OK).unwrap();
    client.expect(OK);
}

fn unsolicited(stage: &Stage) -> u64 {
    stage.weir.status()["asymmetries"]["unsolicited"]
        .as_u64()
        .unwrap()
}
