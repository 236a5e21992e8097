//! The client of the self-check.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr};

use greenloom::net::TcpStream;

/// Name, request.
const REQUESTS: &[(&str, &str)] = &[
    ("GET /", "GET / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("HEAD /", "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"),
    ("GET /nowhere", "GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"),
    (
        "POST /",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "POST / with a body",
        "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
    ),
    (
        "Connection: close",
        "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ),
    ("HTTP/1.0", "GET / HTTP/1.0\r\n\r\n"),
    (
        "HTTP/1.0, keep-alive",
        "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
    ),
    ("no Host", "GET / HTTP/1.1\r\n\r\n"),
    ("nonsense", "what is this\x07\r\n\r\n"),
    ("HTTP/9.9", "GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
];

const PIPELINED: usize = 100;

/// A reply, as far as it is of interest.
struct Reply {
    status: u16,
    body: usize,
    closes: bool,
    date: String,
}

/// Sends all of them, each on a connection of its own, and prints what came back.
pub(crate) fn run(addr: SocketAddr) -> io::Result<()> {
    for (name, request) in REQUESTS {
        single(addr, name, request.as_bytes())?;
    }
    let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(10_000));
    single(addr, "a head without end", endless.as_bytes())?;

    let stream = TcpStream::connect(addr)?;
    let mut replies = BufReader::new(&stream);
    let all = REQUESTS[0].1.repeat(PIPELINED);
    let (first, second) = all.split_at(all.len() / 2 + 7);
    let (mut right, mut date) = (0, String::new());
    (&stream).write_all(first.as_bytes())?;
    for i in 0..PIPELINED {
        if i == 10 {
            (&stream).write_all(second.as_bytes())?;
        }
        let reply = receive(&mut replies, true)?;
        right += usize::from(reply.status == 200);
        date = reply.date;
    }
    println!("{PIPELINED} pipelined, cut in two: {right} replies of status 200");
    println!("the date is {} characters", date.len());
    Ok(())
}

fn single(addr: SocketAddr, name: &str, request: &[u8]) -> io::Result<()> {
    let stream = TcpStream::connect(addr)?;
    (&stream).write_all(request)?;
    let mut replies = BufReader::new(&stream);
    let Reply {
        status,
        body,
        closes,
        ..
    } = receive(&mut replies, !request.starts_with(b"HEAD"))?;
    // It does what it says: who closes is at the end now, who stays open is when we are.
    if !closes {
        stream.shutdown(Shutdown::Write)?;
    }
    if replies.read(&mut [0])? != 0 {
        return Err(io::Error::other(format!("{name}: more than one reply")));
    }
    let then = if closes { "closes" } else { "stays open" };
    println!("{name} -> {status}, {body} bytes of body, {then}");
    Ok(())
}

fn receive(replies: &mut impl BufRead, with_body: bool) -> io::Result<Reply> {
    let mut line = String::new();
    replies.read_line(&mut line)?;
    let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
    let mut reply = Reply {
        status: status.ok_or_else(|| io::Error::other(format!("no status: {line:?}")))?,
        body: 0,
        closes: false,
        date: String::new(),
    };
    loop {
        line.clear();
        replies.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            None => break,
            Some(("Content-Length", n)) if with_body => {
                reply.body = n.parse().map_err(io::Error::other)?
            }
            Some(("Connection", word)) => reply.closes = word == "close",
            Some(("Date", date)) => reply.date = date.to_owned(),
            Some(_) => {}
        }
    }
    io::copy(&mut replies.take(reply.body as u64), &mut io::sink())?;
    Ok(reply)
}
