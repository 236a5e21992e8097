//! `parked`: what the library takes for a connection whose task waits in a read, beyond the page of its stack.
//!
//! ```text
//!   this process                                  a client: n connections that say nothing
//!   accept n times, each in a task that reads
//!   all are in the read: what has grown, by n
//!     resident set, less a page each              everything in user space but the stack's page: the target is 256 bytes
//!     heap                                        the part of it that malloc has given out
//!     page tables                                 the kernel's, for stacks that lie apart
//! ```
//!
//! The socket in the kernel is no part of this. The task's buffer has 64 bytes: a larger one is the program's own.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::io::{self, Read};
use std::net::Ipv4Addr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use greenloom::net::{TcpListener, TcpStream};

use super::Memory;
use crate::processes::{ClientProcess, Cores};
use crate::report::Row;
use crate::sys;

/// The most there are.
const MOST: usize = 10_000;

const PAGE: f64 = 4096.0;

/// Measures `n` of them, `MOST` at most.
pub(super) fn rows(n: usize) -> io::Result<Vec<Row>> {
    let n = n.min(MOST);
    if let Err(error) = sys::raise_open_files(n as u64 + 100) {
        eprintln!("skipped: parked: {error}");
        return Ok(Vec::new());
    }
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    // It connects faster than is accepted, and must not be waited for by this thread.
    let client = thread::spawn(move || {
        ClientProcess::connect_spinning(address, n, 64, Cores::Any, Duration::ZERO)
    });
    // The first one pays for what there is one of.
    let reading = Rc::new(Cell::new(0));
    serve(&listener, &reading)?;
    greenloom::yield_now();
    let (memory, heap) = (Memory::now()?, sys::heap_in_use());
    for _ in 1..n {
        serve(&listener, &reading)?;
    }
    while reading.get() < n {
        greenloom::yield_now();
    }
    // The last to count itself parks in the same turn.
    greenloom::yield_now();
    let (grown, heap) = (Memory::now()?, sys::heap_in_use() - heap);
    let each = |bytes: f64| Some(bytes / (n - 1).max(1) as f64);
    let resident = grown.resident_since(&memory);
    let row = |what: &str, value| Row {
        bench: "parked".to_owned(),
        case: format!("{n} connections, {what}"),
        unit: "bytes each".to_owned(),
        value,
        reference: None,
        peer: None,
    };
    let rows = vec![
        row(
            "beyond the stack's page",
            each(resident).map(|each| each - PAGE),
        ),
        row("of that heap", each(heap as f64)),
        row("page tables", each(grown.bytes_since(&memory) - resident)),
    ];
    let client = client.join().expect("it does not panic")?;
    drop(client);
    Ok(rows)
}

/// Accepts one and gives it a task that reads until the end.
fn serve(listener: &TcpListener, reading: &Rc<Cell<usize>>) -> io::Result<()> {
    let (stream, _) = listener.accept()?;
    let reading = Rc::clone(reading);
    // Dropping the handle detaches the task. Its error is the client's going away: nobody to tell.
    drop(greenloom::spawn(move || {
        reading.set(reading.get() + 1);
        drop(read_all(stream));
    }));
    Ok(())
}

/// Reads until nothing more comes.
fn read_all(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = [0; 64];
    while stream.read(&mut buffer)? > 0 {}
    Ok(())
}
