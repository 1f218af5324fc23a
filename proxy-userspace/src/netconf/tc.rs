//! What else looks at packets at an interface: filters of traffic control, XDP programs, and the
//! switch that it may be a port of.

use std::collections::BTreeMap;

use futures_util::TryStreamExt as _;
use netlink_packet_route::{
    link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
    tc::{
        TcAttribute, TcFilterBpfOption, TcFilterFlowerOption, TcFilterMatchAllOption,
        TcFilterU32Option, TcMessage, TcOption,
    },
};
use rtnetlink::Handle;

use super::NetlinkError;

/// `TCA_CLS_FLAGS_*` of `linux/pkt_cls.h`.
const TCA_CLS_FLAGS_IN_HW: u32 = 1 << 2;

/// A filter on clsact, or on the ingress qdisc. They come behind TCX.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Filter {
    /// `ingress` or `egress`.
    pub hook: &'static str,
    /// Its preference: lower ones come first.
    pub preference: u32,
    /// Its kind: `bpf`, `flower`, `matchall`, `u32`, ….
    pub kind: String,
    /// The name of its program, if it has one.
    pub program: Option<String>,
    /// Whether the interface itself applies it, before any packet of it is seen here.
    pub in_hardware: bool,
}

/// The filters of an interface.
///
/// # Errors
///
/// If netlink fails.
pub async fn filters(handle: &Handle, index: u32) -> Result<Vec<Filter>, NetlinkError> {
    let index = i32::try_from(index).unwrap_or(i32::MAX);
    let mut filters = Vec::new();
    for hook in ["ingress", "egress"] {
        let mut of_link = handle.traffic_filter(index);
        let request = match hook {
            "ingress" => of_link.get().ingress(),
            _ => of_link.get().egress(),
        };
        let messages: Result<Vec<_>, _> = request.execute().try_collect().await;
        match messages {
            Ok(messages) => filters.extend(messages.iter().filter_map(|it| filter(hook, it))),
            // Neither clsact nor ingress is there.
            Err(error)
                if [libc::EINVAL, libc::ENOENT, libc::EOPNOTSUPP]
                    .iter()
                    .any(|errno| super::delivery::is(&error, *errno)) => {}
            Err(error) => return Err(NetlinkError::new("list filters", error)),
        }
    }
    filters.sort();
    filters.dedup();
    Ok(filters)
}

/// `None` for what only says that there are filters of a kind and preference.
fn filter(hook: &'static str, message: &TcMessage) -> Option<Filter> {
    let (mut kind, mut program, mut flags, mut whole) = (String::new(), None, 0, false);
    for attribute in &message.attributes {
        match attribute {
            TcAttribute::Kind(name) => kind.clone_from(name),
            TcAttribute::Options(options) => {
                whole = true;
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => {
                            program = Some(name.clone());
                        }
                        TcOption::Bpf(TcFilterBpfOption::FlagsGeneric(some)) => flags = some.bits(),
                        TcOption::U32(TcFilterU32Option::Flags(some)) => flags = some.bits(),
                        TcOption::MatchAll(TcFilterMatchAllOption::Flags(some))
                        | TcOption::Flower(TcFilterFlowerOption::Flags(some)) => flags = *some,
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    whole.then_some(Filter {
        hook,
        preference: message.header.info >> 16,
        kind,
        program,
        in_hardware: flags & TCA_CLS_FLAGS_IN_HW != 0,
    })
}

/// What an interface has in front of TC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Front {
    /// Ids of XDP programs, with where they run: `native`, `generic`, `hardware`.
    pub xdp: Vec<(&'static str, u32)>,
    /// The switch that it is a port of, as the driver identifies it.
    pub switch: Option<String>,
}

/// Of all interfaces, by name.
///
/// # Errors
///
/// If netlink fails.
pub async fn fronts(handle: &Handle) -> Result<BTreeMap<String, Front>, NetlinkError> {
    let messages: Vec<_> = handle
        .link()
        .get()
        .execute()
        .try_collect()
        .await
        .map_err(|e| NetlinkError::new("list interfaces", e))?;
    Ok(messages.iter().filter_map(front).collect())
}

fn front(message: &LinkMessage) -> Option<(String, Front)> {
    let mut name = None;
    let mut front = Front::default();
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name = Some(text.clone()),
            LinkAttribute::PhysSwitchId(id) => {
                let octets = id.id[..id.len].iter();
                front.switch = Some(octets.map(|octet| format!("{octet:02x}")).collect());
            }
            LinkAttribute::Xdp(xdp) => front.xdp = programs(xdp),
            _ => {}
        }
    }
    Some((name?, front))
}

fn programs(attributes: &[LinkXdp]) -> Vec<(&'static str, u32)> {
    let mut programs = Vec::new();
    let (mut mode, mut only) = (None, None);
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => mode = Some("native"),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some("generic"),
            LinkXdp::Attached(XdpAttached::Hardware) => mode = Some("hardware"),
            LinkXdp::ProgId(id) => only = Some(*id),
            LinkXdp::DrvProgId(id) => programs.push(("native", *id)),
            LinkXdp::SkbProgId(id) => programs.push(("generic", *id)),
            LinkXdp::HwProgId(id) => programs.push(("hardware", *id)),
            _ => {}
        }
    }
    if let (true, Some(mode), Some(id)) = (programs.is_empty(), mode, only) {
        programs.push((mode, id));
    }
    programs
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Parseable as _;
    use netlink_packet_route::link::LinkPhysId;

    use super::*;

    #[test]
    fn xdp_and_switches() {
        let mut message = LinkMessage::default();
        let id = LinkPhysId::parse(&[0xa5, 0xa5][..]).unwrap();
        message.attributes = vec![
            LinkAttribute::IfName("lan0".to_owned()),
            LinkAttribute::PhysSwitchId(id),
            LinkAttribute::Xdp(vec![
                LinkXdp::Attached(XdpAttached::SocketBuffer),
                LinkXdp::ProgId(7),
                LinkXdp::SkbProgId(7),
            ]),
        ];
        let (name, front) = front(&message).unwrap();
        assert_eq!(name, "lan0");
        assert_eq!(front.switch.as_deref(), Some("a5a5"));
        assert_eq!(front.xdp, [("generic", 7)]);
        let old = [LinkXdp::Attached(XdpAttached::Driver), LinkXdp::ProgId(3)];
        assert_eq!(programs(&old), [("native", 3)]);
        assert_eq!(programs(&[LinkXdp::Attached(XdpAttached::None)]), []);
    }

    #[test]
    fn a_filter_in_hardware() {
        let mut message = TcMessage::default();
        message.header.info = 7 << 16 | 0x0003;
        message.attributes = vec![
            TcAttribute::Kind("matchall".to_owned()),
            TcAttribute::Options(vec![TcOption::MatchAll(TcFilterMatchAllOption::Flags(
                TCA_CLS_FLAGS_IN_HW | 1 << 1,
            ))]),
        ];
        assert_eq!(
            filter("ingress", &message),
            Some(Filter {
                hook: "ingress",
                preference: 7,
                kind: "matchall".to_owned(),
                program: None,
                in_hardware: true,
            })
        );
        message.attributes.pop();
        assert_eq!(filter("ingress", &message), None);
    }
}
