//! The network between JobManagers is cut: a leader that is cut off stops leading before another one does, whatever its
//! tasks do; healing converges, and nothing is committed twice.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use millrace_client::{Client, ClientOptions};
use millrace_tests::network::Network;
use millrace_tests::ports::free_address;
use millrace_tests::process::PATIENCE;
use millrace_tests::processes::Processes;
use millrace_tests::wait;

use crate::group::{IMPATIENT, OPTIONS, run};

/// A group behind relays.
async fn start(folder: &std::path::Path, options: &[&str]) -> Result<(Processes, Network)> {
    let addresses = (0..3).map(|_| Ok((free_address()?, free_address()?)));
    let addresses: Vec<(String, String)> = addresses.collect::<Result<_>>()?;
    let behind: Vec<String> = addresses.iter().map(|(_, rpc)| rpc.clone()).collect();
    let network = Network::new(&behind)?;
    let cluster = Processes::start_group_before(folder, &addresses, &network.reached, options)?;
    Ok((cluster.with_task_managers(3, 2).await?, network))
}

/// A client of one member that does not ask twice, and waits for so long.
fn client_of(cluster: &Processes, which: usize, request_timeout: Duration) -> Result<Client> {
    let request_timeout_ms = u64::try_from(request_timeout.as_millis())?;
    let options = ClientOptions { retry_timeout_ms: 0, request_timeout_ms, ..ClientOptions::default() };
    Ok(Client::new(&cluster.job_managers[which].rest, &options)?)
}

/// Cuts a member off from the others, both ways.
fn cut_off(cluster: &Processes, network: &Network, which: usize) {
    for other in (0..3).filter(|other| *other != which) {
        network.cut(cluster.job_managers[which].id(), other);
        network.cut(cluster.job_managers[other].id(), which);
    }
}

/// Who leads, as the others say it.
async fn next_leader(cluster: &Processes, cut_off: usize) -> Result<usize> {
    let old = client_of(cluster, cut_off, PATIENCE)?;
    wait::until("another one to lead", async || {
        for other in (0..3).filter(|other| *other != cut_off) {
            // It may ask the one that is cut off, in vain.
            let other = client_of(cluster, other, Duration::from_secs(2))?;
            if let Ok(group) = other.members().await
                && let Some(leader) = group.leader
                && leader != cut_off as u64 + 1
                // A leader answers what is asked of a leader.
                && other.overview().await.is_ok()
            {
                let refused = old.overview().await;
                ensure!(
                    refused.as_ref().is_err_and(|error| error.is_status(503)),
                    "member {leader} leads while member {} does: {refused:?}",
                    cut_off + 1
                );
                return Ok(Some(usize::try_from(leader)? - 1));
            }
        }
        Ok(None)
    })
    .await
}

#[tokio::test]
async fn a_leader_that_is_cut_off_from_its_peers_stops_before_another_one_leads() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut cluster, network) = start(folder.path(), &OPTIONS).await?;
    let query = run(&cluster, folder.path(), "q5").await?;
    query.go_on(&cluster, 1).await?;
    let before = query.attempts(&cluster).await?;
    for _ in 0..2 {
        let old = cluster.leader().await?;
        // Its TaskManagers and its clients still reach it.
        cut_off(&cluster, &network, old);
        let next = next_leader(&cluster, old).await?;
        let rest = cluster.job_managers[next].rest.clone();
        cluster.speak_to(&rest)?;
        query.go_on(&cluster, 2).await?;
        query.still_runs(&cluster).await?;
        assert_eq!(query.attempts(&cluster).await?, before, "a task was restarted");
        network.heal();
        cluster.agree().await?;
        // The one that was cut off takes requests to the leader.
        let rest = cluster.job_managers[old].rest.clone();
        cluster.speak_to(&rest)?;
    }
    query.is_exact(&cluster).await
}

#[tokio::test]
async fn a_leader_that_is_cut_off_with_a_task_manager_commits_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (mut cluster, network) = start(folder.path(), &IMPATIENT).await?;
    let query = run(&cluster, folder.path(), "q8").await?;
    query.go_on(&cluster, 1).await?;
    let old = cluster.leader().await?;
    let island = cluster.running(&query.job).await?;
    let process = cluster.task_managers.get(island).context("a TaskManager")?.id();
    cut_off(&cluster, &network, old);
    for other in (0..3).filter(|other| *other != old) {
        network.cut(process, other);
    }
    let next = next_leader(&cluster, old).await?;
    let rest = cluster.job_managers[next].rest.clone();
    cluster.speak_to(&rest)?;
    // The others have slots enough: the job goes on without the island, whose tasks work on for nobody.
    query.go_on(&cluster, 2).await?;
    query.still_runs(&cluster).await?;
    network.heal();
    cluster.wait_for_slots(3, 6 - 2).await?;
    query.is_exact(&cluster).await
}
