//! `cargo xtask data NAME`: fetches a data set into cargo's target directory, where `ablate` looks for it.
//!
//! The digests are those of the decompressed content: mirrors and Debian's package compress the same bytes
//! differently. With the content pinned, plain HTTP is enough.

use std::fs::{self, File};
use std::io::{self, IsTerminal, Read, Write};
use std::path::Path;
use std::thread;
use std::time::Duration;

use clap::{Args, ValueEnum};
use flate2::read::MultiGzDecoder;
use sha2::{Digest, Sha256};

use crate::error::{Error, at};
use crate::process::Workspace;
use crate::wheels::hex;

/// Arguments of `cargo xtask data`.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Which data set
    name: Name,
    /// Another address of the folder that holds the files (plain http)
    #[arg(long, value_name = "URL")]
    from: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    /// 70,000 grey images of clothes, 28 x 28, in ten classes (29 MB)
    FashionMnist,
}

struct DataSet {
    folder: &'static str,
    url: &'static str,
    remedy: &'static str,
    files: &'static [DataFile<'static>],
}

/// A compressed file and what is in it.
struct DataFile<'a> {
    name: &'a str,
    /// Length of the content; no more than this is ever unpacked, whatever an address sends.
    bytes: u64,
    sha256: &'a str,
}

const FASHION_MNIST: DataSet = DataSet {
    folder: "fashion-mnist",
    url: "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    remedy: "name another address with `--from URL`, or install Debian's package dataset-fashion-mnist, \
             which `ablate` finds by itself",
    files: &[
        DataFile {
            name: "train-images-idx3-ubyte.gz",
            bytes: 47_040_016,
            sha256: "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        },
        DataFile {
            name: "train-labels-idx1-ubyte.gz",
            bytes: 60_008,
            sha256: "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        },
        DataFile {
            name: "t10k-images-idx3-ubyte.gz",
            bytes: 7_840_016,
            sha256: "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        },
        DataFile {
            name: "t10k-labels-idx1-ubyte.gz",
            bytes: 10_008,
            sha256: "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
    ],
};

const TRIES: usize = 3;

/// `cargo xtask data NAME`.
pub(crate) fn bring(workspace: &Workspace, arguments: &Arguments) -> Result<(), Error> {
    let set = match arguments.name {
        Name::FashionMnist => FASHION_MNIST,
    };
    let folder = workspace.target.join("data").join(set.folder);
    let source = Source {
        url: arguments
            .from
            .as_deref()
            .unwrap_or(set.url)
            .trim_end_matches('/'),
        remedy: set.remedy,
        pause: Duration::from_secs(2),
    };
    for file in set.files {
        source.fetch(file, &folder)?;
    }
    println!("{}: complete, {} files", folder.display(), set.files.len());
    Ok(())
}

/// Where files come from, and how patiently.
struct Source<'a> {
    url: &'a str,
    remedy: &'static str,
    pause: Duration,
}

/// Why one try failed.
enum Failure {
    /// Another try may do better.
    Passing(String),
    /// Another try would end in the same way.
    Lasting(String),
    /// It came whole and is something else, whose digest this is.
    Content(String),
    /// Our own file system.
    Here(Error),
}

impl Source<'_> {
    /// Leaves the file in the folder, checked; one that is there and right is not asked for again.
    fn fetch(&self, file: &DataFile<'_>, folder: &Path) -> Result<(), Error> {
        let place = folder.join(file.name);
        if let Ok(compressed) = File::open(&place)
            && content(compressed, file.bytes).is_ok_and(|found| found == file.sha256)
        {
            return Ok(());
        }
        fs::create_dir_all(folder).map_err(at("create", folder))?;
        // Under its own name only when it is checked, and only by one process.
        let partial = folder.join(format!(".{}.{}", file.name, std::process::id()));
        let outcome = self
            .tries(file, &partial)
            .and_then(|()| fs::rename(&partial, &place).map_err(at("put in place", &place)));
        if outcome.is_err() {
            let _ = fs::remove_file(&partial); // it may not be there at all
        }
        outcome
    }

    fn tries(&self, file: &DataFile<'_>, partial: &Path) -> Result<(), Error> {
        let url = format!("{}/{}", self.url, file.name);
        let mut tries = 0;
        loop {
            tries += 1;
            let failure = match once(&url, file, partial) {
                Ok(()) => return Ok(()),
                Err(failure) => failure,
            };
            match failure {
                Failure::Here(error) => return Err(error),
                Failure::Passing(_) if tries < TRIES => {
                    thread::sleep(self.pause * tries as u32);
                }
                Failure::Passing(cause) | Failure::Lasting(cause) => {
                    return Err(Error::Download {
                        url,
                        cause,
                        tries,
                        remedy: self.remedy,
                    });
                }
                Failure::Content(found) => {
                    return Err(Error::Content {
                        url,
                        found,
                        expected: file.sha256.to_owned(),
                        remedy: self.remedy,
                    });
                }
            }
        }
    }
}

/// One request: the body goes to `partial`, and is then read back and checked.
fn once(url: &str, file: &DataFile<'_>, partial: &Path) -> Result<(), Failure> {
    let mut response = agent(url).get(url).call().map_err(|error| match error {
        // Busy or broken servers get well again; a page that is not there stays away.
        ureq::Error::StatusCode(status) if status < 500 && status != 429 => {
            Failure::Lasting(format!("the server answered {status}"))
        }
        ureq::Error::StatusCode(status) => {
            Failure::Passing(format!("the server answered {status}"))
        }
        ureq::Error::BadUri(_) | ureq::Error::TlsRequired => Failure::Lasting(error.to_string()),
        other => Failure::Passing(other.to_string()),
    })?;
    let length = response.body().content_length();
    // Compressed data is not longer than its content, but for a few bytes of framing.
    let body = response
        .body_mut()
        .with_config()
        .limit(file.bytes + (1 << 16))
        .reader();
    let mut progress = Progress::new(file.name, length);
    let received = save(body, partial, &mut progress);
    progress.end();
    let received = received?;
    if let Some(length) = length.filter(|length| *length != received) {
        return Err(Failure::Passing(format!(
            "{received} of {length} bytes came"
        )));
    }
    let compressed =
        File::open(partial).map_err(|source| Failure::Here(at("open", partial)(source)))?;
    match content(compressed, file.bytes) {
        Ok(found) if found == file.sha256 => Ok(()),
        Ok(found) => Err(Failure::Content(found)),
        Err(error) => Err(Failure::Passing(format!(
            "what came cannot be decompressed ({error})"
        ))),
    }
}

fn agent(url: &str) -> ureq::Agent {
    let limits = ureq::Agent::config_builder()
        .timeout_connect(Some(Duration::from_secs(20)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        .timeout_per_read(Some(Duration::from_secs(60)));
    // A proxy is for the world outside: a server on this machine is asked directly.
    let local = ["http://127.", "http://localhost", "http://[::1]"]
        .iter()
        .any(|start| url.starts_with(start));
    if local {
        limits.proxy(None).build().into()
    } else {
        limits.build().into()
    }
}

fn save(mut body: impl Read, partial: &Path, progress: &mut Progress<'_>) -> Result<u64, Failure> {
    let here = |source| Failure::Here(at("write", partial)(source));
    let mut file = File::create(partial).map_err(here)?;
    let mut buffer = vec![0; 1 << 16];
    let mut received = 0;
    loop {
        let count = body
            .read(&mut buffer)
            .map_err(|error| Failure::Passing(error.to_string()))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(here)?;
        received += count as u64;
        progress.at(received);
    }
    file.sync_all().map_err(here)?;
    Ok(received)
}

/// Digest of the decompressed content, of which no more than `bytes` and one are read.
fn content(compressed: impl Read, bytes: u64) -> io::Result<String> {
    let mut digest = Sha256::new();
    io::copy(
        &mut MultiGzDecoder::new(compressed).take(bytes + 1),
        &mut digest,
    )?;
    Ok(hex(&digest.finalize()))
}

/// One line on a terminal that is written over, one line per file elsewhere.
struct Progress<'a> {
    name: &'a str,
    length: Option<u64>,
    terminal: bool,
    shown: u64,
}

impl<'a> Progress<'a> {
    fn new(name: &'a str, length: Option<u64>) -> Self {
        let terminal = io::stderr().is_terminal();
        if !terminal {
            eprintln!("fetching {name}");
        }
        Self {
            name,
            length,
            terminal,
            shown: 0,
        }
    }

    fn at(&mut self, received: u64) {
        const STEP: u64 = 1 << 18;
        if !self.terminal || received < self.shown + STEP {
            return;
        }
        self.shown = received;
        let megabytes = |bytes: u64| bytes as f64 / 1e6;
        let of = self.length.map_or_else(String::new, |length| {
            format!(" of {:.1}", megabytes(length))
        });
        eprint!(
            "\rfetching {}: {:.1}{of} MB ",
            self.name,
            megabytes(received)
        );
    }

    fn end(&self) {
        if self.terminal {
            eprintln!("\rfetching {}\x1b[K", self.name);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader};
    use std::net::TcpListener;
    use std::thread::JoinHandle;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const CONTENT: &[u8] = b"a small file that is not an image";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory takes it");
        encoder.finish().expect("memory takes it")
    }

    fn answer(status: &str, length: usize, body: &[u8]) -> Vec<u8> {
        let mut answer =
            format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n")
                .into_bytes();
        answer.extend_from_slice(body);
        answer
    }

    fn good() -> Vec<u8> {
        let body = gzip(CONTENT);
        answer("200 OK", body.len(), &body)
    }

    /// Gives one answer to each connection and ends; the thread's result is what was asked for.
    fn serve(answers: Vec<Vec<u8>>) -> (String, JoinHandle<Vec<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let server = thread::spawn(move || {
            let one = |answer: Vec<u8>| {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut lines =
                    BufReader::new(stream.try_clone().expect("a second handle")).lines();
                let request = lines.next().expect("a request").expect("text");
                while lines
                    .next()
                    .is_some_and(|line| !line.expect("text").is_empty())
                {}
                stream.write_all(&answer).expect("the client listens");
                request
            };
            answers.into_iter().map(one).collect()
        });
        (url, server)
    }

    fn fetch(url: &str, folder: &Path) -> Result<(), Error> {
        let digest = hex(&Sha256::digest(CONTENT));
        let file = DataFile {
            name: "small.gz",
            bytes: CONTENT.len() as u64,
            sha256: &digest,
        };
        Source {
            url,
            remedy: "name another address with `--from URL`",
            pause: Duration::ZERO,
        }
        .fetch(&file, folder)
    }

    /// The message for these answers; it must leave nothing behind.
    fn message(answers: Vec<Vec<u8>>) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (url, server) = serve(answers);
        let error = fetch(&url, folder.path()).expect_err("no answer is right");
        server.join().expect("the server gave all its answers");
        assert_eq!(
            fs::read_dir(folder.path()).expect("a folder").count(),
            0,
            "something was left behind"
        );
        let message = error.to_string();
        assert!(
            message.contains(&format!("{url}/small.gz")) && message.contains("--from URL"),
            "{message}"
        );
        assert_eq!(error.status(), 2);
        message
    }

    #[test]
    fn a_good_file_is_kept_and_not_asked_for_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (url, server) = serve(vec![good()]);
        fetch(&url, folder.path()).expect("the answer is right");
        assert_eq!(
            server.join().expect("it served"),
            ["GET /small.gz HTTP/1.1"]
        );
        fetch(&url, folder.path()).expect("nobody needs to be asked");
        assert_eq!(
            fs::read(folder.path().join("small.gz")).expect("it is there"),
            gzip(CONTENT)
        );
    }

    #[test]
    fn a_spoiled_file_is_fetched_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("small.gz"), "spoiled").expect("a file");
        let (url, server) = serve(vec![good()]);
        fetch(&url, folder.path()).expect("the answer is right");
        server.join().expect("it served");
    }

    #[test]
    fn a_busy_server_and_a_cut_line_are_tried_again() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let cut = answer("200 OK", gzip(CONTENT).len(), &gzip(CONTENT)[..10]);
        let (url, server) = serve(vec![answer("503 Service Unavailable", 0, b""), cut, good()]);
        fetch(&url, folder.path()).expect("the third answer is right");
        server.join().expect("it served");
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let body = gzip(CONTENT);
        let cut = &body[..body.len() - 9];
        // Once the line is cut, once the server itself has only a part.
        let line = message(vec![answer("200 OK", body.len(), cut); 3]);
        assert!(line.contains("tries: 3"), "{line}");
        let part = message(vec![answer("200 OK", cut.len(), cut); 3]);
        assert!(
            part.contains("decompressed") && part.contains("tries: 3"),
            "{part}"
        );
    }

    #[test]
    fn another_content_is_an_error_with_both_digests() {
        let body = gzip(b"another small file");
        let message = message(vec![answer("200 OK", body.len(), &body)]);
        assert!(
            message.contains(&hex(&Sha256::digest(CONTENT))),
            "{message}"
        );
        assert!(
            message.contains(&hex(&Sha256::digest(b"another small file"))),
            "{message}"
        );
    }

    #[test]
    fn a_missing_file_is_asked_for_once() {
        let message = message(vec![answer("404 Not Found", 0, b"")]);
        assert!(
            message.contains("404") && message.contains("tries: 1"),
            "{message}"
        );
    }

    #[test]
    fn a_refused_connection_is_an_error() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        // A port that was free a moment ago.
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        let message = fetch(&url, folder.path())
            .expect_err("nobody listens")
            .to_string();
        assert!(
            message.contains(&url)
                && message.contains("--from URL")
                && message.contains("tries: 3"),
            "{message}"
        );
    }
}
