//! SELinux: denials, and the policy module of `packaging/selinux`.

use super::super::{Code, Facts, Finding, Level, Selinux};

const CHECK: &str = "selinux";

pub(super) fn check(facts: &Facts<'_>) -> Vec<Finding> {
    findings(&facts.host.selinux)
}

fn findings(selinux: &Selinux) -> Vec<Finding> {
    const OBJECT: &str = "SELinux";
    const INSTALL: &str = "make -C packaging/selinux install";
    let Some(enforcing) = selinux.enforcing else {
        return vec![Finding::ok(CHECK, OBJECT, "off")];
    };
    let mode = if enforcing { "enforcing" } else { "permissive" };
    let mut findings = Vec::new();
    if !selinux.denials.is_empty() {
        let level = if enforcing { Level::Error } else { Level::Note };
        let found = format!("{mode}, has denied weir: {}", selinux.denials.join(", "));
        findings.push(
            Finding::new(Code::SelinuxDenied, level, OBJECT, found)
                .because("what is denied fails as if weir were not root")
                .remedy(format!(
                    "{INSTALL}; what is denied with it, too: ausearch -m AVC -c weir | audit2allow \
                     -M weir-local && semodule -i weir-local.pp"
                )),
        );
    } else if !selinux.has_module {
        let found = format!("{mode}, without the policy module weir");
        findings.push(
            Finding::new(Code::SelinuxNoModule, Level::Note, OBJECT, found)
                .because(
                    "a daemon that an administrator starts is not confined; one that the system \
                     starts may be denied BPF and netlink",
                )
                .remedy(INSTALL),
        );
    } else {
        let found = format!("{mode}, and has denied weir nothing that is still in the logs");
        findings.push(Finding::ok(CHECK, OBJECT, found));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn denials_are_errors_where_they_are_in_force() {
        let of = |enforcing, has_module, denials: &[&str]| {
            let found = findings(&Selinux {
                enforcing,
                has_module,
                denials: denials.iter().map(|it| (*it).to_owned()).collect(),
            });
            assert_eq!(found.len(), 1);
            (found[0].level, found[0].code)
        };
        let denied = Some(Code::SelinuxDenied);
        assert_eq!(of(None, false, &[]), (Level::Ok, None));
        assert_eq!(of(Some(true), true, &[]), (Level::Ok, None));
        assert_eq!(
            of(Some(true), false, &[]),
            (Level::Note, Some(Code::SelinuxNoModule))
        );
        assert_eq!(
            of(Some(true), true, &["prog_load of bpf"]),
            (Level::Error, denied)
        );
        assert_eq!(
            of(Some(false), true, &["prog_load of bpf"]),
            (Level::Note, denied)
        );
    }
}
