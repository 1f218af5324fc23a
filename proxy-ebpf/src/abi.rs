//! Names, capacities and the version of the contract.

/// Version of everything in this crate that crosses the kernel boundary.
///
/// The object carries it in its section [`ABI_SECTION`]; the daemon refuses to attach, or to
/// take over, programs with another one. Change it with every change to a shared struct, a map's
/// type or capacity, or the order of an enum here.
pub const ABI_VERSION: u32 = 6;

/// ELF section of the object that holds [`ABI_VERSION`] as a little-endian `u32`.
pub const ABI_SECTION: &str = ".rodata.weir.abi";

/// TC ingress program of links with an Ethernet header; an interface's role comes from
/// [`map::INTERFACES`].
///
/// The kernel keeps 15 bytes of a program's name: stay below.
pub const PROGRAM_STEER: &str = "weir_steer";

/// The same for links without one; which of the two says [`Framing`](crate::framing::Framing).
pub const PROGRAM_STEER_L3: &str = "weir_steer_l3";

/// The same for ports of a bridge.
pub const PROGRAM_BRIDGE: &str = "weir_bridge";

/// TC egress program of a bridge: gives our frames the addresses and the tag that those of the
/// client and of its next hop would have.
pub const PROGRAM_LEAVE: &str = "weir_leave";

/// `sk_lookup` program: gives flows from our LANs to a worker's listener.
pub const PROGRAM_LISTEN: &str = "weir_listen";

/// TC egress program of WANs: records how the SYNs of our connections to origins are translated
/// (NAT), so that their answers are recognised.
pub const PROGRAM_RECORD: &str = "weir_record";

/// TC program that is attached nowhere: forgets the translations whose connection has no socket
/// any more, and returns how many are left. The first octet of its input says whether those in
/// TIME_WAIT go as well.
pub const PROGRAM_SWEEP: &str = "weir_sweep";

/// `sock_ops` program: marks connections of this host itself that are to be intercepted.
pub const PROGRAM_OUTPUT: &str = "weir_output";

/// cgroup `connect4` and `connect6` programs: take the mark of an earlier connection off.
pub const PROGRAMS_CONNECT: [&str; 2] = ["weir_connect4", "weir_connect6"];

/// TC program that is attached nowhere: run on a [`Query`](crate::bypass::Query) in place of a
/// packet, it returns the number of the record that decides, or 0.
pub const PROGRAM_MATCH: &str = "weir_match";

/// TC program that is attached nowhere: run on a frame, it puts a [`Trail`](crate::trail::Trail) at
/// its beginning. `cb[0]` is the bridge that the frame's interface is a port of, or 0.
pub const PROGRAM_WHY: &str = "weir_why";

/// Names of the maps.
pub mod map {
    /// ARRAY of one [`Settings`](crate::settings::Settings).
    pub const SETTINGS: &str = "SETTINGS";
    /// HASH: interface index (host order) → [`Interface`](crate::settings::Interface).
    pub const INTERFACES: &str = "INTERFACES";
    /// LPM trie of [`AddressBits`](crate::key::AddressBits): local routes of this host.
    pub const OWN_ADDRESSES: &str = "OWN_ADDRESSES";
    /// ARRAY of one map: the [table](crate::bypass) of bypass entries, an ARRAY of lines.
    pub const BYPASS: &str = "BYPASS";
    /// SOCKMAP of listeners, indexed by [`slot`](crate::key::Flow::slot).
    pub const LISTENERS: &str = "LISTENERS";
    /// ARRAY: per worker the `CLOCK_MONOTONIC` nanosecond of its last heartbeat.
    pub const HEARTBEATS: &str = "HEARTBEATS";
    /// Per-CPU ARRAY of `u64`, indexed by [`Reason`](crate::verdict::Reason): flows.
    pub const FLOWS: &str = "FLOWS";
    /// Per-CPU ARRAY of `u64`, indexed by [`Event`](crate::counter::Event).
    pub const EVENTS: &str = "EVENTS";
    /// Per-CPU ARRAY of `u64`, indexed by [`delivery`](crate::counter::delivery).
    pub const DELIVERIES: &str = "DELIVERIES";
    /// LRU HASH of [`Flow`](crate::key::Flow), client to origin: flows that go direct although
    /// a dying socket of ours has their four-tuple.
    pub const DIRECT_FLOWS: &str = "DIRECT_FLOWS";
    /// Per-CPU ARRAY of one `u32`: not 0 while [`PROGRAM_STEER`](super::PROGRAM_STEER) itself
    /// looks a socket up, so that [`PROGRAM_LISTEN`](super::PROGRAM_LISTEN) does not take that
    /// for a delivery.
    pub const LOOKING: &str = "LOOKING";
    /// HASH of [`Flow`](crate::key::Flow), both in the direction of the origin's answers: as they
    /// come in → as they are without the translation. Its capacity is the daemon's choice.
    pub const TRANSLATIONS: &str = "TRANSLATIONS";
    /// ARRAY of one `u32`: not 0 from the first translation on.
    pub const TRANSLATING: &str = "TRANSLATING";
    /// LRU HASH of [`Pair`](crate::bridge::Pair) → [`Path`](crate::bridge::Path). Its capacity is
    /// the daemon's choice.
    pub const PATHS: &str = "PATHS";
    /// HASH of a MAC address → 1: stations behind ports of the bridge that are WANs.
    pub const STATIONS: &str = "STATIONS";
    /// LRU HASH of [`Datagram`](crate::fragment::Datagram) → [`Trace`](crate::fragment::Trace):
    /// what was done with the fragments of TCP that came last.
    pub const FRAGMENTS: &str = "FRAGMENTS";
    /// LRU HASH of [`AddressBits`](crate::key::AddressBits) → `u64`: SYNs of a client that would
    /// have been intercepted, in [`MODE_SHADOW`](crate::settings::MODE_SHADOW).
    pub const SHADOW_CLIENTS: &str = "SHADOW_CLIENTS";
    /// The same for destinations.
    pub const SHADOW_ORIGINS: &str = "SHADOW_ORIGINS";
    /// LRU HASH of [`Packet`](crate::looping::Packet) → [`Sighting`](crate::looping::Sighting).
    pub const SIGHTED: &str = "SIGHTED";
    /// LRU HASH of [`Origin`](crate::looping::Origin) → [`Looping`](crate::looping::Looping).
    pub const LOOPING: &str = "LOOPING";
    /// ARRAY of one `u64`: when a packet came round last, as in [`LOOPING`]; 0 if none ever did.
    pub const LOOPED: &str = "LOOPED";
    /// ARRAY of one [`Output`](crate::output::Output).
    pub const OUTPUT: &str = "OUTPUT";
    /// ARRAY of `u64`, indexed by [`Reason`](crate::verdict::Reason): connections of this host.
    pub const OUTPUT_FLOWS: &str = "OUTPUT_FLOWS";
    /// Ring buffer of [`Flow`](crate::key::Flow), client to origin: connects of ours whose answer
    /// went around us. Not waked up for: the daemon looks from time to time.
    pub const WENT_AROUND: &str = "WENT_AROUND";
    /// ARRAY of [`Watch`](crate::watch::Watch): who watches decisions, and which.
    pub const WATCHES: &str = "WATCHES";
    /// Per-CPU ARRAY of [`Watched`](crate::watch::Watched), in the places of [`WATCHES`].
    pub const WATCHED: &str = "WATCHED";
    /// Ring buffer of [`Decision`](crate::watch::Decision). Not waked up for: the daemon looks from
    /// time to time.
    pub const DECISIONS: &str = "DECISIONS";
}

/// Most workers, and so heartbeat slots and listeners per family.
pub const MAX_WORKERS: u32 = 64;
/// Most interfaces with a role.
pub const MAX_INTERFACES: u32 = 256;
/// Most packets remembered that may come round, and most origins whose packets did; the oldest
/// goes first.
pub const MAX_SIGHTED: u32 = 1 << 12;
/// As above.
pub const MAX_LOOPING: u32 = 1 << 10;
/// Most clients, and most destinations, that are counted in
/// [`MODE_SHADOW`](crate::settings::MODE_SHADOW); the oldest goes first.
pub const MAX_SHADOWED: u32 = 1 << 12;
/// Most local routes.
pub const MAX_OWN_ADDRESSES: u32 = 1 << 16;
/// Flags of the arrays in [`map::BYPASS`]: `BPF_F_MMAPABLE | BPF_F_INNER_MAP`, so that the
/// daemon can write them in place, and that they may differ in size.
pub const BYPASS_FLAGS: u32 = 1 << 10 | 1 << 12;
/// Most bypass entries of a family.
pub const MAX_BYPASS: u32 = 1 << 20;
/// Most flows remembered as direct beside a dying socket of ours; the oldest goes first.
pub const MAX_DIRECT_FLOWS: u32 = 1 << 16;
/// Most stations behind a bridge's WAN ports.
pub const MAX_STATIONS: u32 = 1 << 16;
/// Most datagrams of which fragments are remembered; the oldest goes first.
pub const MAX_FRAGMENTS: u32 = 1 << 14;
/// Most watched ports.
pub const MAX_PORTS: usize = 8;
/// Most ports that are watched, or were when a connection may have begun.
pub const MAX_FOLLOWED_PORTS: usize = 16;
/// Octets of [`map::WENT_AROUND`], a power of two and of whole pages: 1365 flows. What has no
/// room is lost; each connect that goes on comes again with its next retransmission.
pub const WENT_AROUND_LEN: u32 = 1 << 16;
/// So many may watch decisions at once.
pub const MAX_WATCHES: u32 = 4;
/// Octets of [`map::DECISIONS`], a power of two and of whole pages: 3276 decisions.
pub const DECISIONS_LEN: u32 = 1 << 18;
