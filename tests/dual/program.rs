//! A program written for `std`: servers, clients, locks, channels, threads. What it is compiled against says `super::lib`.
//!
//! Each part returns lines that do not depend on who runs first.

use super::lib::{io, net, sync, thread, thread_local, time};

use std::any::Any;
use std::cell::Cell;
use std::panic::resume_unwind;

use io::{BufRead, BufReader, BufWriter, ErrorKind, IoSlice, Read, Write};
use net::unix::{UnixDatagram, UnixListener, UnixStream};
use net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream, UdpSocket};
use sync::atomic::{AtomicUsize, Ordering};
use sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock, mpsc};
use time::{Duration, Instant};

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(10);

/// All of it.
pub(crate) fn run() -> io::Result<Vec<String>> {
    let mut said = Vec::new();
    for part in [tcp, tcp_options, udp, unix, pipes] {
        said.extend(part()?);
    }
    for part in [threads, locks, channels, once, waiting] {
        said.extend(part());
    }
    Ok(said)
}

// ---- net ----

/// A server of lines, a thread for each connection.
fn serve(listener: TcpListener, connections: usize) -> thread::JoinHandle<io::Result<usize>> {
    thread::spawn(move || {
        let mut workers = Vec::new();
        for stream in listener.incoming().take(connections) {
            let stream = stream?;
            workers.push(thread::spawn(move || -> io::Result<usize> {
                let mut lines = 0;
                let mut output = BufWriter::new(stream.try_clone()?);
                for line in BufReader::new(&stream).lines() {
                    writeln!(output, "{}", line?.to_uppercase())?;
                    output.flush()?;
                    lines += 1;
                }
                Ok(lines)
            }));
        }
        let mut all = 0;
        for worker in workers {
            all += worker.join().expect("a worker")?;
        }
        Ok(all)
    })
}

fn tcp() -> io::Result<Vec<String>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    let server = serve(listener, 5);
    let clients: Vec<_> = (0..5)
        .map(|id| {
            thread::spawn(move || -> io::Result<String> {
                let mut stream = TcpStream::connect(addr)?;
                let mut replies = BufReader::new(stream.try_clone()?);
                let mut text = String::new();
                for word in ["hello", "again"] {
                    writeln!(stream, "{word} {id}")?;
                    replies.read_line(&mut text)?;
                }
                stream.shutdown(Shutdown::Write)?;
                let rest = replies.read_to_string(&mut text)?;
                Ok(format!("tcp {}rest {rest}", text.replace('\n', ", ")))
            })
        })
        .collect();
    let mut said = Vec::new();
    for client in clients {
        said.push(client.join().expect("a client")?);
    }
    let lines = server.join().expect("the server")?;
    said.push(format!("tcp server: {lines} lines"));
    Ok(said)
}

fn kind(late: ErrorKind) -> &'static str {
    match late {
        // What a timeout is called differs between systems as well.
        ErrorKind::WouldBlock | ErrorKind::TimedOut => "late",
        _ => "something else",
    }
}

fn tcp_options() -> io::Result<Vec<String>> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let addr: SocketAddr = listener.local_addr()?;
    let mut a = TcpStream::connect_timeout(&addr, LONG)?;
    let (mut b, from) = listener.accept()?;
    let mut said = vec![format!("accepted {}", from == a.local_addr()?)];
    a.set_nodelay(true)?;
    a.set_ttl(42)?;
    said.push(format!("{} {}", a.nodelay()?, a.ttl()?));
    b.set_read_timeout(Some(SHORT))?;
    let late = b.read(&mut [0; 4]).expect_err("nothing was sent").kind();
    said.push(format!("read: {}", kind(late)));
    let zero = b.set_read_timeout(Some(Duration::ZERO));
    said.push(format!("zero: {:?}", zero.expect_err("zero").kind()));
    b.set_read_timeout(None)?;
    a.set_nonblocking(true)?;
    let none = a.read(&mut [0; 4]).expect_err("nothing was sent").kind();
    said.push(format!("nonblocking: {none:?}"));
    a.set_nonblocking(false)?;
    let n = a.write_vectored(&[IoSlice::new(b"vec"), IoSlice::new(b"tored")])?;
    let mut buf = [0; 8];
    let peeked = b.peek(&mut buf[..3])?;
    b.read_exact(&mut buf)?;
    said.push(format!("{n} {peeked} {}", String::from_utf8_lossy(&buf)));
    a.shutdown(Shutdown::Both)?;
    said.push(format!("end: {}", b.read(&mut buf)?));
    let broken = a.write(b"x").expect_err("shut down").kind();
    said.push(format!("write: {broken:?}"));
    let refused = UdpSocket::bind("127.0.0.1:0")?.peer_addr();
    said.push(format!("peer: {:?}", refused.expect_err("no peer").kind()));
    Ok(said)
}

fn udp() -> io::Result<Vec<String>> {
    let server = UdpSocket::bind("127.0.0.1:0")?;
    let addr = server.local_addr()?;
    let serving = thread::spawn(move || -> io::Result<usize> {
        let mut buf = [0; 64];
        let mut all = 0;
        loop {
            let (n, from) = server.recv_from(&mut buf)?;
            if n == 0 {
                return Ok(all);
            }
            all += n;
            server.send_to(&buf[..n], from)?;
        }
    });
    let client = UdpSocket::bind("127.0.0.1:0")?;
    client.connect(addr)?;
    client.set_read_timeout(Some(LONG))?;
    let mut said = Vec::new();
    for text in ["ping", "longer ping"] {
        client.send(text.as_bytes())?;
        let mut buf = [0; 64];
        let peeked = client.peek(&mut buf)?;
        let n = client.recv(&mut buf)?;
        said.push(format!(
            "udp {peeked} {}",
            String::from_utf8_lossy(&buf[..n])
        ));
    }
    client.send(&[])?;
    let all = serving.join().expect("the server")?;
    said.push(format!("udp server: {all} bytes"));
    Ok(said)
}

fn unix() -> io::Result<Vec<String>> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("dual-{}-{count}-{}", std::process::id(), module_path!());
    let path = std::env::temp_dir().join(name.replace(':', "-"));
    let listener = UnixListener::bind(&path)?;
    let server = thread::spawn(move || -> io::Result<String> {
        let (mut stream, addr) = listener.accept()?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        stream.write_all(b"thanks")?;
        Ok(format!("unix {text} {}", addr.is_unnamed()))
    });
    let mut stream = UnixStream::connect(&path)?;
    std::fs::remove_file(&path)?;
    stream.write_all(b"by a file")?;
    stream.shutdown(Shutdown::Write)?;
    let mut said = vec![io::read_to_string(&stream)?];
    said.push(server.join().expect("the server")?);
    let (a, b) = UnixDatagram::pair()?;
    let echo = thread::spawn(move || -> io::Result<()> {
        let mut buf = [0; 16];
        let n = b.recv(&mut buf)?;
        b.send(&buf[..n]).map(drop)
    });
    a.send(b"datagram")?;
    let mut buf = [0; 16];
    let n = a.recv(&mut buf)?;
    echo.join().expect("the echo")?;
    said.push(format!("unix {}", String::from_utf8_lossy(&buf[..n])));
    Ok(said)
}

fn pipes() -> io::Result<Vec<String>> {
    let (mut reader, mut writer) = io::pipe()?;
    let task = thread::spawn(move || -> io::Result<()> {
        let mut cursor = io::Cursor::new(vec![b'p'; 100_000]);
        io::copy(&mut cursor, &mut writer).map(drop)
    });
    let mut all = Vec::new();
    reader.read_to_end(&mut all)?;
    task.join().expect("the writer")?;
    Ok(vec![format!("pipe {}", all.len())])
}

// ---- threads ----

thread_local! {
    static MINE: Cell<usize> = const { Cell::new(0) };
}

fn threads() -> Vec<String> {
    let named = thread::Builder::new()
        .name("worker".to_owned())
        .spawn(|| thread::current().name().map(str::to_owned))
        .expect("a thread");
    let mut said = vec![format!("name {:?}", named.join().expect("its end"))];

    let panicked: thread::Result<()> =
        thread::spawn(|| resume_unwind(Box::new("on purpose"))).join();
    let payload: Box<dyn Any + Send> = panicked.expect_err("a panic");
    said.push(format!("panic {:?}", payload.downcast_ref::<&str>()));

    let mut numbers = vec![1, 2, 3, 4];
    let sum: i32 = thread::scope(|s| {
        let parts: Vec<_> = numbers
            .chunks_mut(2)
            .map(|part| {
                s.spawn(|| {
                    part.iter_mut().for_each(|n| *n *= 10);
                    part.iter().sum::<i32>()
                })
            })
            .collect();
        parts.into_iter().map(|p| p.join().expect("a part")).sum()
    });
    said.push(format!("scope {sum} {numbers:?}"));

    MINE.with(|mine| mine.set(7));
    let theirs = thread::spawn(|| MINE.with(Cell::get))
        .join()
        .expect("its end");
    said.push(format!("local {} {theirs}", MINE.with(Cell::get)));

    let flag = Arc::new(AtomicUsize::new(0));
    let parked = {
        let flag = Arc::clone(&flag);
        thread::spawn(move || {
            while flag.load(Ordering::Acquire) == 0 {
                thread::park();
            }
            "unparked"
        })
    };
    thread::yield_now();
    flag.store(1, Ordering::Release);
    parked.thread().unpark();
    said.push(parked.join().expect("its end").to_owned());
    said
}

fn locks() -> Vec<String> {
    let counter = Arc::new(Mutex::new(0));
    let gate = Arc::new(Barrier::new(8));
    let table = Arc::new(RwLock::new(vec![0; 8]));
    let workers: Vec<_> = (0..8)
        .map(|id| {
            let (counter, gate, table) =
                (Arc::clone(&counter), Arc::clone(&gate), Arc::clone(&table));
            thread::spawn(move || {
                for _ in 0..100 {
                    let mut count = counter.lock().unwrap();
                    let old = *count;
                    thread::yield_now();
                    *count = old + 1;
                }
                table.write().unwrap()[id] = id * id;
                let leader = gate.wait().is_leader();
                // All have written.
                (leader, table.read().unwrap().iter().sum::<usize>())
            })
        })
        .collect();
    let ends: Vec<_> = workers.into_iter().map(|w| w.join().unwrap()).collect();
    let leaders = ends.iter().filter(|(leader, _)| *leader).count();
    let mut said = vec![format!(
        "count {}, {leaders} leader, sums {:?}",
        counter.lock().unwrap(),
        ends.iter().map(|(_, sum)| sum).collect::<Vec<_>>()
    )];

    let pair = Arc::new((Mutex::new(Vec::new()), Condvar::new()));
    let consumer = {
        let pair = Arc::clone(&pair);
        thread::spawn(move || {
            let (items, more) = &*pair;
            let mut got: Vec<u32> = Vec::new();
            while got.len() < 5 {
                let mut items = more
                    .wait_while(items.lock().unwrap(), |items: &mut Vec<u32>| {
                        items.is_empty()
                    })
                    .unwrap();
                got.append(&mut items);
            }
            got
        })
    };
    for i in 0..5 {
        pair.0.lock().unwrap().push(i);
        pair.1.notify_one();
        thread::yield_now();
    }
    said.push(format!("condvar {:?}", consumer.join().unwrap()));
    let (guard, result) = pair.1.wait_timeout(pair.0.lock().unwrap(), SHORT).unwrap();
    said.push(format!("timed out {} {}", result.timed_out(), guard.len()));
    let busy = pair.0.try_lock().is_err();
    drop(guard);
    said.push(format!("try {busy} {}", pair.0.try_lock().is_ok()));
    said
}

fn channels() -> Vec<String> {
    let (tx, rx) = mpsc::channel();
    let senders: Vec<_> = (0..4)
        .map(|id| {
            let tx = tx.clone();
            thread::spawn(move || (0..25).for_each(|i| tx.send(id * 25 + i).unwrap()))
        })
        .collect();
    drop(tx);
    let mut all: Vec<u32> = rx.iter().collect();
    all.sort_unstable();
    senders.into_iter().for_each(|s| s.join().unwrap());
    let mut said = vec![format!("mpsc {} {:?}", all.len(), rx.recv())];

    let (tx, rx) = mpsc::sync_channel(1);
    let sender = thread::spawn(move || {
        let sent = (0..3).map(|i| tx.send(i).is_ok()).collect::<Vec<_>>();
        (sent, tx)
    });
    let got: Vec<_> = (0..3).map(|_| rx.recv().unwrap()).collect();
    let (sent, tx) = sender.join().unwrap();
    said.push(format!("sync_channel {got:?} {sent:?}"));
    said.push(format!("late {:?}", rx.recv_timeout(SHORT)));
    said.push(format!("{:?} {:?}", tx.try_send(1), tx.try_send(2)));
    drop(rx);
    said.push(format!("{:?}", tx.send(9)));
    said
}

fn once() -> Vec<String> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static ONCE: Once = Once::new();
    static CELL: OnceLock<usize> = OnceLock::new();
    static LAZY: LazyLock<String> = LazyLock::new(|| "made when asked for".to_owned());
    let workers: Vec<_> = (0..4)
        .map(|id| {
            thread::spawn(move || {
                ONCE.call_once(|| {
                    thread::yield_now();
                    CALLS.fetch_add(1, Ordering::SeqCst);
                });
                *CELL.get_or_init(|| id)
            })
        })
        .collect();
    let ids: Vec<_> = workers.into_iter().map(|w| w.join().unwrap()).collect();
    let same = ids.iter().all(|id| *id == ids[0]);
    vec![
        format!(
            "once {} {}",
            CALLS.load(Ordering::SeqCst),
            ONCE.is_completed()
        ),
        format!("cell {same} {:?}", CELL.set(9).is_err()),
        LAZY.clone(),
    ]
}

fn waiting() -> Vec<String> {
    let start = Instant::now();
    let sleepers: Vec<_> = (0..20)
        .map(|_| thread::spawn(|| thread::sleep(SHORT)))
        .collect();
    sleepers.into_iter().for_each(|s| s.join().unwrap());
    thread::park_timeout(SHORT);
    vec![format!("slept {}", start.elapsed() >= SHORT)]
}
