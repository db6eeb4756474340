//! A small HTTP server that keeps notes in files: an example, in place of which your product goes.
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs, io, process, thread};

const MOST: u64 = 65536;

struct Notes {
    folder: PathBuf,
    token: String,
    parts: AtomicUsize,
}

impl Notes {
    /// Writes a note; what it acknowledges is on the disk.
    fn store(&self, name: &Path, text: &[u8]) -> io::Result<()> {
        let part = self.folder.join(format!(".{}", self.parts.fetch_add(1, Ordering::Relaxed)));
        let mut file = fs::File::create(&part)?;
        file.write_all(text)?;
        file.sync_all()?;
        fs::rename(&part, name)
    }

    /// Status and text of the answer to one request.
    fn answer(&self, method: &str, path: &str, token: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
        if path == "/health" {
            return Ok((200, b"good\n".to_vec()));
        }
        if token != self.token {
            return Ok((401, vec![]));
        }
        let key = path.strip_prefix("/notes/").unwrap_or("");
        if key.is_empty() || key.len() > 64 || !key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-') {
            return Ok((404, vec![]));
        }
        let name = self.folder.join(key);
        match method {
            "PUT" => {
                let status = if name.exists() { 200 } else { 201 };
                self.store(&name, body).map(|()| (status, vec![]))
            }
            "GET" => fs::read(&name).map(|text| (200, text)),
            "DELETE" => fs::remove_file(&name).map(|()| (204, vec![])),
            _ => Ok((405, vec![])),
        }
    }

    fn serve(&self, mut peer: TcpStream) -> io::Result<()> {
        peer.set_read_timeout(Some(Duration::from_secs(30)))?;
        let mut reader = BufReader::new(peer.try_clone()?.take(2 * MOST));
        let (mut line, mut token, mut length) = (String::new(), String::new(), 0);
        reader.read_line(&mut line)?;
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        if words.len() < 2 {
            return Ok(());
        }
        loop {
            let mut header = String::new();
            if reader.read_line(&mut header)? == 0 || header.trim().is_empty() {
                break;
            }
            let (name, value) = header.split_once(':').unwrap_or((header.as_str(), ""));
            match name.to_ascii_lowercase().as_str() {
                "x-token" => token = value.trim().to_string(),
                "content-length" => length = value.trim().parse().unwrap_or(0),
                _ => {}
            }
        }
        let mut body = vec![0; length.min(MOST) as usize];
        reader.read_exact(&mut body)?;
        let (status, text) = match self.answer(&words[0], &words[1], &token, &body) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => (404, b"no such note".to_vec()),
            Err(error) => {
                eprintln!("notes: {error}");
                (500, vec![])
            }
            Ok(pair) => pair,
        };
        let size = text.len();
        let head = format!(
            "HTTP/1.1 {status} -\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: {size}\r\nConnection: close\r\n\r\n"
        );
        peer.write_all(&[head.as_bytes(), &text].concat())
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| {
        eprintln!("notes: {name} is needed");
        process::exit(2)
    })
}

fn main() -> io::Result<()> {
    if env::args().nth(1).as_deref() == Some("--version") {
        println!("notes {}", option_env!("CARGO_PKG_VERSION").unwrap_or("1.0.0"));
        return Ok(());
    }
    let port = variable("NOTES_PORT");
    let listener = TcpListener::bind(format!("0.0.0.0:{port}"))?;
    let notes = Arc::new(Notes {
        folder: PathBuf::from(variable("NOTES_FOLDER")),
        token: variable("NOTES_TOKEN"),
        parts: AtomicUsize::new(0),
    });
    println!("notes: port {port}, notes in {}", notes.folder.display());
    for peer in listener.incoming().flatten() {
        let notes = Arc::clone(&notes);
        thread::spawn(move || notes.serve(peer));
    }
    Ok(())
}
