//! A proxy: connections it accepts, it passes on to a server, both ways. Here the server, the proxy and fifty clients are all
//! tasks of one thread.
//!
//! ```sh
//! cargo run --release --example tcp_proxy
//! ```
//!
//! ```text
//! 50 clients got back 52428800 bytes through the proxy, all as they sent them
//! the proxy passed on 52428800 bytes to the server and 52428800 bytes to the clients
//! ```
#![forbid(unsafe_code)]

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;

use greenloom::io::copy_bidirectional;
use greenloom::net::{TcpListener, TcpStream};
use greenloom::task::JoinHandle;
use greenloom::{join_all, spawn};

const CLIENTS: usize = 50;
const SIZE: usize = 1 << 20;

/// Accepts so many connections, with a task for each; what the tasks return.
fn accept<T: 'static>(
    listener: TcpListener,
    handle: impl Fn(TcpStream) -> io::Result<T> + 'static,
) -> JoinHandle<io::Result<Vec<T>>> {
    let handle = Rc::new(handle);
    spawn(move || {
        let mut tasks = Vec::new();
        for stream in listener.incoming().take(CLIENTS) {
            let (stream, handle) = (stream?, Rc::clone(&handle));
            tasks.push(spawn(move || handle(stream)));
        }
        all(tasks)
    })
}

/// What the tasks returned, or the first error.
fn all<T: 'static>(tasks: Vec<JoinHandle<io::Result<T>>>) -> io::Result<Vec<T>> {
    join_all(tasks, None)
        .into_iter()
        .map(|result| result.unwrap_or_else(|e| Err(io::Error::other(e.to_string()))))
        .collect()
}

fn echo(stream: TcpStream) -> io::Result<u64> {
    io::copy(&mut &stream, &mut &stream)
}

/// One task writes, this one reads.
fn client(id: usize, proxy: SocketAddr) -> io::Result<usize> {
    let message: Rc<[u8]> = (0..SIZE).map(|i| (i * 7 + id) as u8).collect();
    let (mut read, mut write) = TcpStream::connect(proxy)?.into_split();
    let sent = Rc::clone(&message);
    // Its end drops its half: the server finds the end of the stream, through the proxy.
    let writer = spawn(move || write.write_all(&sent));
    let mut back = Vec::new();
    read.read_to_end(&mut back)?;
    all(vec![writer])?;
    if back[..] != message[..] {
        return Err(io::Error::other("not what was sent"));
    }
    Ok(back.len())
}

fn main() -> io::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = listener.local_addr()?;
    let serving = accept(listener, echo);

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let proxy = listener.local_addr()?;
    let passing = accept(listener, move |near| {
        let far = TcpStream::connect(server)?;
        copy_bidirectional(&near, &far)
    });

    let clients = (0..CLIENTS).map(|id| spawn(move || client(id, proxy)));
    let back: usize = all(clients.collect())?.into_iter().sum();
    println!("{CLIENTS} clients got back {back} bytes through the proxy, all as they sent them");
    let mut totals = (0, 0);
    for (up, down) in all(vec![passing])?.into_iter().flatten() {
        totals = (totals.0 + up, totals.1 + down);
    }
    all(vec![serving])?;
    println!(
        "the proxy passed on {} bytes to the server and {} bytes to the clients",
        totals.0, totals.1
    );
    Ok(())
}
