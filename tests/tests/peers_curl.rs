//! curl, and nginx, Apache and Python's `http.server`.

use weir_tests::{Family, Peers, Site, spoofed};

/// What curl says of each transfer.
const SAYS: &str = "%{http_code} %{local_port} %header{x-peer}\\n";

/// From the client's first address; what curl printed.
#[track_caller]
fn curl(peers: &Peers, family: Family, arguments: &[&str]) -> String {
    let address = family.client().to_string();
    let common = ["--silent", "--show-error", "--globoff", "--max-time", "60"];
    let from = ["--noproxy", "*", "--interface", &address];
    let all = common.iter().chain(&from).chain(arguments);
    peers.run("curl", "curl", all)
}

#[test]
fn servers_see_the_clients_address_and_another_port() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let url = site.url(family, "/index.html");
        let said = curl(&peers, family, &["-o", "got", "-w", SAYS, &url]);
        let said: Vec<_> = said.trim().splitn(3, ' ').collect();
        assert_eq!(said[0], "200", "{site:?}");
        assert!(spoofed(said[2], family, said[1]), "{site:?}: {said:?}");
        assert_eq!(peers.file("got"), Site::INDEX);
    }
    assert_eq!(peers.weir.flows("intercepted"), 6);
}

#[test]
fn files_and_ranges() {
    let peers = Peers::new();
    let big = Site::big();
    for (site, family) in Site::everywhere() {
        let url = site.url(family, "/big");
        curl(&peers, family, &["--fail", "-o", "got", &url]);
        assert!(peers.file("got") == big, "{site:?}: another file came");
        let said = curl(
            &peers,
            family,
            &["-w", SAYS, "-o", "part", "-r", "1000-1999", &url],
        );
        assert!(said.starts_with("206 "), "{site:?}: {said}");
        assert_eq!(peers.file("part"), &big[1000..2000], "{site:?}");
        // As one who has lost a connection goes on.
        peers.put("got", &big[..5_000_000]);
        curl(&peers, family, &["--fail", "-C", "-", "-o", "got", &url]);
        assert!(peers.file("got") == big, "{site:?}: another rest came");
    }
}

#[test]
fn compressed_text() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let url = site.url(family, "/gzip.txt");
        let says = [
            "-w",
            "%{size_download} %header{content-encoding}",
            "-o",
            "got",
        ];
        let said = curl(
            &peers,
            family,
            &[&says[..], &["--compressed", &url]].concat(),
        );
        let (size, coding) = said.split_once(' ').unwrap();
        assert_eq!(coding, "gzip", "{site:?}");
        assert!(
            size.parse::<usize>().unwrap() < Site::text().len(),
            "{site:?}: {said}"
        );
        assert_eq!(peers.file("got"), Site::text().as_bytes(), "{site:?}");
    }
}

/// With a length and in chunks; curl waits for 100 (Continue) with the larger ones.
#[test]
fn uploads() {
    let peers = Peers::new();
    let big = Site::big();
    peers.put("small", Site::INDEX);
    peers.put("big", &big);
    for (site, family) in Site::everywhere() {
        for (file, octets) in [("small", Site::INDEX), ("big", &big)] {
            for (kind, header) in [("length", "X: y"), ("chunks", "Transfer-Encoding: chunked")] {
                let name = format!("curl-{}-{family:?}-{file}-{kind}", site.name());
                let url = site.url(family, &format!("/up/{name}"));
                curl(
                    &peers,
                    family,
                    &["--fail", "-T", file, "-H", header, "-o", "answer", &url],
                );
                assert!(
                    peers.sites.stored(&name) == octets,
                    "{name}: another file arrived"
                );
            }
        }
    }
}

#[test]
fn several_requests_on_one_connection() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let before = peers.weir.flows("intercepted");
        let url = site.url(family, "/index.html");
        let twenty = [url.as_str(); 20];
        let each = ["-o", "got", &url];
        let mut arguments = vec!["-w", SAYS];
        twenty.iter().for_each(|_| arguments.extend(each));
        let said = curl(&peers, family, &arguments);
        let mut lines: Vec<_> = said.lines().collect();
        assert_eq!(lines.len(), 20, "{site:?}");
        lines.dedup();
        assert_eq!(lines.len(), 1, "{site:?}: one connection of each: {said}");
        assert_eq!(peers.weir.flows("intercepted"), before + 1);
    }
}

#[test]
fn heads_conditions_and_old_versions() {
    let peers = Peers::new();
    for (site, family) in Site::everywhere() {
        let url = site.url(family, "/index.html");
        let head = curl(&peers, family, &["--head", &url]);
        assert!(
            head.contains("200 OK") && head.contains("Content-Length: 6\r\n"),
            "{head}"
        );
        let modified = head
            .lines()
            .find_map(|line| line.strip_prefix("Last-Modified: "))
            .unwrap_or_else(|| panic!("{site:?}: {head}"));
        let condition = format!("If-Modified-Since: {modified}");
        let says = ["-w", "%{http_code}", "-o", "none"];
        let said = curl(
            &peers,
            family,
            &[&says[..], &["-H", &condition, &url]].concat(),
        );
        assert_eq!(said, "304", "{site:?}");
        assert_eq!(
            curl(&peers, family, &["--http1.0", &url]).as_bytes(),
            Site::INDEX
        );
        let none = site.url(family, "/none");
        assert_eq!(
            curl(&peers, family, &[&says[..], &[&none]].concat()),
            "404",
            "{site:?}"
        );
        // An upgrade to h2c that no server is to see.
        let says = ["-w", "%{http_version} %{http_code}", "-o", "none"];
        let said = curl(&peers, family, &[&says[..], &["--http2", &url]].concat());
        assert_eq!(said, "1.1 200", "{site:?}");
    }
}

#[test]
fn parallel_transfers() {
    let peers = Peers::new();
    for (site, family) in Site::ALL
        .into_iter()
        .zip([Family::V6, Family::V4, Family::V6])
    {
        let url = site.url(family, "/big");
        let names: Vec<String> = (0..10).map(|number| format!("big{number}")).collect();
        let mut arguments = vec!["--fail", "--parallel", "--parallel-immediate"];
        for name in &names {
            arguments.extend(["-o", name, &url]);
        }
        curl(&peers, family, &arguments);
        for name in &names {
            assert!(
                peers.file(name) == Site::big(),
                "{site:?}: another file came"
            );
        }
    }
}
