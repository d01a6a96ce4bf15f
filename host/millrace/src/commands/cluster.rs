//! `millrace cluster`: the group of JobManagers.

use anyhow::{Context, Result};
use millrace_client::api::{GroupInfo, MemberInfo, NewAddresses, NewMember};

use crate::cli::{Cluster, ClusterAction, MemberArgs};
use crate::commands::{client, print_json};
use crate::progress::println_stdout;
use crate::roles::parse_addresses;

/// The REST port of a member for which none is stated.
const REST_PORT: &str = "8081";

pub(crate) async fn run(options: Cluster) -> Result<()> {
    match options.action {
        ClusterAction::Status { cluster } => {
            let group = client(&cluster)?.members().await?;
            if cluster.json {
                return print_json(&group);
            }
            show(&group);
            Ok(())
        }
        ClusterAction::Add(member) => {
            let (rpc, rest) = addresses(&member)?;
            client(&member.cluster)?.add_member(&NewMember { id: member.id, rpc, rest }).await?;
            done(&member, "is a member and votes")
        }
        ClusterAction::Readdress(member) => {
            let (rpc, rest) = addresses(&member)?;
            client(&member.cluster)?.readdress_member(member.id, &NewAddresses { rpc, rest }).await?;
            done(&member, "is reached there from now on")
        }
        ClusterAction::Remove { id, cluster } => {
            client(&cluster)?.remove_member(id).await?;
            if !cluster.json {
                println_stdout(&format!("Member {id} is removed. Its process can be stopped."));
            }
            Ok(())
        }
    }
}

fn done(member: &MemberArgs, what: &str) -> Result<()> {
    if !member.cluster.json {
        println_stdout(&format!("Member {} at {} {what}.", member.id, member.address));
    }
    Ok(())
}

fn addresses(member: &MemberArgs) -> Result<(String, String)> {
    let found = parse_addresses(&member.address, REST_PORT);
    let found = found.with_context(|| format!("{} is not HOST:RPC_PORT[:REST_PORT]", member.address))?;
    Ok((found.rpc, found.rest))
}

fn show(group: &GroupInfo) {
    match group.leader {
        Some(leader) => println_stdout(&format!("Member {leader} leads (term {}).", group.term)),
        None => println_stdout(&format!(
            "No member leads, as member {} sees it: see that most of them run and reach each other.",
            group.answered_by
        )),
    }
    for member in &group.members {
        println_stdout(&line(member));
    }
}

fn line(member: &MemberInfo) -> String {
    let or_none = |address: &str| if address.is_empty() { "no address".to_owned() } else { address.to_owned() };
    let state = match (member.reachable, member.lag) {
        (Some(false), _) => "not reached".to_owned(),
        (_, Some(0)) => "up to date".to_owned(),
        (_, Some(lag)) => format!("{lag} entries behind"),
        _ => String::new(),
    };
    format!("{:<4} {:<8} {:<24} {:<24} {state}", member.id, member.role, or_none(&member.rpc), or_none(&member.rest))
        .trim_end()
        .to_owned()
}
