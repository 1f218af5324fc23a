//! Firewall rules that several tests load.

/// Something that needs conntrack, and drops what does not fit an entry of it.
pub const STATEFUL: &str = r#"
    table inet router {
        chain prerouting {
            type filter hook prerouting priority filter;
            ct state invalid drop
        }
        chain output {
            type filter hook output priority filter;
            ct state invalid drop
        }
    }
"#;

/// Exempts both legs of intercepted connections from conntrack.
pub const UNTRACKED: &str = r#"
    table inet raw {
        chain prerouting { type filter hook prerouting priority raw; tcp sport 80 notrack; tcp dport 80 notrack; }
        chain output { type filter hook output priority raw; tcp dport 80 notrack; tcp sport 80 notrack; }
    }
"#;
