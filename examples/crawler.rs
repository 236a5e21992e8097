//! A crawler: three pages at once, in plain blocking code, on one thread; the results in the order asked for.
//!
//! ```sh
//! cargo run --release --example crawler
//! ```
//!
//! The site is a server in the same thread. Its first page is the slowest and its last the quickest, so they come in the
//! other order.
//!
//! ```text
//! the pages came in the order /brief /story /novel
//! /novel: 200, 3000 bytes
//! /story: 200, 300 bytes
//! /brief: 200, 30 bytes
//! /nowhere: 404, 0 bytes
//! all on 1 thread
//! ```
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use greenloom::event::Event;
use greenloom::net::TcpStream;
use greenloom::server::StreamServer;
use greenloom::spawn;

/// The pages: name and length. Each is served when the one after it has been.
const PAGES: [(&str, usize); 3] = [("/novel", 3000), ("/story", 300), ("/brief", 30)];

/// Serves a page, and lets the one before it go.
fn serve(mut stream: &TcpStream, done: &[Event]) -> io::Result<()> {
    let mut request = String::new();
    BufReader::new(stream).read_line(&mut request)?;
    let path = request.split(' ').nth(1).unwrap_or_default();
    let Some(at) = PAGES.iter().position(|page| page.0 == path) else {
        return stream.write_all(b"HTTP/1.0 404 Not Found\r\n\r\n");
    };
    if let Some(next) = done.get(at + 1) {
        next.wait();
    }
    let page = "x".repeat(PAGES[at].1);
    write!(stream, "HTTP/1.0 200 OK\r\n\r\n{page}")?;
    Ok(())
}

/// Status and length of a page.
fn fetch(addr: SocketAddr, path: &str) -> io::Result<(u16, usize)> {
    let mut stream = TcpStream::connect(addr)?;
    stream.set_read_timeout(Some(Duration::from_secs(30)))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: {addr}\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or(io::ErrorKind::InvalidData)?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or(io::ErrorKind::InvalidData)?, body.len()))
}

fn threads() -> usize {
    // Where there is no such folder, there is one thread all the same.
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

fn main() -> io::Result<()> {
    let done: Rc<[Event; 3]> = Rc::default();
    let came = Rc::clone(&done);
    let site = StreamServer::builder("127.0.0.1:0").serve(move |stream, _| {
        // Its error is the client's going away.
        let _ = serve(&stream, &*came);
    })?;
    let addr = site.local_addr();

    let order = Rc::new(RefCell::new(Vec::new()));
    let paths = PAGES.map(|page| page.0);
    let tasks: Vec<_> = paths
        .into_iter()
        .chain(["/nowhere"])
        .map(|path| {
            let (order, done) = (Rc::clone(&order), Rc::clone(&done));
            let task = spawn(move || {
                let page = fetch(addr, path);
                if let Some(at) = paths.iter().position(|other| *other == path) {
                    order.borrow_mut().push(path);
                    done[at].set();
                }
                page
            });
            (path, task)
        })
        .collect();
    let pages: Vec<_> = tasks
        .into_iter()
        .map(|(path, task)| (path, task.join()))
        .collect();
    println!("the pages came in the order {}", order.borrow().join(" "));
    for (path, page) in pages {
        match page {
            Ok(page) => {
                let (status, bytes) = page?;
                println!("{path}: {status}, {bytes} bytes");
            }
            Err(error) => println!("{path}: {error}"),
        }
    }
    site.stop(Duration::from_secs(1));
    println!("all on {} thread", threads());
    Ok(())
}
