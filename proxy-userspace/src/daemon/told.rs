//! What a daemon that runs tells the doctor: of itself, of the last minute, and of what has changed
//! since its start.

use serde_json::Value;

use crate::{
    doctor::{Code, Finding, Level, Step},
    reason::Reason,
};

/// So many SYNs must have got lost: one may have been unlucky.
const LOST: u64 = 2;

/// What it says of itself.
pub(super) fn of_daemon(status: &Value) -> Vec<Finding> {
    let object = format!("instance {}", text(&status["instance"]));
    let mode = text(&status["mode"]);
    let mut findings = vec![Finding::ok("daemon", &object, format!("runs, mode {mode}"))];
    for interface in all(&status["interfaces"]) {
        if interface["attached"] == false {
            let name = text(&interface["name"]);
            let found = "is gone, or carries no program";
            findings.push(
                Finding::new(Code::NotAttached, Level::Error, name, found)
                    .because("nothing is intercepted on it until it is back"),
            );
        }
    }
    findings.extend(all(&status["valves"]).map(|valve| of_valve(&object, valve)));
    for warning in all(&status["warnings"]) {
        let found = text(warning);
        findings.push(Finding::new(
            Code::DaemonWarning,
            Level::Warning,
            &object,
            found,
        ));
    }
    findings.extend(measured(&object, &status["recent"]));
    findings.extend(drifted(&status["drift"]));
    findings
}

fn of_valve(object: &str, valve: &Value) -> Finding {
    let part = |key: &str| valve[key].as_str().unwrap_or_default();
    let parts = ["reason", "interface", "family"].map(part).into_iter();
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    let found = format!("open valve: {}", parts.join(" "));
    let new = |code| Finding::new(code, Level::Error, object, &found);
    match part("reason") {
        "no-return-path" => new(Code::ReturnPath)
            .because(
                "no origin answers weir's connections: answers take another way, or a firewall drops \
                 them; new connections go direct",
            )
            .remedy(
                "see to it that what is sent to clients' addresses comes back by this host, or have \
                 weir use its own: spoof.source = \"proxy\"",
            ),
        "looping" => new(Code::Loop)
            .because("weir's own connections come back to it; new connections go direct")
            .remedy("have the router send here what comes from clients' interfaces alone"),
        _ => new(Code::ValveOpen)
            .because("interception does not work there, so new connections go direct"),
    }
}

/// What the counters of the last minute tell.
fn measured(object: &str, recent: &Value) -> Vec<Finding> {
    let count = |value: &Value| value.as_u64().unwrap_or_default();
    let mut findings = Vec::new();
    let mut arrived = 0;
    for syns in all(&recent["syns"]) {
        let (marked, delivered) = (count(&syns["marked"]), count(&syns["delivered"]));
        arrived += delivered;
        let lost = marked.saturating_sub(delivered);
        if lost < LOST || lost * 10 < marked {
            continue;
        }
        let level = if delivered == 0 {
            Level::Error
        } else {
            Level::Warning
        };
        let (interface, family) = (text(&syns["interface"]), text(&syns["family"]));
        let found = format!(
            "{lost} of {marked} SYNs that were marked in the last minute did not reach the listener \
             ({family})"
        );
        findings.push(
            Finding::new(Code::SynsLost, level, interface, found)
                .because("something behind TC drops or takes them: most of all a firewall's INPUT")
                .remedy("weir doctor --fix, if it names the rule; nft list ruleset"),
        );
    }
    let accepts = count(&recent["accepts"]);
    if arrived >= 3 * LOST && accepts * 2 < arrived {
        let found = format!(
            "{arrived} SYNs reached the listener in the last minute, and {accepts} connections were \
             accepted"
        );
        findings.push(
            Finding::new(Code::SynsUnanswered, Level::Warning, object, found)
                .because(
                    "clients do not get our answers, or do not answer them: an OUTPUT chain that \
                     drops, no route back to clients, or a flood of SYNs",
                )
                .remedy("nft list ruleset; ip route get CLIENT"),
        );
    }
    findings.extend(outcomes(object, &recent["outcomes"]));
    if findings.is_empty() && !recent.is_null() {
        let found = format!("{arrived} SYNs arrived, {accepts} connections accepted");
        findings.push(Finding::ok("measured", "the last minute", found));
    }
    findings
}

fn outcomes(object: &str, outcomes: &Value) -> Vec<Finding> {
    let of = |reason: Reason| {
        outcomes[reason.as_str()]
            .as_u64()
            .filter(|count| *count > 0)
    };
    let mut findings = Vec::new();
    let mut push = |reason, code, level, found: &str, why: &str, remedy: &str| {
        if let Some(count) = of(reason) {
            let found = format!("{count} connections in the last minute {found}");
            let finding = Finding::new(code, level, object, found);
            findings.push(finding.because(why).remedy(remedy));
        }
    };
    push(
        Reason::NoSourcePort,
        Code::PortsExhausted,
        Level::Error,
        "found no free port to an origin",
        "from one client's address to one origin there are as many at once as spoof.ports has",
        "a wider range in [spoof] ports; a closer look: weir flows --sort client",
    );
    push(
        Reason::LocalLimit,
        Code::FilesExhausted,
        Level::Error,
        "found no descriptor, or no memory for a socket",
        "clients are answered 503",
        "LimitNOFILE= in the unit, or fewer limits.connections",
    );
    push(
        Reason::AsymmetricReturn,
        Code::AsymmetricReturn,
        Level::Warning,
        "were answered by a way that does not pass this host",
        "an origin's answer went to the client directly, who refused it",
        "weir bypass learn --dry-run names them; weir bypass add DESTINATION",
    );
    findings
}

/// What has changed since the start.
fn drifted(drift: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    for missing in all(&drift["missing"]) {
        let object = text(&missing["object"]);
        let (code, found, command) = match &text(&missing["kind"])[..] {
            "rule" => (Code::RuleMissing, "is gone", object.clone()),
            "route" => (Code::RouteMissing, "is gone", object.clone()),
            "program" => (
                Code::ProgramMissing,
                "carries no program of weir's any more",
                "weir doctor --fix".to_owned(),
            ),
            _ => (
                Code::SysctlMissing,
                "is no longer as weir has set it",
                format!("sysctl -w {}=1", object.replace('/', ".")),
            ),
        };
        let why = match code {
            Code::ProgramMissing => "nothing is intercepted on it",
            Code::SysctlMissing => "reverse-path filtering drops what is intercepted",
            _ => "what is marked for weir is not delivered to it, and connections hang",
        };
        findings.push(
            Finding::new(code, Level::Error, object, found)
                .because(why)
                .mended_by(Step::Daemon { command }),
        );
    }
    for changed in all(&drift["changed"]) {
        findings.push(change(changed));
    }
    if findings.is_empty() && !drift.is_null() {
        let found = "rules, routes, programs and kernel parameters are as they were at the start";
        findings.push(Finding::ok("drift", "this host", found));
    }
    findings
}

fn change(changed: &Value) -> Finding {
    let object = text(&changed["object"]);
    if text(&changed["kind"]) == "rule" {
        let found = if changed["was"].is_null() {
            "came after weir had started"
        } else {
            "was there when weir started, and is gone"
        };
        return Finding::new(Code::RulesDrift, Level::Note, object, found)
            .because("what is intercepted may go another way than it did");
    }
    let (was, now) = (text(&changed["was"]), text(&changed["now"]));
    let harms = (object.ends_with("forwarding") && now == "0")
        || (object.ends_with("disable_ipv6") && now != "0");
    let level = if harms { Level::Warning } else { Level::Note };
    let name = object.replace('/', ".");
    let found = format!("was {was} when weir started, and is {now}");
    Finding::new(Code::SysctlDrift, level, &name, found)
        .because("somebody has changed it since")
        .remedy(format!("sysctl -w {name}='{was}'"))
}

fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("?").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn codes(findings: &[Finding]) -> Vec<(Option<Code>, Level)> {
        findings.iter().map(|it| (it.code, it.level)).collect()
    }

    fn syns(marked: u64, delivered: u64, accepts: u64) -> Value {
        json!({
            "syns": [{ "interface": "lan0", "family": "ipv4", "marked": marked,
                       "delivered": delivered }],
            "accepts": accepts,
        })
    }

    #[test]
    fn what_is_marked_against_what_arrives_and_is_accepted() {
        let of = |marked, delivered, accepts| {
            codes(&measured("weir", &syns(marked, delivered, accepts)))
        };
        let fine = [(None, Level::Ok)];
        assert_eq!(of(0, 0, 0), fine);
        assert_eq!(of(100, 100, 100), fine);
        // One may have been unlucky, and one in ten, too.
        assert_eq!(of(1, 0, 0), fine);
        assert_eq!(of(100, 92, 92), fine);
        assert_eq!(of(2, 0, 0), [(Some(Code::SynsLost), Level::Error)]);
        assert_eq!(of(100, 80, 80), [(Some(Code::SynsLost), Level::Warning)]);
        assert_eq!(of(5, 5, 0), fine);
        assert_eq!(of(8, 8, 1), [(Some(Code::SynsUnanswered), Level::Warning)]);
    }

    #[test]
    fn a_daemon_of_another_version_says_less() {
        assert_eq!(measured("weir", &Value::Null), []);
        assert_eq!(drifted(&Value::Null), []);
        assert_eq!(codes(&of_daemon(&json!({}))), [(None, Level::Ok)]);
    }

    #[test]
    fn outcomes_and_changes_have_their_words() {
        let found = outcomes("weir", &json!({ "no-source-port": 3, "local-limit": 1 }));
        assert_eq!(
            codes(&found),
            [
                (Some(Code::PortsExhausted), Level::Error),
                (Some(Code::FilesExhausted), Level::Error)
            ]
        );
        let drift = json!({
            "missing": [{ "kind": "sysctl", "object": "net/ipv4/conf/br0/src_valid_mark" }],
            "changed": [
                { "kind": "sysctl", "object": "net/ipv4/ip_forward", "was": "0", "now": "1" },
                { "kind": "sysctl", "object": "net/ipv6/conf/lan0/disable_ipv6", "was": "0",
                  "now": "1" },
            ],
        });
        let found = drifted(&drift);
        assert_eq!(
            codes(&found),
            [
                (Some(Code::SysctlMissing), Level::Error),
                (Some(Code::SysctlDrift), Level::Note),
                (Some(Code::SysctlDrift), Level::Warning)
            ]
        );
        assert_eq!(
            found[0].remedy,
            "sysctl -w net.ipv4.conf.br0.src_valid_mark=1"
        );
    }
}
