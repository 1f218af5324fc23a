//! Python's `http.client`, and nginx, Apache and Python's `http.server`: everything over one
//! connection.

use serde_json::Value;
use weir_tests::{Family, Peers, Site, spoofed};

#[test]
fn a_visit_to_nginx() {
    visit(Site::Nginx);
}

#[test]
fn a_visit_to_apache() {
    visit(Site::Apache);
}

#[test]
fn a_visit_to_python() {
    visit(Site::Python);
}

/// A file, a range, compressed text, HEAD, uploads with a length and in chunks, and a hundred
/// small requests.
#[track_caller]
fn visit(site: Site) {
    let peers = Peers::new();
    let big = Site::big();
    peers.put("upload", &big);
    for (family, number) in Family::BOTH.into_iter().zip(1..) {
        let [own, address] = [family.client(), site.address(family)].map(|a| a.to_string());
        let name = format!("python-{family:?}");
        let said = peers.script("client.py", &[&own, &address, &name]);
        let said: Value = serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));

        assert_eq!(peers.file("got-index"), Site::INDEX);
        assert!(peers.file("got-big") == big, "another file came");
        assert_eq!(peers.file("got-range"), &big[1000..2000]);
        assert_eq!(peers.file("got-text"), Site::text().as_bytes());
        for kind in ["length", "chunks"] {
            let stored = peers.sites.stored(&format!("{name}-{kind}"));
            assert!(stored == big, "{kind}: another file arrived");
        }
        let seen = said["seen"].as_array().unwrap();
        assert_eq!(seen.len(), 108);
        let statuses: Vec<_> = seen.iter().map(|seen| seen[2].as_u64().unwrap()).collect();
        assert_eq!(statuses[..5], [200, 200, 206, 200, 200], "{said}");
        assert!(matches!(statuses[5..7], [201, 201]), "{said}");
        assert!(
            statuses[7..107].iter().all(|status| *status == 200),
            "{said}"
        );
        assert_eq!(statuses[107], 404, "{said}");
        let (peer, port) = (seen[0][3].as_str().unwrap(), said["port"].to_string());
        assert!(spoofed(peer, family, &port), "{peer}, {port}");
        assert!(
            seen.iter().all(|seen| seen[3] == peer),
            "one connection: {said}"
        );
        assert_eq!(peers.weir.flows("intercepted"), number);
    }
}
