//! The same million prefixes in a set of nftables and one of ipset, for comparison.

use std::{
    fmt::Write as _,
    fs::{self, File},
    path::Path,
    process::Stdio,
    time::Instant,
};

use proxy_ebpf::key::{IPV4, IPV6};
use proxy_userspace::dataplane::bypass::Entry;
use weir_tests::{Layout, Network, network};

use crate::{
    MILLION,
    entries::{Kind, entries, text},
    memory,
    report::{Report, mebibytes, name},
};

pub(crate) fn measure(report: &mut Report) {
    report.part("the same in other tools, one run", "");
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("rules");
    for family in [IPV4, IPV6] {
        let lists = [1, 2].map(|seed| entries(family, MILLION, Kind::Destinations, seed));
        for (tool, arguments, rules) in [
            ("nft", &["-f"][..], nft as fn(u32, &[Entry], bool) -> String),
            ("ipset", &["restore", "-file"], ipset),
        ] {
            let network = network(&Layout::default());
            for (again, list) in [false, true].into_iter().zip(&lists) {
                let verb = if again {
                    "1 M → 1 M others"
                } else {
                    "none → 1 M"
                };
                let what = format!("{} {tool}: {verb}", name(family));
                fs::write(&file, rules(family, list, again)).expect("a file of rules");
                match run(&network, tool, arguments, &file) {
                    Ok((seconds, peak)) => {
                        let memory = match tool {
                            "ipset" => ("set MiB", mebibytes(size_of_set(&network))),
                            _ => ("machine MiB at most", peak),
                        };
                        report.numbers(&what, &[("s", seconds), memory]);
                    }
                    Err(why) => report.absent(&what, &why),
                }
            }
        }
    }
}

fn run(
    network: &Network,
    tool: &str,
    arguments: &[&str],
    file: &Path,
) -> Result<(f64, f64), String> {
    let mut command = network.router.command(tool);
    command
        .args(arguments)
        .arg(file)
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let errors = file.with_extension("errors");
    command.stderr(File::create(&errors).map_err(|error| error.to_string())?);
    let ((status, seconds), peak) = memory::watch(|| {
        let began = Instant::now();
        let status = command.status();
        (status, began.elapsed().as_secs_f64())
    });
    if status.is_ok_and(|status| status.success()) {
        return Ok((seconds, mebibytes(peak.machine)));
    }
    let said = fs::read_to_string(&errors).unwrap_or_default();
    let first: String = said
        .lines()
        .next()
        .unwrap_or("it failed")
        .chars()
        .take(120)
        .collect();
    Err(format!("{tool}: {first}"))
}

/// As the kernel says.
fn size_of_set(network: &Network) -> u64 {
    let mut command = network.router.command("ipset");
    let output = command.args(["list", "-terse", "million"]).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    let text = text.unwrap_or_default();
    let size = text
        .lines()
        .find_map(|line| line.strip_prefix("Size in memory:"));
    size.and_then(|size| size.trim().parse().ok()).unwrap_or(0)
}

/// A set of intervals; another list takes its place in one transaction.
fn nft(family: u32, list: &[Entry], again: bool) -> String {
    let kind = if family == IPV4 {
        "ipv4_addr"
    } else {
        "ipv6_addr"
    };
    let mut rules = String::from("table inet bench {}\n");
    if again {
        rules.push_str("flush set inet bench million\n");
    } else {
        let _ = writeln!(
            rules,
            "add set inet bench million {{ type {kind}; flags interval; auto-merge; }}"
        );
    }
    rules.push_str("add element inet bench million {\n");
    for entry in list {
        let _ = writeln!(rules, "{},", text(entry));
    }
    rules.push_str("}\n");
    rules
}

/// A set aside, which takes the other's place at the end.
fn ipset(family: u32, list: &[Entry], again: bool) -> String {
    let kind = if family == IPV4 { "inet" } else { "inet6" };
    let set = if again { "aside" } else { "million" };
    let mut rules =
        format!("create {set} hash:net family {kind} hashsize 524288 maxelem 1048576\n");
    for entry in list {
        let _ = writeln!(rules, "add {set} {}", text(entry));
    }
    if again {
        rules.push_str("swap aside million\ndestroy aside\n");
    }
    rules
}
