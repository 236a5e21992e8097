//! A small Redis: strings with expiry, in memory, one thread, one task per connection in plain blocking code.
//!
//! ```sh
//! cargo run --release --example redis_like -- --addr 127.0.0.1:6380      # then: redis-cli -p 6380
//! cargo run --release --example redis_like                               # talks to itself
//! ```
//!
//! It speaks RESP2, with pipelining: all the commands that have arrived are executed, and answered with one write.
//! Without `--addr` it starts on a free port, asks itself a few questions, and prints what was said:
//!
//! ```text
//! > PING
//! PONG
//! > ECHO "hello world"
//! "hello world"
//! > SET greeting hi
//! OK
//! > SET greeting again NX
//! (nil)
//! > SET greeting again XX
//! OK
//! > GET greeting
//! "again"
//! > EXISTS greeting nobody
//! (integer) 1
//! > TTL greeting
//! (integer) -1
//! > EXPIRE greeting 100
//! (integer) 1
//! > TTL greeting
//! (integer) 100
//! > SET brief 1 PX 1
//! OK
//! > GET brief, 20 ms later
//! (nil)
//! > INCR hits
//! (integer) 1
//! > INCRBY hits 41
//! (integer) 42
//! > DECR hits
//! (integer) 41
//! > INCR greeting
//! (error) ERR value is not an integer or out of range
//! > DEL greeting hits nobody
//! (integer) 2
//! > DBSIZE
//! (integer) 0
//! > NONSENSE
//! (error) ERR unknown command 'NONSENSE'
//! 1000 pipelined: 1000 right
//! stopped: 0 connections were left
//! ```
#![forbid(unsafe_code)]

mod check;
mod commands;
mod resp;
mod store;

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;
use std::time::Duration;
use std::{env, process};

use greenloom::net::TcpStream;
use greenloom::server::StreamServer;
use greenloom::task;
use resp::{Parsed, parse};
use store::Store;

/// What is read at once, as long as no command is larger.
const READ: usize = 16 << 10;

/// Replies are written when there are that many bytes of them, although more commands are there.
const WRITE: usize = 64 << 10;

/// How often keys that nobody asks for are looked at.
const SWEEP: Duration = Duration::from_millis(100);

fn main() -> io::Result<()> {
    let mut args = env::args().skip(1);
    let addr = match (args.next().as_deref(), args.next()) {
        (None, _) => None,
        (Some("--addr"), Some(addr)) => Some(addr),
        _ => {
            eprintln!("usage: redis_like [--addr ADDRESS]");
            process::exit(2);
        }
    };
    // Tasks share it without a lock: none of them waits while it is borrowed.
    let store = Rc::new(RefCell::new(Store::new()));
    let sweeping = Rc::clone(&store);
    task::Builder::new()
        .name("sweeper")
        .daemon()
        .spawn(move || {
            loop {
                greenloom::sleep(SWEEP);
                sweeping.borrow_mut().sweep();
            }
        })?;
    let server = StreamServer::builder(addr.as_deref().unwrap_or("127.0.0.1:0"))
        .name("redis_like")
        .nodelay()
        .serve(move |stream, _peer| {
            // An error is the client's going away: nobody is left to be told.
            let _ = serve(&stream, &store);
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

/// Answers a client until it goes or says `QUIT`.
fn serve(mut stream: &TcpStream, store: &RefCell<Store>) -> io::Result<()> {
    let mut input = vec![0; READ];
    let mut output = Vec::with_capacity(READ);
    let mut args = Vec::new();
    // What has come and is not executed yet.
    let (mut start, mut end) = (0, 0);
    loop {
        let wanted = loop {
            match parse(&input[start..end], &mut args) {
                Ok(Parsed::Command(length)) => {
                    let command = resp::Command::new(&input[start..end], &args);
                    start += length;
                    if commands::execute(&command, &mut store.borrow_mut(), &mut output) {
                        return stream.write_all(&output);
                    }
                }
                Ok(Parsed::More(wanted)) => break wanted,
                Err(error) => {
                    resp::error(&mut output, format_args!("ERR Protocol error: {error}"));
                    return stream.write_all(&output);
                }
            }
            if output.len() > WRITE {
                stream.write_all(&output)?;
                output.clear();
            }
        };
        if !output.is_empty() {
            stream.write_all(&output)?;
            output.clear();
        }
        if start == end {
            (start, end) = (0, 0);
        } else if start > 0 {
            input.copy_within(start..end, 0);
            (start, end) = (0, end - start);
        }
        // Room for the rest of the command, and not for longer than that.
        let size = wanted.max(end + 1).max(READ);
        if input.len() < size || end == 0 && input.len() > READ {
            input.resize(size, 0);
            input.shrink_to(size);
        }
        match stream.read(&mut input[end..])? {
            0 => return Ok(()),
            n => end += n,
        }
    }
}
