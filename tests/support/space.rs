//! Namespaces of their own: what is mounted, limited or named in there is seen by whoever is told to enter, and
//! gone with the value. Nobody else is touched.

use super::{bench::behind, skip};
use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

/// Namespaces, held by a process that waits.
pub struct Space {
    keeper: Child,
    kinds: &'static [&'static str],
}

impl Space {
    /// New ones of these kinds, as unshare(1) and nsenter(1) name them, after `script` was run in there. `None`, said,
    /// where they cannot be had.
    pub fn new(kinds: &'static [&'static str], script: &str) -> Option<Self> {
        // its stdin is ours: it ends when we do, however that is
        let script = format!("{script}\necho ready; cat > /dev/null");
        let mut unshare = Command::new("unshare");
        unshare.args(kinds).args(["sh", "-ec", &script]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = match unshare.spawn() {
            Ok(keeper) => keeper,
            Err(error) => {
                skip(&format!("unshare: {error}"));
                return None;
            }
        };
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        if line != "ready\n" {
            let _ = keeper.wait();
            skip(&format!("there are no namespaces {kinds:?}, or not with: {script}"));
            return None;
        }
        Some(Self { keeper, kinds })
    }

    /// One of mounts.
    pub fn of_mounts() -> Option<Self> {
        Self::new(&["--mount", "--propagation=private"], "")
    }

    fn nsenter(&self) -> Command {
        let mut nsenter = Command::new("nsenter");
        nsenter.args(["--target", &self.keeper.id().to_string()]);
        nsenter
            .args(self.kinds.iter().filter(|kind| !kind.starts_with("--map") && !kind.starts_with("--prop")));
        nsenter
    }

    /// The same command in there.
    pub fn enter(&self, command: tokio::process::Command) -> tokio::process::Command {
        behind(self.nsenter().into(), command)
    }

    /// Runs a script in there, with these words as `$1`, … True if it went well.
    pub fn try_do(&self, script: &str, words: &[&Path]) -> bool {
        let status = self.nsenter().args(["sh", "-ec", script, "sh"]).args(words).status().unwrap();
        status.success()
    }

    /// The same; it goes well.
    pub fn run(&self, script: &str, words: &[&Path]) {
        assert!(self.try_do(script, words), "{script} {words:?}");
    }

    /// A path, as it is seen in there.
    pub fn at(&self, path: &Path) -> PathBuf {
        Path::new("/proc")
            .join(self.keeper.id().to_string())
            .join("root")
            .join(path.strip_prefix("/").unwrap())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}
