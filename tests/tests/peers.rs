//! A client and a server that we did not write: curl and nginx.

use std::{fs, path::Path, process::Stdio, time::Duration};

use weir_tests::{Family, Layout, Network, Nginx, Options, Pattern, Weir, network, until};

/// Dropped in the order of its fields.
struct Peers {
    weir: Weir,
    nginx: Nginx,
    net: Network,
    directory: tempfile::TempDir,
}

impl Peers {
    fn new() -> Self {
        let net = network(&Layout::default());
        let big = Pattern::bytes(20 << 20);
        let text = "some text that gzip makes smaller ".repeat(1000);
        let files: [(&str, &[u8]); 3] = [
            ("index.html", b"hello\n"),
            ("big", &big),
            ("gzip.txt", text.as_bytes()),
        ];
        let nginx = Nginx::start(&net.origin, Family::V4.http(), &files);
        let weir = Weir::start(&net.router, &Options::default());
        let directory = tempfile::tempdir().unwrap();
        Self {
            weir,
            nginx,
            net,
            directory,
        }
    }

    /// Runs curl in the client's namespace from the client's first address; what it printed.
    #[track_caller]
    fn curl(&self, family: Family, arguments: &[&str]) -> String {
        let mut command = self.net.client.command("curl");
        command.args([
            "--silent",
            "--show-error",
            "--fail",
            "--globoff",
            "--max-time",
            "60",
        ]);
        command.args([
            "--noproxy",
            "*",
            "--interface",
            &family.client().to_string(),
        ]);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .stdin(Stdio::null());
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "curl {arguments:?} (package curl): {errors}"
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn file(&self, name: &str) -> Vec<u8> {
        fs::read(Path::new(self.directory.path()).join(name)).unwrap()
    }
}

fn url(family: Family, path: &str) -> String {
    format!("http://{}{path}", family.http())
}

#[test]
fn nginx_sees_curls_address_and_another_port() {
    let peers = Peers::new();
    for family in Family::BOTH {
        let text = peers.curl(
            family,
            &["-w", "%{local_ip} %{local_port}", &url(family, "/who")],
        );
        let (seen, own) = text.split_once('\n').unwrap();
        let (seen, own) = (seen.split_once(' ').unwrap(), own.split_once(' ').unwrap());
        assert_eq!(seen.0, own.0);
        assert_ne!(seen.1, own.1);
        // nginx writes its log once the response is on its way.
        let line = format!("{} {} 200", seen.0, seen.1);
        until(Duration::from_secs(20), &line, || {
            peers.nginx.access_log().contains(&line)
        });
    }
    assert_eq!(peers.weir.flows("intercepted"), 2);
}

#[test]
fn files_ranges_and_compressed_text() {
    let peers = Peers::new();
    let big = Pattern::bytes(20 << 20);
    for family in Family::BOTH {
        peers.curl(family, &["-o", "got", &url(family, "/big")]);
        assert!(peers.file("got") == big, "another file came");
        peers.curl(
            family,
            &["-o", "part", "-r", "1000-1999", &url(family, "/big")],
        );
        assert_eq!(peers.file("part"), &big[1000..2000]);
        let text = peers.curl(family, &["--compressed", &url(family, "/gzip.txt")]);
        assert_eq!(text, "some text that gzip makes smaller ".repeat(1000));
    }
}

#[test]
fn several_requests_on_one_connection() {
    let peers = Peers::new();
    let address = url(Family::V4, "/who");
    let urls = vec![address.as_str(); 20];
    let text = peers.curl(Family::V4, &urls);
    let mut lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 20);
    lines.dedup();
    assert_eq!(lines.len(), 1, "one connection of the client, one to nginx");
    assert_eq!(peers.weir.flows("intercepted"), 1);
}

#[test]
fn heads_conditions_and_old_versions() {
    let peers = Peers::new();
    for family in Family::BOTH {
        let address = url(family, "/");
        let head = peers.curl(family, &["--head", &address]);
        assert!(
            head.contains("200 OK") && head.contains("Content-Length: 6"),
            "{head}"
        );
        let tag = head
            .lines()
            .find_map(|line| line.strip_prefix("ETag: "))
            .unwrap()
            .trim();
        let condition = format!("If-None-Match: {tag}");
        let code = peers.curl(
            family,
            &[
                "-H",
                &condition,
                "-w",
                "%{http_code}",
                "-o",
                "none",
                &address,
            ],
        );
        assert_eq!(code, "304");
        assert_eq!(peers.curl(family, &["--http1.0", &address]), "hello\n");
        let code = peers.curl(
            family,
            &[
                "--http2",
                "-w",
                "%{http_version} %{http_code}",
                "-o",
                "none",
                &address,
            ],
        );
        assert_eq!(code, "1.1 200", "an upgrade that nginx does not take up");
    }
}

#[test]
fn parallel_transfers() {
    let peers = Peers::new();
    let address = url(Family::V6, "/big");
    let names: Vec<String> = (0..10).map(|number| format!("big{number}")).collect();
    let mut arguments = vec!["--parallel", "--parallel-immediate"];
    for name in &names {
        arguments.extend(["-o", name, &address]);
    }
    peers.curl(Family::V6, &arguments);
    let big = Pattern::bytes(20 << 20);
    assert!(
        names.iter().all(|name| peers.file(name) == big),
        "another file came"
    );
}
