//! Where the ledger's bytes lie: in its file, or on a sheet laid over that file, thrown away at the end.
//!
//! The sheet is how `--dry-run` gets a ledger that behaves as the real one in every way and leaves the
//! file as it is: blocks that are written go to an unnamed temporary file, the others show the file
//! below. So its memory does not grow with what is planned.

use super::heir;
use redb::backends::FileBackend;
use redb::{Builder, Database, StorageBackend};
use std::{
    collections::HashSet,
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A place for one database.
pub(super) trait Medium: Send + Sync + 'static {
    /// Opens the database, or begins one if there are no bytes.
    fn open(&self, cache_bytes: usize) -> Result<Database, redb::Error>;

    /// Takes the bytes away, so that the next `open` begins anew. Where they are now, if they are kept.
    fn set_aside(&self, kind: &str) -> io::Result<Option<PathBuf>>;

    /// For messages.
    fn name(&self) -> String;
}

/// A file of its own.
pub(super) struct OnDisk(pub(super) PathBuf);

impl Medium for OnDisk {
    fn open(&self, cache_bytes: usize) -> Result<Database, redb::Error> {
        let path = &self.0;
        refuse_odd_kinds(path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false).mode(0o600);
        let file = options.open(path).map_err(redb::Error::Io)?;
        heir::file(&file, path);
        if file.metadata().map_err(redb::Error::Io)?.len() == 0 {
            sync_directory(path).map_err(redb::Error::Io)?;
        }
        let backend = FileBackend::new(file)?;
        Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(backend)?)
    }

    fn set_aside(&self, kind: &str) -> io::Result<Option<PathBuf>> {
        let mut name = self.0.clone().into_os_string();
        name.push(format!(".{kind}-"));
        for n in 1u64.. {
            let mut aside = name.clone();
            aside.push(n.to_string());
            let aside = PathBuf::from(aside);
            // we hold the lock: nobody else takes the name meanwhile
            if fs::symlink_metadata(&aside).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
                fs::rename(&self.0, &aside)?;
                sync_directory(&aside)?;
                return Ok(Some(aside));
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn name(&self) -> String {
        self.0.display().to_string()
    }
}

/// A FIFO would be opened, and never be a ledger.
fn refuse_odd_kinds(path: &Path) -> Result<(), redb::Error> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(redb::Error::Corrupted("it is not a regular file".into())),
        Err(e) if e.kind() != ErrorKind::NotFound => Err(redb::Error::Io(e)),
        _ => Ok(()),
    }
}

fn sync_directory(of: &Path) -> io::Result<()> {
    match of.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

/// What is written at a time, at least: a page of the database.
const BLOCK: u64 = 4096;

/// A sheet over a file, or over nothing. Clones share it.
#[derive(Clone)]
pub(super) struct Sheet(Arc<Mutex<Inner>>);

struct Inner {
    /// What shows where nothing was written; never written to.
    below: Option<File>,
    /// Bytes of it that show.
    shown: u64,
    /// Has no name, and goes when it is closed. As long as the whole.
    above: File,
    /// Blocks that were written.
    written: HashSet<u64>,
    length: u64,
}

impl Sheet {
    /// Over `file`, if that is there.
    pub(super) fn over(file: Option<&Path>) -> io::Result<Self> {
        let below = match file.map(File::open) {
            Some(Err(e)) if e.kind() == ErrorKind::NotFound => None,
            found => found.transpose()?,
        };
        let length = below.as_ref().map_or(Ok(0), |file| file.metadata().map(|m| m.len()))?;
        let above = unnamed()?;
        above.set_len(length)?;
        let inner = Inner { below, shown: length, above, written: HashSet::new(), length };
        Ok(Self(Arc::new(Mutex::new(inner))))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unnamed() -> io::Result<File> {
    let name = format!("s3mirrord-{}-{:016x}", std::process::id(), random());
    let path = std::env::temp_dir().join(name);
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// Random bits, of the kernel.
pub(super) fn random() -> u64 {
    getrandom::u64().expect("the kernel gives random bits once it has booted")
}

impl Medium for Sheet {
    fn open(&self, cache_bytes: usize) -> Result<Database, redb::Error> {
        Ok(Builder::new().set_cache_size(cache_bytes).create_with_backend(self.clone())?)
    }

    fn set_aside(&self, _kind: &str) -> io::Result<Option<PathBuf>> {
        self.inner().below = None;
        StorageBackend::set_len(self, 0).map(|()| None)
    }

    fn name(&self) -> String {
        "the ledger's throw-away copy".to_owned()
    }
}

impl Inner {
    /// One block as it reads now, zeros where there is nothing.
    fn block(&self, block: u64) -> io::Result<[u8; BLOCK as usize]> {
        let mut out = [0; BLOCK as usize];
        let (file, end) = match &self.below {
            _ if self.written.contains(&block) => (&self.above, self.length),
            Some(below) => (below, self.shown),
            None => return Ok(out),
        };
        let at = block * BLOCK;
        let there = end.saturating_sub(at).min(BLOCK) as usize;
        file.read_exact_at(&mut out[..there], at)?;
        Ok(out)
    }
}

impl StorageBackend for Sheet {
    fn len(&self) -> io::Result<u64> {
        Ok(self.inner().length)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let inner = self.inner();
        if offset + out.len() as u64 > inner.length {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        let mut done = 0;
        while done < out.len() {
            let at = offset + done as u64;
            let from = (at % BLOCK) as usize;
            let n = (BLOCK as usize - from).min(out.len() - done);
            out[done..done + n].copy_from_slice(&inner.block(at / BLOCK)?[from..from + n]);
            done += n;
        }
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut inner = self.inner();
        inner.above.set_len(length)?;
        inner.written.retain(|block| block * BLOCK < length);
        inner.shown = inner.shown.min(length);
        inner.length = length;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut inner = self.inner();
        let end = offset + data.len() as u64;
        for block in offset / BLOCK..end.div_ceil(BLOCK) {
            let (first, last) = (block * BLOCK, (block + 1) * BLOCK);
            if (first < offset || end < last) && !inner.written.contains(&block) {
                let there = inner.length.min(last).saturating_sub(first) as usize;
                inner.above.write_all_at(&inner.block(block)?[..there], first)?;
            }
        }
        inner.above.write_all_at(data, offset)?;
        inner.written.extend(offset / BLOCK..end.div_ceil(BLOCK));
        inner.length = inner.length.max(end);
        Ok(())
    }
}

impl fmt::Debug for Sheet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = self.inner();
        write!(f, "a sheet of {} bytes, {} blocks written", inner.length, inner.written.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, Vec<u8>),
        Length(u64),
    }

    fn any_step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => (0..20_000u64, proptest::collection::vec(1..=255u8, 1..9000)).prop_map(|(o, d)| Step::Write(o, d)),
            1 => (0..25_000u64).prop_map(Step::Length),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_sheet_reads_as_a_file_would_and_leaves_the_one_below_alone(
            below in proptest::collection::vec(1..=255u8, 0..15_000),
            steps in proptest::collection::vec(any_step(), 1..12),
        ) {
            let dir = tempfile::tempdir().expect("a directory");
            let path = dir.path().join("below");
            fs::write(&path, &below).expect("written");
            let sheet = Sheet::over(Some(&path)).expect("over it");
            let mut want = below.clone();
            for step in steps {
                match step {
                    Step::Write(offset, data) => {
                        let end = offset as usize + data.len();
                        want.resize(want.len().max(end), 0);
                        want[offset as usize..end].copy_from_slice(&data);
                        StorageBackend::write(&sheet, offset, &data).expect("written");
                    }
                    Step::Length(length) => {
                        want.resize(length as usize, 0);
                        sheet.set_len(length).expect("set");
                    }
                }
                let mut got = vec![9; StorageBackend::len(&sheet).expect("a length") as usize];
                sheet.read(0, &mut got).expect("read");
                prop_assert!(got == want);
                prop_assert!(sheet.read(want.len() as u64, &mut [0]).is_err());
            }
            prop_assert!(fs::read(&path).expect("still there") == below);
        }
    }

    #[test]
    fn nothing_is_overwritten_when_files_are_set_aside() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("l");
        let medium = OnDisk(path.clone());
        for text in ["one", "two"] {
            fs::write(&path, text).expect("written");
            let aside = medium.set_aside("corrupt").expect("moved").expect("kept");
            assert_eq!(fs::read_to_string(aside).expect("there"), text);
        }
        assert!(dir.path().join("l.corrupt-1").exists() && dir.path().join("l.corrupt-2").exists());
    }
}
