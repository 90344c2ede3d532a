//! The sink: a bounded queue in front of one thread that writes.
//!
//! The thread blocks on the file, never a core. A failed write is retried from the byte it stopped
//! at, so that no partial line is ever followed by another; meanwhile the queue fills and
//! `when_full` decides. Lines are never reordered.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use super::Line;
use super::queue::{Full, Place, Queue, Sender};
use crate::config::{self, AuditSink, Fault};
use crate::telemetry::Metrics;

/// How long a request waits for a place in a full queue before it is refused.
const FULL_WAIT: Duration = Duration::from_secs(1);
/// Pause between two attempts at a sink that fails.
const RETRY: Duration = Duration::from_millis(200);
/// How long a failing sink is retried once the gateway is stopping.
const LAST_RETRIES: u32 = 5;
/// Lines after which the next ones are written without a pause.
const BATCH: usize = 1024;
/// Pause after a write, in which lines gather: to be woken for every single line would cost a request
/// more than its decision does. A process that is killed loses at most this much and the queue.
const GATHER: Duration = Duration::from_millis(5);
/// Writes between two looks at whether the file was moved away.
const LOOK_EVERY: u32 = 256;

/// The queue is full and stayed full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the audit queue is full")]
pub struct AuditError;

/// The gateway's end of the queue.
#[derive(Debug)]
pub struct Audit {
    queue: Sender,
    block: bool,
    metrics: Arc<Metrics>,
}

/// A place in the queue, taken before the request is acted on.
#[derive(Debug)]
#[must_use = "a slot that is not filled leaves a decision without its line"]
pub struct Slot<'a> {
    place: Option<Place<'a>>,
    metrics: &'a Metrics,
}

impl Audit {
    /// Opens the sink and starts its thread, which ends when every handle is gone and the queue is
    /// written.
    pub fn build(
        config: &config::Audit,
        metrics: Arc<Metrics>,
    ) -> Result<(Self, JoinHandle<()>), Vec<Fault>> {
        let sink = Sink::open(&config.sink).map_err(|error| {
            vec![Fault::new(
                &config.at.key("sink"),
                format!("the audit file cannot be opened: {error}"),
                "name a file in a folder that this process may write to",
            )]
        })?;
        let (queue, lines) = Sender::new();
        let writer = Writer {
            sink,
            lines,
            metrics: Arc::clone(&metrics),
            block: config.block_when_full,
        };
        let thread = std::thread::Builder::new()
            .name("audit".into())
            .spawn(move || writer.run())
            .map_err(|error| {
                vec![Fault::new(
                    &config.at,
                    format!("the audit thread cannot be started: {error}"),
                    "free some threads",
                )]
            })?;
        let audit = Self {
            queue,
            block: config.block_when_full,
            metrics,
        };
        Ok((audit, thread))
    }

    /// Takes a place in the queue. With `when_full: block` it waits a moment for one, then fails;
    /// with `drop` it always succeeds, and the line may be dropped and counted.
    pub async fn reserve(&self) -> Result<Slot<'_>, AuditError> {
        let place = match Place::of(&self.queue) {
            Ok(place) => Some(place),
            Err(Full) if !self.block => None,
            // Boxed: rare, and its future would be a large part of every request's.
            Err(Full) => {
                let waited = Box::pin(tokio::time::timeout(
                    FULL_WAIT,
                    Place::wait_for(&self.queue),
                ))
                .await;
                Some(waited.map_err(|_| AuditError)?)
            }
        };
        Ok(self.slot(place))
    }

    /// Puts a line into the queue if there is room, else counts it as dropped: for what has no
    /// request that could wait, such as the refusal that says the queue is full.
    pub fn offer(&self, line: &Line) {
        self.slot(Place::of(&self.queue).ok()).fill(line);
    }

    fn slot<'a>(&'a self, place: Option<Place<'a>>) -> Slot<'a> {
        Slot {
            place,
            metrics: &self.metrics,
        }
    }
}

impl Slot<'_> {
    /// Fills the place with its line.
    pub fn fill(self, line: &Line) {
        match self.place {
            Some(place) => place.fill(|text| line.write(text)),
            None => {
                self.metrics.audit_dropped.inc();
            }
        }
    }
}

struct Writer {
    sink: Sink,
    lines: Arc<Queue>,
    metrics: Arc<Metrics>,
    block: bool,
}

impl Writer {
    fn run(mut self) {
        let mut text = Vec::new();
        while let Some(count) = self.lines.take(&mut text) {
            if self.write(&text) {
                self.metrics.audit_lines.inc_by(count as u64);
            } else {
                self.metrics.audit_dropped.inc_by(count as u64);
            }
            self.lines.written(count);
            if count < BATCH && !self.lines.is_closed() {
                std::thread::sleep(GATHER);
            }
        }
    }

    /// Writes whole lines; `false` when they had to be given up.
    fn write(&mut self, text: &[u8]) -> bool {
        let mut rest = text;
        let mut failures = 0_u32;
        while !rest.is_empty() {
            let begins = rest.len() == text.len();
            match self.sink.write(rest, begins) {
                Ok(written) => {
                    rest = rest.get(written..).unwrap_or_default();
                    failures = 0;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    if failures == 0 {
                        tracing::error!(%error, "the audit sink fails");
                    }
                    failures += 1;
                    // A line that has begun is always finished before anything else is written.
                    let stopping = self.lines.is_closed() && failures > LAST_RETRIES;
                    if stopping || (!self.block && begins) {
                        return false;
                    }
                    std::thread::sleep(RETRY);
                }
            }
        }
        true
    }
}

enum Sink {
    /// Without the buffer of `io::Stdout`: what a failed write has left in there would be written
    /// twice.
    Stdout(File),
    File {
        path: PathBuf,
        file: File,
        size: u64,
        rotate: Option<u64>,
        since_look: u32,
    },
}

impl Sink {
    fn open(config: &AuditSink) -> io::Result<Self> {
        match config {
            AuditSink::Stdout => {
                let stdout = io::stdout().as_fd().try_clone_to_owned()?;
                Ok(Self::Stdout(File::from(stdout)))
            }
            AuditSink::File { path, rotate } => {
                let (file, size) = append(path)?;
                Ok(Self::File {
                    path: path.clone(),
                    file,
                    size,
                    rotate: *rotate,
                    since_look: 0,
                })
            }
        }
    }

    /// Writes a part; only where a line `begins` may the file become another one.
    fn write(&mut self, text: &[u8], begins: bool) -> io::Result<usize> {
        match self {
            Self::Stdout(stdout) => stdout.write(text),
            Self::File {
                path,
                file,
                size,
                rotate,
                since_look,
            } => {
                *since_look = since_look.saturating_add(1);
                let full = begins && rotate.is_some_and(|limit| *size >= limit);
                let look = begins && *since_look >= LOOK_EVERY;
                if full {
                    std::fs::rename(&*path, rotated(path))?;
                }
                // Also after somebody else moved the file away, as logrotate does.
                if full || (look && moved_away(path, file)) {
                    (*file, *size) = append(path)?;
                }
                if look {
                    *since_look = 0;
                }
                let written = file.write(text)?;
                *size += written as u64;
                Ok(written)
            }
        }
    }
}

fn append(path: &Path) -> io::Result<(File, u64)> {
    let file = OpenOptions::new().create(true).append(true).open(path)?;
    let size = file.metadata()?.len();
    Ok((file, size))
}

fn rotated(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".1");
    PathBuf::from(name)
}

fn moved_away(path: &Path, file: &File) -> bool {
    match (std::fs::metadata(path), file.metadata()) {
        (Ok(there), Ok(here)) => there.ino() != here.ino() || there.dev() != here.dev(),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    /// Standard output as a supervisor's pipe that is full now and then.
    #[test]
    fn a_stream_that_takes_parts_gets_every_line_once() {
        const LINES: usize = 4000;
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let (queue, lines) = Sender::new();
        let mut expected = Vec::new();
        for number in 0..LINES {
            let line = format!("{number} {}\n", "x".repeat(300)).into_bytes();
            expected.extend_from_slice(&line);
            let place = Place::of(&queue).unwrap();
            place.fill(|text| text.extend_from_slice(&line));
        }
        let thread = std::thread::spawn(move || {
            let sink = Sink::Stdout(File::from(OwnedFd::from(writer)));
            let metrics = Arc::new(Metrics::new());
            let block = true;
            Writer {
                sink,
                lines,
                metrics,
                block,
            }
            .run();
        });
        let mut written = vec![0; expected.len()];
        reader.read_exact(&mut written).unwrap();
        assert!(written == expected, "not the lines");
        drop(queue);
        thread.join().unwrap();
        assert_eq!(reader.read(&mut [0]).unwrap(), 0, "more than the lines");
    }

    #[test]
    fn what_has_begun_in_one_file_is_finished_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("audit.log");
        std::fs::write(&path, "").unwrap();
        // More than it takes at once.
        let text = vec![b'x'; 4 << 20];
        let (mut reader, writer) = UnixStream::pair().unwrap();
        writer.set_nonblocking(true).unwrap();
        let (queue, lines) = Sender::new();
        let place = Place::of(&queue).unwrap();
        place.fill(|line| line.extend_from_slice(&text));
        drop(queue);
        let sink = Sink::File {
            path: path.clone(),
            file: File::from(OwnedFd::from(writer)),
            size: 0,
            rotate: Some(1),
            since_look: 0,
        };
        let metrics = Arc::new(Metrics::new());
        let block = true;
        let writer = Writer {
            sink,
            lines,
            metrics,
            block,
        };
        let thread = std::thread::spawn(move || {
            let mut written = Vec::new();
            reader.read_to_end(&mut written).unwrap();
            written
        });
        writer.run();
        let written = thread.join().unwrap();
        assert_eq!(written.len(), text.len());
        assert!(!rotated(&path).exists());
    }
}
