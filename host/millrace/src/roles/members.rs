//! Which member of which group a JobManager is, from its flags and options.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use millrace_metadata::{Formation, MemberAddresses, MemberId, MetadataOptions};

use crate::config::{self, Configuration};
use crate::roles::setup;

/// The metadata of a process below its data folder.
pub(crate) fn metadata_options(configuration: &Configuration, data_dir: &Path) -> Result<MetadataOptions> {
    let mut options = MetadataOptions::new(data_dir.join("metadata.redb"));
    let peers = parse_peers(configuration.text(config::RAFT_PEERS), configuration.text(config::REST_PORT))
        .context(config::RAFT_PEERS)?;
    let joins = configuration.flag(config::RAFT_JOIN)?.unwrap_or(false);
    let id = configuration.text(config::RAFT_ID);
    options.member = match id {
        "" if peers.is_empty() && !joins => options.member,
        "" => bail!("a member of a group needs its number: set --id ({})", config::RAFT_ID),
        text => text.parse().ok().filter(|id| *id > 0).with_context(|| {
            format!("{} is \"{text}\": ids of members are whole numbers and begin with 1", config::RAFT_ID)
        })?,
    };
    ensure!(!joins || peers.is_empty(), "--join waits for a group that there is: --peers is for forming a new one");
    if joins || peers.len() > 1 {
        ensure!(
            !configuration.text(config::HA_STORAGE_DIR).is_empty(),
            "the JobManagers of a group need a storage that all of them share: set {}",
            config::HA_STORAGE_DIR
        );
    }
    if joins {
        options.formation = Formation::Join;
    } else if !peers.is_empty() {
        ensure!(
            peers.contains_key(&options.member),
            "--id {} is not among the members that --peers names",
            options.member
        );
        options.formation = Formation::Bootstrap(peers);
    } else {
        // Where it can be reached, a group of one can grow.
        let addresses = own_addresses(configuration).unwrap_or_default();
        options.formation = Formation::Bootstrap(BTreeMap::from([(options.member, addresses)]));
    }
    Ok(options)
}

/// Whether there are, or will be, other members.
pub(crate) fn is_in_group(configuration: &Configuration) -> Result<bool> {
    let joins = configuration.flag(config::RAFT_JOIN)?.unwrap_or_default();
    Ok(joins || rpc_addresses(configuration)?.len() > 1)
}

/// Where others reach this process, if its options say so: an address for all interfaces or a free port do not.
fn own_addresses(configuration: &Configuration) -> Option<MemberAddresses> {
    let stated = |host, port| {
        let address = setup::address(configuration, host, port);
        let vague = configuration.text(port) == "0" || matches!(configuration.text(host), "0.0.0.0" | "::" | "[::]");
        (!vague).then_some(address)
    };
    let rpc = stated(config::RPC_ADDRESS, config::RPC_PORT)?;
    let rest = stated(config::REST_ADDRESS, config::REST_PORT).unwrap_or_default();
    Some(MemberAddresses { rpc, rest })
}

/// The RPC addresses of the members that a group begins with; none where a JobManager is alone or joins.
pub(crate) fn rpc_addresses(configuration: &Configuration) -> Result<Vec<String>> {
    let peers = parse_peers(configuration.text(config::RAFT_PEERS), configuration.text(config::REST_PORT));
    Ok(peers.context(config::RAFT_PEERS)?.into_values().map(|addresses| addresses.rpc).collect())
}

/// Reads `ID=HOST:RPC_PORT[:REST_PORT],…`.
fn parse_peers(text: &str, rest_port: &str) -> Result<BTreeMap<MemberId, MemberAddresses>> {
    let mut peers = BTreeMap::new();
    for peer in text.split(',').map(str::trim).filter(|peer| !peer.is_empty()) {
        let wrong = || format!("\"{peer}\" is no member: write ID=HOST:RPC_PORT or ID=HOST:RPC_PORT:REST_PORT");
        let (id, address) = peer.split_once('=').with_context(wrong)?;
        let id: MemberId = id.trim().parse().ok().filter(|id| *id > 0).with_context(wrong)?;
        let addresses = parse_addresses(address.trim(), rest_port).with_context(wrong)?;
        ensure!(peers.insert(id, addresses).is_none(), "member {id} is named twice");
    }
    Ok(peers)
}

/// Reads `HOST:RPC_PORT[:REST_PORT]`, where an IPv6 address stands in brackets.
pub(crate) fn parse_addresses(text: &str, rest_port: &str) -> Option<MemberAddresses> {
    // The brackets' own colons separate nothing.
    let host_end = match text.strip_prefix('[') {
        Some(_) => text.find(']')? + 1,
        None => text.find(':')?,
    };
    let (host, ports) = text.split_at_checked(host_end)?;
    let mut ports = ports.strip_prefix(':')?.splitn(2, ':');
    let rpc = ports.next()?;
    let rest = ports.next().unwrap_or(rest_port);
    let is_port = |port: &str| port.parse::<u16>().is_ok_and(|port| port > 0);
    let complete = !host.is_empty() && is_port(rpc) && is_port(rest);
    complete.then(|| MemberAddresses { rpc: format!("{host}:{rpc}"), rest: format!("{host}:{rest}") })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn members_are_read_with_and_without_a_rest_port() {
        let peers = parse_peers("1=jm-1:6123, 2=10.0.0.2:7000:8082,3=[::1]:6125:8083", "8081").unwrap();
        let of = |id| {
            let addresses: &MemberAddresses = &peers[&id];
            (addresses.rpc.as_str(), addresses.rest.as_str())
        };
        assert_eq!(of(1), ("jm-1:6123", "jm-1:8081"));
        assert_eq!(of(2), ("10.0.0.2:7000", "10.0.0.2:8082"));
        assert_eq!(of(3), ("[::1]:6125", "[::1]:8083"));
    }

    #[test]
    fn what_is_no_member_is_named_in_the_error() {
        for wrong in ["jm:6123", "x=jm:6123", "0=jm:6123", "1=jm", "1=:6123", "1=jm:0", "1=jm:6123:x", "1=[::1:6123"] {
            let error = parse_peers(wrong, "8081").unwrap_err().to_string();
            assert!(error.contains(wrong), "{error}");
        }
        let error = parse_peers("1=a:1,1=b:2", "8081").unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
    }

    #[test]
    fn a_group_is_told_what_it_lacks() {
        let of = |define: &[&str]| {
            let define: Vec<String> = define.iter().map(ToString::to_string).collect();
            metadata_options(&Configuration::load(None, &define).unwrap(), Path::new("/tmp"))
        };
        let peers = "high-availability.raft.peers=1=a:1,2=b:2,3=c:3";
        let error = |define: &[&str]| of(define).unwrap_err().to_string();
        assert!(error(&[peers]).contains("--id"));
        assert!(error(&[peers, "high-availability.raft.id=1"]).contains("high-availability.storageDir"));
        let shared = "high-availability.storageDir=/shared";
        assert!(error(&[peers, shared, "high-availability.raft.id=4"]).contains("not among"));
        assert_eq!(of(&[peers, shared, "high-availability.raft.id=2"]).unwrap().member, 2);
        let alone = of(&[]).unwrap().formation;
        let own = MemberAddresses { rpc: "127.0.0.1:6123".to_owned(), rest: "127.0.0.1:8081".to_owned() };
        assert_eq!(alone, Formation::Bootstrap(BTreeMap::from([(1, own)])));
    }
}
