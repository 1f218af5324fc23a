//! `[[rule]]`: marks and types of service of the connection to the origin.

use weir_tests::{Connection, Family, OK, Stage};

/// SYNs to the origin, by what they carry.
const COUNTING: &str = "table inet counting {
        counter marked { }
        counter unmarked { }
        counter tos8 { }
        counter tos0 { }
        chain post {
            type filter hook postrouting priority mangle;
            meta l4proto != tcp accept
            tcp dport != 80 accept
            tcp flags & (syn | ack) != syn accept
            meta mark & 0x4 == 0x4 counter name marked
            meta mark & 0x4 == 0 counter name unmarked
            ip dscp 8 counter name tos8
            ip6 dscp 8 counter name tos8
            ip dscp 0 counter name tos0
            ip6 dscp 0 counter name tos0
        }
    }";

/// A request that another mark, or another type of service, is meant for does not go out on the
/// connection that there is; one that the same is meant for does.
#[test]
fn each_request_goes_out_with_its_own() {
    let stage = Stage::with(
        "[[rule]]\npath = \"/marked\"\nmark = 0x4\n\
         [[rule]]\npath = \"/tos\"\ntos = 0x20\n\
         [[rule]]\npath = \"/both\"\nmark = 0x4\ntos = 0x20\n",
    );
    stage.net.router.nft(COUNTING).unwrap();
    for (number, family) in (1..).zip(Family::BOTH) {
        let mut client = stage.client(family);
        let mut before: Option<Connection> = None;
        for path in ["/", "/marked", "/both", "/tos", "/other"] {
            let request = format!("GET {path} HTTP/1.1\r\nHost: lab\r\n\r\n");
            client.send(&request).unwrap();
            let mut origin = stage.accept(&client);
            answered(&mut client, &mut origin, &request);
            client.send(&request).unwrap();
            answered(&mut client, &mut origin, &request);
            if let Some(mut before) = before.replace(origin) {
                before.expect_end();
            }
        }
        for (counter, each) in [("marked", 2), ("unmarked", 3), ("tos8", 2), ("tos0", 3)] {
            assert_eq!(
                count(&stage, counter),
                each * number,
                "{counter}, {family:?}"
            );
        }
    }
}

#[track_caller]
fn answered(client: &mut Connection, origin: &mut Connection, request: &str) {
    origin.expect(request);
    origin.send(OK).unwrap();
    client.expect(OK);
}

#[track_caller]
fn count(stage: &Stage, counter: &str) -> u64 {
    let list = ["list", "counter", "inet", "counting", counter];
    let output = stage.net.router.command("nft").args(list).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    let packets = text.split_once("packets ").expect("a counter").1;
    packets.split(' ').next().unwrap().parse().unwrap()
}
