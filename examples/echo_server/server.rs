//! The server proper: a task that accepts, and a task per connection.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use greenloom::net::{TcpListener, TcpStream};
use greenloom::task::JoinHandle;
use greenloom::{join_all, sleep, spawn};

/// The listener, and whether it was closed on purpose.
pub(crate) struct Door {
    listener: TcpListener,
    closing: AtomicBool,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self {
            listener,
            closing: AtomicBool::new(false),
        }
    }

    /// Wakes the accepting task, from whatever thread this is called on.
    pub(crate) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.listener.close();
    }
}

/// A connection that is being served: its socket, and the task that serves it.
type Open = (Rc<TcpStream>, JoinHandle<()>);

/// Tasks never leave their thread, so what they share needs neither locks nor atomics.
pub(crate) struct Server {
    upper: bool,
    pub(crate) accepted: Cell<u64>,
    pub(crate) bytes: Cell<u64>,
    open: RefCell<HashMap<u64, Open>>,
}

impl Server {
    /// A server without connections, which answers in upper case if it is told to.
    pub(crate) fn new(upper: bool) -> Rc<Self> {
        let (accepted, bytes, open) = Default::default();
        Rc::new(Self {
            upper,
            accepted,
            bytes,
            open,
        })
    }

    /// Accepts until the door is closed.
    pub(crate) fn accept_all(self: &Rc<Self>, door: &Door) {
        loop {
            match door.listener.accept() {
                Ok((stream, _)) => self.adopt(Rc::new(stream)),
                Err(_) if door.closing.load(Ordering::SeqCst) => return,
                Err(error) => {
                    // Out of descriptors, most likely: some of them will be closed.
                    eprintln!("accept: {error}");
                    sleep(Duration::from_millis(10));
                }
            }
        }
    }

    /// Gives a connection a task of its own.
    fn adopt(self: &Rc<Self>, stream: Rc<TcpStream>) {
        let id = self.accepted.replace(self.accepted.get() + 1);
        let (server, socket) = (Rc::clone(self), Rc::clone(&stream));
        let task = spawn(move || {
            // A client that goes away in the middle is its own affair.
            let _ = server.echo(&socket);
            let entry = server.open.borrow_mut().remove(&id);
            drop(entry);
        });
        // The task has not run yet: a spawned one starts when its spawner waits.
        self.open.borrow_mut().insert(id, (stream, task));
    }

    fn echo(&self, mut socket: &TcpStream) -> io::Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = [0; 4096];
        loop {
            let read = socket.read(&mut buffer)?;
            if read == 0 {
                return Ok(());
            }
            if self.upper {
                buffer[..read].make_ascii_uppercase();
            }
            socket.write_all(&buffer[..read])?;
            self.bytes.set(self.bytes.get() + read as u64);
        }
    }

    /// Ends every connection after what it has read, and waits for their tasks.
    pub(crate) fn finish(&self) {
        let tasks: Vec<_> = self
            .open
            .take()
            .into_values()
            .map(|(socket, task)| {
                let _ = socket.shutdown(Shutdown::Read);
                task
            })
            .collect();
        join_all(tasks, Some(Duration::from_secs(5)));
    }
}
