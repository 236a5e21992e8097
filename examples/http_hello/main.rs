//! "Hello, world!" over HTTP/1.1: keep-alive, pipelining, one thread, one task per connection in plain blocking code.
//!
//! ```sh
//! cargo run --release --example http_hello -- --addr 127.0.0.1:8080     # then: curl -i, or wrk, http://127.0.0.1:8080/
//! cargo run --release --example http_hello                              # talks to itself
//! ```
//!
//! It knows `/`, `GET` and `HEAD`. The replies to all requests that have arrived go out with one write. Without `--addr`
//! it starts on a free port, sends itself what is named here, and prints the status of each reply:
//!
//! ```text
//! GET / -> 200, 13 bytes of body, stays open
//! HEAD / -> 200, 0 bytes of body, stays open
//! GET /nowhere -> 404, 10 bytes of body, stays open
//! POST / -> 405, 19 bytes of body, stays open
//! POST / with a body -> 405, 19 bytes of body, closes
//! Connection: close -> 200, 13 bytes of body, closes
//! HTTP/1.0 -> 200, 13 bytes of body, closes
//! HTTP/1.0, keep-alive -> 200, 13 bytes of body, stays open
//! no Host -> 400, 12 bytes of body, closes
//! nonsense -> 400, 12 bytes of body, closes
//! HTTP/9.9 -> 505, 27 bytes of body, closes
//! a head without end -> 431, 32 bytes of body, closes
//! 100 pipelined, cut in two: 100 replies of status 200
//! the date is 29 characters
//! stopped: 0 connections were left
//! ```
#![forbid(unsafe_code)]

mod check;
mod date;
mod request;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{env, process};

use greenloom::net::TcpStream;
use greenloom::server::StreamServer;
use greenloom::{sleep, task};
use request::{MOST_HEAD, Parsed, Request};

/// Replies are written when there are that many bytes of them, although more requests are there.
const WRITE: usize = 32 << 10;

/// The longest that a client may take for its next request, and for taking its reply.
const PATIENCE: Duration = Duration::from_secs(60);

const HELLO: &str = "Hello, world!";

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let addr = match (args.next().as_deref(), args.next()) {
        (None, _) => None,
        (Some("--addr"), Some(addr)) => Some(addr),
        _ => {
            eprintln!("usage: http_hello [--addr ADDRESS]");
            process::exit(2);
        }
    };
    let replies = Rc::new(RefCell::new(Replies::now()));
    let ticking = Rc::clone(&replies);
    task::Builder::new().name("date").daemon().spawn(move || {
        loop {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let past = now.map_or(0, |now| now.subsec_nanos());
            sleep(Duration::from_nanos(1_000_000_000 - u64::from(past)));
            ticking.replace(Replies::now());
        }
    })?;
    let server = StreamServer::builder(addr.as_deref().unwrap_or("127.0.0.1:0"))
        .name("http_hello")
        .nodelay()
        .serve(move |stream, _peer| {
            // An error is the client's going away: nobody is left to be told.
            let _ = serve(&stream, &replies);
        })?;
    if addr.is_some() {
        println!("listening on {}", server.local_addr());
        return server.wait();
    }
    check::run(server.local_addr())?;
    let stopped = server.stop(Duration::from_secs(5));
    println!(
        "stopped: {} connections were left",
        stopped.killed + stopped.left
    );
    Ok(())
}

/// What is the same for every request within a second.
struct Replies {
    hello: Vec<u8>,
    date: String,
}

impl Replies {
    fn now() -> Self {
        let date = date::http(SystemTime::now());
        let mut hello = Vec::new();
        reply(&mut hello, &date, "200 OK", "", HELLO);
        Self { hello, date }
    }
}

/// A whole reply. `extra` is header lines.
fn reply(output: &mut Vec<u8>, date: &str, status: &str, extra: &str, body: &str) {
    // Writing to a `Vec` cannot fail.
    let _ = write!(
        output,
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\nDate: {date}\r\n{extra}\r\n{body}",
        body.len()
    );
}

/// Answers a client until one of the two is done.
fn serve(mut stream: &TcpStream, replies: &RefCell<Replies>) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut input = [0; MOST_HEAD];
    let mut output = Vec::new();
    // What has come and is not answered yet.
    let (mut start, mut end) = (0, 0);
    loop {
        let last = loop {
            let last = match request::parse(&input[start..end]) {
                Parsed::Request(request) => {
                    start += request.length;
                    answer(&request, &replies.borrow(), &mut output);
                    request.closes
                }
                Parsed::More if end - start < MOST_HEAD => break false,
                Parsed::More => {
                    refuse(&mut output, replies, "431 Request Header Fields Too Large");
                    true
                }
                Parsed::Wrong(status) => {
                    refuse(&mut output, replies, status);
                    true
                }
            };
            if last || output.len() > WRITE {
                break last;
            }
        };
        if !output.is_empty() {
            stream.write_all(&output)?;
            output.clear();
        }
        if last {
            return end_politely(stream);
        }
        // More may be there after a long batch of replies.
        if !matches!(request::parse(&input[start..end]), Parsed::More) {
            continue;
        }
        input.copy_within(start..end, 0);
        (start, end) = (0, end - start);
        match stream.read(&mut input[end..])? {
            0 => return Ok(()),
            n => end += n,
        }
    }
}

fn answer(request: &Request, replies: &Replies, output: &mut Vec<u8>) {
    let (status, extra, body) = match (request.method, request.is_root) {
        (b"GET" | b"HEAD", true) => ("200 OK", "", HELLO),
        (b"GET" | b"HEAD", false) => ("404 Not Found", "", "not found\n"),
        _ => (
            "405 Method Not Allowed",
            "Allow: GET, HEAD\r\n",
            "method not allowed\n",
        ),
    };
    let before = output.len();
    if request.closes {
        let extra = format!("{extra}Connection: close\r\n");
        reply(output, &replies.date, status, &extra, body);
    } else if request.is_old {
        let extra = format!("{extra}Connection: keep-alive\r\n");
        reply(output, &replies.date, status, &extra, body);
    } else if body == HELLO {
        // The usual way: a copy.
        output.extend_from_slice(&replies.hello);
    } else {
        reply(output, &replies.date, status, extra, body);
    }
    if request.method == b"HEAD" {
        // All but the body, whose length it tells.
        debug_assert!(output.len() - before > body.len());
        output.truncate(output.len() - body.len());
    }
}

/// The last reply of a connection whose next request could not be found.
fn refuse(output: &mut Vec<u8>, replies: &RefCell<Replies>, status: &str) {
    let body = format!("{}\n", status.split_at(4).1.to_lowercase());
    let date = &replies.borrow().date;
    reply(output, date, status, "Connection: close\r\n", &body);
}

/// Waits a little for the client to close first: what it still sends would make the system discard our last reply.
fn end_politely(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(std::net::Shutdown::Write)?;
    let read = greenloom::timeout(Duration::from_secs(1), || {
        while stream.read(&mut [0; 1024])? > 0 {}
        Ok(())
    });
    read.unwrap_or(Ok(()))
}
