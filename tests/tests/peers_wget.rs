//! wget, and nginx, Apache and Python's `http.server`.

use weir_tests::{Family, Peers, Site};

/// From the client's first address; what the server said of it, a line for each response.
#[track_caller]
fn wget(peers: &Peers, family: Family, arguments: &[&str]) -> Vec<String> {
    let address = format!("--bind-address={}", family.client());
    let common = ["--no-verbose", "--no-proxy", "--tries=1", "--timeout=60"];
    // The responses' heads go to the log.
    let log = ["--server-response", "-o", "log", &address];
    peers.run("wget", "wget", common.iter().chain(&log).chain(arguments));
    let log = String::from_utf8(peers.file("log")).unwrap();
    log.lines().map(|line| line.trim().to_owned()).collect()
}

/// The values of a field in the log.
fn field<'l>(log: &'l [String], name: &str) -> Vec<&'l str> {
    let beginning = format!("{name}: ");
    log.iter()
        .filter_map(|line| line.strip_prefix(&beginning))
        .collect()
}

#[test]
fn files_over_one_connection() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let before = peers.weir.flows("intercepted");
        let index = site.url(family, "/index.html");
        let big = site.url(family, "/big");
        let log = wget(&peers, family, &["-O", "got", &index, &big, &index, &index]);
        let expected = [Site::INDEX, &Site::big(), Site::INDEX, Site::INDEX].concat();
        assert!(peers.file("got") == expected, "{site:?}: other files came");
        let mut seen = field(&log, Site::PEER);
        assert_eq!(seen.len(), 4, "{site:?}: {log:?}");
        seen.dedup();
        assert_eq!(seen.len(), 1, "{site:?}: one connection: {seen:?}");
        let (address, _) = seen[0].split_once(' ').unwrap();
        assert_eq!(address, family.client().to_string(), "{site:?}");
        assert_eq!(peers.weir.flows("intercepted"), before + 1);
    }
}

#[test]
fn the_rest_of_a_file() {
    let peers = Peers::new();
    let big = Site::big();
    for (site, family) in Site::everywhere() {
        peers.put("got", &big[..3_000_000]);
        let log = wget(
            &peers,
            family,
            &["-c", "-O", "got", &site.url(family, "/big")],
        );
        assert!(log[0].contains(" 206 "), "{site:?}: {log:?}");
        assert!(peers.file("got") == big, "{site:?}: another rest came");
    }
}

#[test]
fn compressed_text() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let url = site.url(family, "/gzip.txt");
        let log = wget(&peers, family, &["--compression=gzip", "-O", "got", &url]);
        assert_eq!(field(&log, "Content-Encoding"), ["gzip"], "{site:?}");
        assert_eq!(peers.file("got"), Site::text().as_bytes(), "{site:?}");
    }
}

#[test]
fn uploads() {
    let peers = Peers::new();
    let big = Site::big();
    peers.put("big", &big);
    for (site, family) in Site::everywhere() {
        let name = format!("wget-{}-{family:?}", site.name());
        let url = site.url(family, &format!("/up/{name}"));
        let put = ["--method=PUT", "--body-file=big", "-O", "answer", &url];
        let log = wget(&peers, family, &put);
        assert!(log[0].contains(" 201 "), "{site:?}: {log:?}");
        assert!(
            peers.sites.stored(&name) == big,
            "{name}: another file arrived"
        );
    }
}

#[test]
fn heads() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let big = site.url(family, "/big");
        let log = wget(&peers, family, &["--spider", &big, &big]);
        let length = Site::big().len().to_string();
        assert_eq!(
            field(&log, "Content-Length"),
            [&length, &length],
            "{site:?}"
        );
    }
}
