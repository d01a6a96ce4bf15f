//! A real S3 server on this machine for a test: SeaweedFS, which `scripts/setup` installs as `weed`.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long the server may take to answer. Idle machines need about three seconds.
const STARTUP_MAX: Duration = Duration::from_secs(60);

/// How often it is started anew where another process took one of its ports.
const STARTS_MAX: u32 = 3;

/// The ports of the master, the volumes, the filer and S3, each with one for gRPC.
const PORTS: [&str; 8] = [
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
];

/// A server with one bucket, [`S3Server::BUCKET`]. It and all that it has go when this is dropped.
#[derive(Debug)]
pub struct S3Server {
    process: Child,
    folder: tempfile::TempDir,
    ports: Vec<u16>,
}

impl S3Server {
    /// The bucket.
    pub const BUCKET: &str = "millrace-test";
    /// The id of the key.
    pub const ACCESS_KEY: &str = "test-access";
    /// The key.
    pub const SECRET_KEY: &str = "test-secret";

    /// Starts a server and waits until it answers. Blocks.
    ///
    /// # Errors
    /// If there is no such program, or it does not come up.
    pub fn start() -> io::Result<Self> {
        let mut last = io::Error::other("it was never started");
        for _ in 0..STARTS_MAX {
            match Self::start_once() {
                Ok(server) => return Ok(server),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(io::Error::other("there is no S3 server to test with: run scripts/setup"));
                }
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    fn start_once() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("s3.json");
        let identity = format!(
            r#"{{"identities":[{{"name":"test","credentials":[{{"accessKey":"{}","secretKey":"{}"}}],"actions":["Admin"]}}]}}"#,
            Self::ACCESS_KEY,
            Self::SECRET_KEY
        );
        fs::write(&config, identity)?;
        let data = folder.path().join("data");
        fs::create_dir(&data)?;
        let ports = free_ports(PORTS.len())?;
        let mut command = bound_to_this_thread("weed");
        command.args(["server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3", "-s3.iam=false"]);
        // It speaks to nobody else, and takes no well-known ports.
        command.args(["-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0"]);
        command.args(["-volume.max=20", "-volume.minFreeSpace=0", "-master.volumeSizeLimitMB=64"]);
        command.arg(format!("-dir={}", data.display())).arg(format!("-s3.config={}", config.display()));
        command.args(PORTS.iter().zip(&ports).map(|(name, port)| format!("-{name}={port}")));
        let log = fs::File::create(folder.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let process = command.current_dir(folder.path()).spawn()?;
        let mut server = Self { process, folder, ports };
        server.wait_for_bucket()?;
        Ok(server)
    }

    fn wait_for_bucket(&mut self) -> io::Result<()> {
        let give_up = Instant::now() + STARTUP_MAX;
        let (filer, s3) = (self.ports[4], self.ports[6]);
        // A bucket is a folder of the filer, which may be there already; S3 itself would want a signature.
        let bucket = format!("/buckets/{}/", Self::BUCKET);
        loop {
            let made = ask(filer, "POST", &bucket).is_ok_and(|status| matches!(status, 200..300 | 409));
            if made && ask(s3, "GET", "/").is_ok() {
                return Ok(());
            }
            let ended = self.process.try_wait()?;
            if ended.is_some() || Instant::now() > give_up {
                let log = fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
                let tail: Vec<&str> = log.lines().rev().take(10).collect();
                return Err(io::Error::other(format!("the S3 server did not come up ({ended:?}): {tail:#?}")));
            }
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    /// The URL of S3.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[6])
    }

    /// A prefix of the bucket.
    pub fn prefix(&self, name: &str) -> String {
        format!("s3://{}/{name}", Self::BUCKET)
    }
}

/// A command whose process dies with the thread that starts it, where the machine has `setpriv`.
fn bound_to_this_thread(program: &str) -> Command {
    let setpriv = Path::new("/usr/bin/setpriv");
    let found =
        std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).exists()));
    if !setpriv.exists() || !found {
        return Command::new(program);
    }
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", "KILL", "--", program]);
    command
}

impl Drop for S3Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
        for (name, port) in PORTS.iter().zip(&self.ports) {
            // It also listens there, wherever its folder is.
            let part = name.split('.').next().unwrap_or_default();
            let _ = fs::remove_file(Path::new("/tmp").join(format!("seaweedfs-{part}-grpc-{port}.sock")));
            let _ = fs::remove_file(Path::new("/tmp").join(format!("seaweedfs-{part}-{port}.sock")));
        }
    }
}

/// Ports that nobody has: held together until all are found, so that they differ.
fn free_ports(count: usize) -> io::Result<Vec<u16>> {
    let held: Vec<_> = (0..count).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect::<io::Result<_>>()?;
    held.iter().map(|listener| Ok(listener.local_addr()?.port())).collect()
}

/// The status of a request without a body.
fn ask(port: u16, method: &str, path: &str) -> io::Result<u16> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
    let mut answer = String::new();
    stream.take(4096).read_to_string(&mut answer)?;
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other(format!("no answer of HTTP: {answer}")))
}
