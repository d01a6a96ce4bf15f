//! Bytes that no peer of this version sends, thrown at the ports of live processes: seeded, and replayed by the seed.

use anyhow::{Context, Result};
use millrace_tests::jobs::Run;
use millrace_tests::processes::Processes;
use millrace_tests::{repository, rows};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Connections per port.
const CONNECTIONS: usize = 60;

/// Bytes of a connection that are recorded, to be damaged and replayed.
const RECORDED_BYTES: usize = 4096;

/// What a real TaskManager says first to a JobManager.
async fn recorded_hello() -> Result<Vec<u8>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let folder = tempfile::tempdir()?;
    let mut process = std::process::Command::new(repository::millrace()?)
        .args(["taskmanager", "--jobmanager", &address, "--slots", "1", "--data-dir"])
        .arg(folder.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()?;
    let (mut stream, _) = listener.accept().await?;
    let mut bytes = vec![0; RECORDED_BYTES];
    let count = stream.read(&mut bytes).await?;
    process.kill()?;
    process.wait()?;
    bytes.truncate(count);
    Ok(bytes)
}

/// Random bytes, or a recording that was cut, changed or repeated.
fn damaged(rng: &mut StdRng, recording: &[u8]) -> Vec<u8> {
    let mut bytes = recording.to_vec();
    match rng.random_range(0..4) {
        0 => bytes.truncate(rng.random_range(0..=recording.len())),
        1 => bytes.extend_from_slice(recording),
        2 => {
            for _ in 0..rng.random_range(1..8) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] ^= 1 << rng.random_range(0..8);
            }
        }
        _ => {
            bytes = vec![0; rng.random_range(1..2 * RECORDED_BYTES)];
            rng.fill(&mut bytes[..]);
        }
    }
    bytes
}

async fn bombard(address: &str, recording: &[u8], rng: &mut StdRng) -> Result<()> {
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await?;
        // The process may hang up at any byte.
        let _ = stream.write_all(&damaged(rng, recording)).await;
        // Some connections are left open, half said.
        if rng.random_ratio(1, 4) {
            open.push(stream);
        }
    }
    Ok(())
}

#[tokio::test]
async fn garbage_on_every_port_disturbs_nobody() -> Result<()> {
    let seed = rand::random::<u64>();
    println!("seed {seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir()?;
    let mut cluster = Processes::start(folder.path(), 2, 2, &["--file-root", "/"]).await?;
    let faulty = repository::bundle("faulty")?;
    let running = cluster.run(&faulty, Run { args: vec!["passes"], parallelism: 2, ..Run::default() }).await?;
    cluster.wait_running(&running).await?;
    let hello = recorded_hello().await?;
    bombard(cluster.rpc_address(), &hello, &mut rng).await?;
    bombard(&cluster.address(), &hello, &mut rng).await?;
    for task_manager in cluster.client.task_managers().await?.taskmanagers {
        bombard(&format!("127.0.0.1:{}", task_manager.data_port), &hello, &mut rng).await?;
        let refused =
            &cluster.client.task_manager_metrics(&task_manager.id, &["Status.Millrace.RefusedFrames"]).await?;
        refused.first().and_then(|metric| metric.value.as_ref()).context("no count of refused frames")?;
    }
    assert!(cluster.job_manager().is_alive(), "seed {seed}");
    assert!(cluster.task_managers.iter_mut().all(|process| process.is_alive()), "seed {seed}");

    // What ran goes on, and what comes runs, over the same ports.
    let read = cluster.client.job(&running).await?.vertices[1].metrics.read_records;
    cluster.wait_for(&running, |details| details.vertices[1].metrics.read_records > read).await?;
    cluster.client.cancel(&running).await?;
    cluster.wait_for_slots(2, 4).await?;
    let (input, output) = (repository::data("text/emma.txt")?, folder.path().join("rows"));
    let args = vec!["--input", input.to_str().unwrap(), "--output", output.to_str().unwrap()];
    let run = Run { args, parallelism: 4, ..Run::default() };
    let job = cluster.run(&repository::bundle("wordcount")?, run).await?;
    cluster.wait_finished(&job).await?;
    let program = repository::root().join("tests/expected/wordcount.py");
    assert!(rows::sorted_rows(&output)? == rows::sorted_output(&program, &[&input])?, "seed {seed}");
    Ok(())
}
