//! Random programs: tasks do random things with a mixture of objects, and are killed and timed out at random. Tokens go
//! round; in the end each is somewhere, or was dropped with a task that was killed with it.
//!
//! ```text
//!           ┌─ Queue(1) ─ LifoQueue(2) ─ PriorityQueue(1) ─ channel(0) ─ pool: Mutex<Vec> + Condvar ─┐
//! task ── takes one from any ──► in hand ──► puts it into any ──► …                                     │
//!    └─ between: Semaphore(2), RwLock, Mutex, each taken, kept for a while, given back                 ─┘
//! ```
//!
//! Every call is limited: by its own timeout or one around it. So each program ends; a task that is forgotten holds up
//! none, but what it waited for is missing from the books, or free and not to be had.
#![forbid(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use greenloom::queue::{LifoQueue, PriorityQueue, Queue, Receiver, Sender, channel};
use greenloom::sync::{Condvar, Mutex, RwLock, Semaphore};
use greenloom::task::{self, JoinHandle};
use greenloom::{sleep, spawn, timeout, yield_now};

use crate::dice::Dice;
use crate::driver::TICK;

/// Whose tokens are alive.
type Alive = Rc<RefCell<BTreeSet<u32>>>;

/// There is one of each number.
struct Token(u32, Alive);

impl Token {
    fn new(number: u32, alive: &Alive) -> Self {
        assert!(alive.borrow_mut().insert(number), "made twice");
        Self(number, Rc::clone(alive))
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        assert!(self.1.borrow_mut().remove(&self.0), "dropped twice");
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl Eq for Token {}

impl PartialOrd for Token {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Token {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

const PERMITS: usize = 2;

/// What there is.
struct World {
    queue: Queue<Token>,
    stack: LifoQueue<Token>,
    heap: PriorityQueue<Token>,
    tx: Sender<Token>,
    rx: Receiver<Token>,
    pool: Mutex<Vec<Token>>,
    came: Condvar,
    semaphore: Semaphore,
    out: Cell<usize>,
    lock: RwLock<()>,
    readers: Cell<usize>,
    writers: Cell<usize>,
    mutex: Mutex<()>,
    alive: Alive,
    dice: Dice,
    /// Token numbers, and what the tasks have in hand.
    made: Cell<u32>,
    in_hand: Cell<usize>,
}

/// One more of them, until it is dropped.
struct More<'a>(&'a Cell<usize>, usize);

impl<'a> More<'a> {
    fn new(n: &'a Cell<usize>, by: usize) -> Self {
        n.set(n.get() + by);
        Self(n, by)
    }
}

impl Drop for More<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - self.1);
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let (tx, rx) = channel(0);
        Self {
            queue: Queue::bounded(1),
            stack: LifoQueue::bounded(2),
            heap: PriorityQueue::bounded(1),
            tx,
            rx,
            pool: Mutex::default(),
            came: Condvar::new(),
            semaphore: Semaphore::new(PERMITS),
            out: Cell::new(0),
            lock: RwLock::new(()),
            readers: Cell::new(0),
            writers: Cell::new(0),
            mutex: Mutex::new(()),
            alive: Alive::default(),
            dice: Dice::new(!seed),
            made: Cell::new(0),
            in_hand: Cell::new(0),
        }
    }

    fn limit(&self) -> Duration {
        TICK * self.dice.below(3) as u32
    }

    fn pause(&self) {
        match self.dice.below(3) {
            0 => {}
            1 => yield_now(),
            _ => sleep(TICK),
        }
    }

    fn take(&self, d: Option<Duration>) -> Option<Token> {
        match (self.dice.below(5), d) {
            (0, None) => self.queue.get().ok(),
            (0, Some(d)) => self.queue.get_timeout(d).ok(),
            (1, None) => self.stack.get().ok(),
            (1, Some(d)) => self.stack.get_timeout(d).ok(),
            (2, None) => self.heap.get().ok(),
            (2, Some(d)) => self.heap.get_timeout(d).ok(),
            (3, None) => self.rx.recv().ok(),
            (3, Some(d)) => self.rx.recv_timeout(d).ok(),
            (_, None) => {
                let pool = self.pool.lock().unwrap();
                let mut pool = self.came.wait_while(pool, |p| p.is_empty()).unwrap();
                pool.pop()
            }
            (_, Some(d)) => {
                let pool = self.pool.lock().unwrap();
                let waited = self.came.wait_timeout_while(pool, d, |p| p.is_empty());
                waited.unwrap().0.pop()
            }
        }
    }

    /// Puts it somewhere; a token that comes back is dropped, as one that is lost with a killed task is.
    fn put(&self, token: Token, d: Option<Duration>) {
        match (self.dice.below(5), d) {
            (0, None) => drop(self.queue.put(token)),
            (0, Some(d)) => drop(self.queue.put_timeout(token, d)),
            (1, None) => drop(self.stack.put(token)),
            (1, Some(d)) => drop(self.stack.put_timeout(token, d)),
            (2, None) => drop(self.heap.put(token)),
            (2, Some(d)) => drop(self.heap.put_timeout(token, d)),
            (3, None) => drop(self.tx.send(token)),
            (3, Some(d)) => drop(self.tx.send_timeout(token, d)),
            _ => {
                self.pool.lock().unwrap().push(token);
                self.came.notify_one();
            }
        }
    }

    /// Takes what has to be given back, and gives it back.
    fn enter(&self, d: Option<Duration>) {
        match self.dice.below(4) {
            0 => {
                let n = 1 + self.dice.pick(PERMITS);
                let permit = match d {
                    None => Some(self.semaphore.acquire_many(n)),
                    Some(d) => self.semaphore.acquire_many_timeout(n, d),
                };
                if permit.is_some() {
                    let _out = More::new(&self.out, n);
                    assert!(self.out.get() <= PERMITS);
                    self.pause();
                }
            }
            1 => {
                let guard = match d {
                    None => self.lock.read().ok(),
                    Some(d) => self.lock.read_timeout(d),
                };
                if guard.is_some() {
                    let _inside = More::new(&self.readers, 1);
                    assert_eq!(self.writers.get(), 0);
                    self.pause();
                }
            }
            2 => {
                let guard = match d {
                    None => self.lock.write().ok(),
                    Some(d) => self.lock.write_timeout(d),
                };
                if guard.is_some() {
                    let _inside = More::new(&self.writers, 1);
                    assert_eq!((self.readers.get(), self.writers.get()), (0, 1));
                    self.pause();
                }
            }
            _ => {
                let guard = match d {
                    None => self.mutex.lock().ok(),
                    Some(d) => self.mutex.lock_timeout(d),
                };
                if guard.is_some() {
                    self.pause();
                    // Waits with the lock held.
                    drop(self.take(Some(self.limit())));
                }
            }
        }
    }

    fn step(&self, d: Option<Duration>) {
        match self.dice.below(4) {
            0 => {
                self.made.set(self.made.get() + 1);
                let token = Token::new(self.made.get(), &self.alive);
                let _hand = More::new(&self.in_hand, 1);
                self.put(token, d);
            }
            1 => drop(self.take(d)),
            2 => {
                if let Some(token) = self.take(d) {
                    let _hand = More::new(&self.in_hand, 1);
                    self.pause();
                    self.put(token, d);
                }
            }
            _ => self.enter(d),
        }
    }

    fn run(&self) {
        for _ in 0..6 {
            if self.dice.coin() {
                self.step(Some(self.limit()));
            } else {
                // Whether it came to that, the books do not ask.
                let _ = timeout(self.limit(), || self.step(None));
            }
            self.pause();
        }
    }

    fn len(&self) -> usize {
        let pool = self.pool.try_lock().expect("nobody has the pool").len();
        self.queue.len() + self.stack.len() + self.heap.len() + self.rx.len() + pool
    }
}

/// One program, as the main of a simulation.
pub(crate) fn run(seed: u64) {
    let world = Rc::new(World::new(seed));
    let tasks: Vec<JoinHandle<()>> = (0..3 + world.dice.pick(4))
        .map(|_| {
            let world = Rc::clone(&world);
            spawn(move || world.run())
        })
        .collect();
    for _ in 0..world.dice.below(6) {
        world.pause();
        tasks[world.dice.pick(tasks.len())].kill();
    }
    for task in tasks {
        match task.join() {
            Ok(()) => {}
            Err(e) => assert!(e.is_killed(), "a task ended with {e}"),
        }
    }
    assert_eq!(task::count(), 0);
    assert_eq!(world.in_hand.get(), 0);
    assert_eq!(
        world.alive.borrow().len(),
        world.len(),
        "tokens, and places"
    );

    // Nobody holds anything, nobody is queued any more.
    assert!(world.semaphore.try_acquire_many(PERMITS).is_some());
    assert!(world.lock.try_write().is_ok());
    assert!(world.mutex.try_lock().is_ok());
    // What is there can be had, and what is put is got.
    while world.queue.try_get().is_ok() || world.stack.try_get().is_ok() {}
    while world.heap.try_get().is_ok() || world.rx.try_recv().is_ok() {}
    drop(std::mem::take(&mut *world.pool.lock().unwrap()));
    assert_eq!(world.alive.borrow().len(), 0, "tokens that nobody can get");
    let getters: Vec<JoinHandle<bool>> = (0..5)
        .map(|place| {
            let world = Rc::clone(&world);
            spawn(move || match place {
                0 => world.queue.get().is_ok(),
                1 => world.stack.get().is_ok(),
                2 => world.heap.get().is_ok(),
                3 => world.rx.recv().is_ok(),
                _ => {
                    let pool = world.pool.lock().unwrap();
                    let waited = world.came.wait_while(pool, |p| p.is_empty());
                    waited.unwrap().pop().is_some()
                }
            })
        })
        .collect();
    sleep(TICK);
    let token = |n| Token::new(n, &world.alive);
    assert!(world.queue.try_put(token(u32::MAX)).is_ok());
    assert!(world.stack.try_put(token(u32::MAX - 1)).is_ok());
    assert!(world.heap.try_put(token(u32::MAX - 2)).is_ok());
    assert!(world.tx.try_send(token(u32::MAX - 3)).is_ok());
    world.pool.lock().unwrap().push(token(u32::MAX - 4));
    world.came.notify_one();
    for getter in getters {
        assert!(getter.join().unwrap());
    }
    assert!(world.alive.borrow().is_empty());
}
