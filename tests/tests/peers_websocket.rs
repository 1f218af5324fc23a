//! WebSocket with Python's `websockets` at both ends: by itself, and behind nginx and Apache.

use weir_tests::{Family, Peers, Site, Sites, spoofed};

#[test]
fn a_server_by_itself() {
    let peers = Peers::new();
    for family in Family::BOTH {
        let said = visit(&peers, family, &format!("ws://{}/", Sites::socket(family)));
        let (port, peer) = said.trim().split_once(' ').unwrap();
        assert!(spoofed(peer, family, port), "{said}");
    }
    ended_as_upgraded(&peers);
}

#[test]
fn behind_nginx_and_apache() {
    let peers = Peers::new();
    for (site, family) in [(Site::Nginx, Family::V4), (Site::Apache, Family::V6)] {
        let url = site.url(family, "/socket").replace("http://", "ws://");
        visit(&peers, family, &url);
    }
    ended_as_upgraded(&peers);
}

/// Texts and binaries, long and fragmented, compressed as agreed, pings, and a close of both
/// sides with its code.
#[track_caller]
fn visit(peers: &Peers, family: Family, url: &str) -> String {
    peers.script("websocket_client.py", &[&family.client().to_string(), url])
}

#[track_caller]
fn ended_as_upgraded(peers: &Peers) {
    weir_tests::until(
        weir_tests::ANSWER,
        "two tunnels that have ended well",
        || peers.weir.outcomes("upgraded") == 2,
    );
}
