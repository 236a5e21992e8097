//! A UDP server that answers in upper case, and a hundred clients of it, all on one thread.
//!
//! One task serves them all: a datagram says where it came from. A client that gets no answer in time asks again, since
//! datagrams may be lost, and a late answer to the first try is told apart by its number.
//!
//! ```sh
//! cargo run --release --example udp_echo
//! ```
//!
//! ```text
//! client 0: HELLO 0
//! client 99: HELLO 99
//! 100 clients got 1000 answers
//! the server was closed
//! ```
#![forbid(unsafe_code)]

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use greenloom::io::Closed;
use greenloom::net::UdpSocket;
use greenloom::{join_all, spawn};

const CLIENTS: usize = 100;
const QUESTIONS: usize = 10;

/// Until the socket is closed.
fn serve(socket: &UdpSocket) -> io::Result<()> {
    let mut buf = [0; 512];
    loop {
        let (n, from) = match socket.recv_from(&mut buf) {
            Err(e) if e.get_ref().is_some_and(|inner| inner.is::<Closed>()) => return Ok(()),
            other => other?,
        };
        socket.send_to(&buf[..n].to_ascii_uppercase(), from)?;
    }
}

/// Asks until there is an answer.
fn ask(socket: &UdpSocket, question: &str) -> io::Result<String> {
    let expected = question.to_ascii_uppercase();
    let mut buf = [0; 512];
    loop {
        socket.send(question.as_bytes())?;
        match socket.recv(&mut buf) {
            Ok(n) if buf[..n] == *expected.as_bytes() => return Ok(expected),
            // An answer to a question that was asked twice.
            Ok(_) => {}
            Err(e) if e.kind() == ErrorKind::TimedOut => {}
            Err(e) => return Err(e),
        }
    }
}

fn client(id: usize, server: SocketAddr) -> io::Result<Vec<String>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut answers = vec![ask(&socket, &format!("hello {id}"))?];
    for i in 1..QUESTIONS {
        answers.push(ask(&socket, &format!("question {i} of client {id}"))?);
    }
    Ok(answers)
}

fn main() -> io::Result<()> {
    let socket = Rc::new(UdpSocket::bind("127.0.0.1:0")?);
    let addr = socket.local_addr()?;
    let serving = Rc::clone(&socket);
    let server = spawn(move || serve(&serving));

    let clients = (0..CLIENTS).map(|id| spawn(move || client(id, addr).map(|a| (id, a))));
    let mut all = Vec::new();
    for result in join_all(clients.collect::<Vec<_>>(), None) {
        all.push(result.map_err(|e| io::Error::other(e.to_string()))??);
    }
    all.sort();
    for (id, answers) in [&all[0], &all[CLIENTS - 1]] {
        println!("client {id}: {}", answers[0]);
    }
    let answers: usize = all.iter().map(|(_, answers)| answers.len()).sum();
    println!("{} clients got {answers} answers", all.len());

    socket.close();
    server
        .join()
        .map_err(|e| io::Error::other(e.to_string()))??;
    println!("the server was closed");
    Ok(())
}
