//! A chat room: a line in is a line out to everybody else. A server and three clients in one thread.
//!
//! ```sh
//! cargo run --release --example chat
//! ```
//!
//! Each guest has a queue of lines to get, and a task that writes them: who does not read stalls nobody else, and is shown
//! the door when too much has piled up.
//!
//! ```text
//! Ann hears: * Bob has joined
//! Ann hears: * Cid has joined
//! Bob hears: * Cid has joined
//! Ann says: good morning
//! Bob hears: Ann: good morning
//! Cid hears: Ann: good morning
//! Cid says: is there coffee?
//! Ann hears: Cid: is there coffee?
//! Bob hears: Cid: is there coffee?
//! Bob leaves
//! Ann hears: * Bob has left
//! Cid hears: * Bob has left
//! the room closes
//! Ann hears: * the room is closed
//! Cid hears: * the room is closed
//! ```
#![forbid(unsafe_code)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use greenloom::net::TcpStream;
use greenloom::queue::Queue;
use greenloom::server::StreamServer;
use greenloom::spawn;
use greenloom::task::finally;

/// Lines that a guest may be behind.
const BACKLOG: usize = 100;

struct Guest {
    name: String,
    lines: Rc<Queue<Rc<str>>>,
}

/// Who is here, by address. Borrowed for no longer than it takes to hand a line to everybody's queue.
#[derive(Default)]
struct Room(RefCell<BTreeMap<SocketAddr, Guest>>);

impl Room {
    fn tell_others(&self, speaker: SocketAddr, line: String) {
        let line: Rc<str> = line.into();
        for (addr, guest) in &*self.0.borrow() {
            if *addr != speaker && guest.lines.try_put(Rc::clone(&line)).is_err() {
                // Too far behind: the writer comes to the end of the queue, and closes.
                guest.lines.close();
            }
        }
    }

    fn host(&self, stream: &Rc<TcpStream>, addr: SocketAddr) -> io::Result<()> {
        let mut said = BufReader::new(&**stream).lines();
        let Some(name) = said.next().transpose()? else {
            return Ok(());
        };
        let lines = Rc::new(Queue::bounded(BACKLOG));
        let (mine, out) = (Rc::clone(&lines), Rc::clone(stream));
        let guest = Guest {
            name: name.clone(),
            lines,
        };
        self.0.borrow_mut().insert(addr, guest);
        spawn(move || {
            while let Ok(line) = mine.get() {
                if writeln!(&*out, "{line}").is_err() {
                    break;
                }
            }
            out.close();
        });
        self.tell_others(addr, format!("* {name} has joined"));
        finally(
            || {
                for line in said {
                    self.tell_others(addr, format!("{name}: {}", line?));
                }
                Ok(())
            },
            || self.leave(addr),
        )
    }

    /// Shows everybody the door, after a last line.
    fn close(&self) {
        for guest in self.0.borrow().values() {
            // Who is too far behind for it misses it.
            let _ = guest.lines.try_put("* the room is closed".into());
            guest.lines.close();
        }
    }

    fn leave(&self, addr: SocketAddr) {
        let guest = self.0.borrow_mut().remove(&addr);
        if let Some(guest) = guest {
            guest.lines.close();
            self.tell_others(addr, format!("* {} has left", guest.name));
        }
    }
}

/// A guest, seen from the other end.
struct Client {
    name: &'static str,
    stream: BufReader<TcpStream>,
}

impl Client {
    fn join(addr: SocketAddr, name: &'static str) -> io::Result<Self> {
        let stream = TcpStream::connect(addr)?;
        writeln!(&stream, "{name}")?;
        let stream = BufReader::new(stream);
        Ok(Self { name, stream })
    }

    fn says(&self, line: &str) -> io::Result<()> {
        println!("{} says: {line}", self.name);
        writeln!(self.stream.get_ref(), "{line}")
    }

    fn hears(&mut self) -> io::Result<()> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        print!("{} hears: {line}", self.name);
        Ok(())
    }
}

fn main() -> io::Result<()> {
    let room = Rc::new(Room::default());
    let open = Rc::clone(&room);
    let server = StreamServer::builder("127.0.0.1:0")
        .name("chat")
        .serve(move |stream, addr| {
            // Its error is the guest's going away.
            let _ = open.host(&Rc::new(stream), addr);
        })?;
    let addr = server.local_addr();

    let mut ann = Client::join(addr, "Ann")?;
    while server.active() < 1 {
        greenloom::yield_now();
    }
    let mut bob = Client::join(addr, "Bob")?;
    ann.hears()?;
    let mut cid = Client::join(addr, "Cid")?;
    ann.hears()?;
    bob.hears()?;
    ann.says("good morning")?;
    bob.hears()?;
    cid.hears()?;
    cid.says("is there coffee?")?;
    ann.hears()?;
    bob.hears()?;
    println!("Bob leaves");
    drop(bob);
    ann.hears()?;
    cid.hears()?;
    println!("the room closes");
    server.close();
    room.close();
    server.stop(Duration::from_secs(5));
    ann.hears()?;
    cid.hears()?;
    Ok(())
}
