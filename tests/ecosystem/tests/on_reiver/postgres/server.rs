//! A private Postgres: made in a temporary folder, on a loopback port of its own, gone with the test.

use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The superuser of the new cluster.
pub const USER: &str = "reiver";

pub struct Server {
    pub port: u16,
    process: Child,
    folder: PathBuf,
}

impl Server {
    /// Makes a cluster and starts it.
    ///
    /// # Errors
    ///
    /// Why this machine cannot: the tests are skipped then.
    pub fn start() -> Result<Self, String> {
        let binaries = binaries().ok_or("no /usr/lib/postgresql/*/bin/initdb")?;
        let folder = std::env::temp_dir().join(format!("reiver-postgres-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let mut server = Err("not tried".to_owned());
        // The port is free when it is chosen, and may be taken before it is used.
        for _ in 0..3 {
            server = launch(&binaries, &folder);
            if server.is_ok() {
                break;
            }
        }
        let (process, port) = server.inspect_err(|_| drop(fs::remove_dir_all(&folder)))?;
        Ok(Self { port, process, folder })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SIGINT is Postgres's fast shutdown: sessions are ended, and then all processes.
        let _ = kill_process(Pid::from_child(&self.process), Signal::INT);
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let mut folders: Vec<_> = versions.flatten().map(|v| v.path().join("bin")).collect();
    folders.sort();
    folders
        .into_iter()
        .rev()
        .find(|bin| bin.join("initdb").exists() && bin.join("postgres").exists())
}

/// `program`, as somebody else if this is root, whom Postgres refuses.
fn command(program: &Path, folder: &Path) -> Result<Command, String> {
    let owner = fs::metadata(folder).map_err(|e| e.to_string())?.uid();
    let myself = fs::metadata("/proc/self").map_or(owner, |meta| meta.uid());
    if myself != 0 {
        return Ok(Command::new(program));
    }
    const NOBODY: u32 = 65534;
    chown(folder, Some(NOBODY), Some(NOBODY)).map_err(|e| format!("chown: {e}"))?;
    let mut command = Command::new("setpriv");
    let nobody = NOBODY.to_string();
    command.args(["--reuid", &nobody, "--regid", &nobody, "--clear-groups"]);
    // Should this process be killed, its Postgres is too.
    command.args(["--pdeathsig", "INT", "--"]).arg(program);
    Ok(command)
}

fn launch(binaries: &Path, folder: &Path) -> Result<(Child, u16), String> {
    let data = folder.join("data");
    let data_text = data.to_str().ok_or("the temporary folder has no UTF-8 name")?;
    if !data.exists() {
        let made = command(&binaries.join("initdb"), folder)?
            .args(["-D", data_text, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C"])
            .args(["--no-sync", "--no-instructions"])
            .current_dir(folder)
            .output()
            .map_err(|e| format!("initdb: {e}"))?;
        if !made.status.success() {
            return Err(format!("initdb: {}", String::from_utf8_lossy(&made.stderr)));
        }
    }
    let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr());
    let port = port.map_err(|e| e.to_string())?.port();
    let log = folder.join("log");
    let file = fs::File::create(&log).map_err(|e| e.to_string())?;
    let mut process = command(&binaries.join("postgres"), folder)?
        .args(["-D", data_text, "-p", &port.to_string()])
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="])
        .args(["-c", "fsync=off", "-c", "max_connections=20"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(file)
        .spawn()
        .map_err(|e| format!("postgres: {e}"))?;
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let said = fs::read_to_string(&log).unwrap_or_default();
        let up = said.contains("ready to accept connections")
            && TcpStream::connect(("127.0.0.1", port)).is_ok();
        if up {
            return Ok((process, port));
        }
        let ended = process.try_wait().map_err(|e| e.to_string())?.is_some();
        if ended || Instant::now() > deadline {
            let _ = process.kill();
            let _ = process.wait();
            return Err(format!("postgres does not start:\n{said}"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
