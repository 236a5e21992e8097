//! A program that was written for `std`, compiled twice: only what its `use` lines lead to differs, and it says the same.
//!
//! ```text
//! dual/program.rs ── use super::lib ─┬─► dual/on_std.rs         lib = std
//!                                    └─► dual/on_greenloom.rs   lib = this crate
//! ```
#![forbid(unsafe_code)]
#![expect(clippy::duplicate_mod, reason = "that is the point")]

#[path = "dual/on_greenloom.rs"]
mod on_greenloom;
#[path = "dual/on_std.rs"]
mod on_std;

const EXPECTED: &str = "\
tcp HELLO 0, AGAIN 0, rest 0
tcp HELLO 1, AGAIN 1, rest 0
tcp HELLO 2, AGAIN 2, rest 0
tcp HELLO 3, AGAIN 3, rest 0
tcp HELLO 4, AGAIN 4, rest 0
tcp server: 10 lines
accepted true
true 42
read: late
zero: InvalidInput
nonblocking: WouldBlock
8 3 vectored
end: 0
write: BrokenPipe
peer: NotConnected
udp 4 ping
udp 11 longer ping
udp server: 15 bytes
thanks
unix by a file true
unix datagram
pipe 100000
name Some(\"worker\")
panic Some(\"on purpose\")
scope 100 [10, 20, 30, 40]
local 7 0
unparked
count 800, 1 leader, sums [140, 140, 140, 140, 140, 140, 140, 140]
condvar [0, 1, 2, 3, 4]
timed out true 0
try true true
mpsc 100 Err(RecvError)
sync_channel [0, 1, 2] [true, true, true]
late Err(Timeout)
Ok(()) Err(TrySendError::Full(..))
Err(SendError { .. })
once 1 true
cell true true
made when asked for
slept true";

#[test]
fn it_says_the_same_on_std_and_on_this_crate() {
    let std = on_std::program::run().unwrap();
    let ours = on_greenloom::program::run().unwrap();
    assert_eq!(std.join("\n"), EXPECTED, "on std");
    assert_eq!(ours.join("\n"), EXPECTED, "on this crate");
}

#[test]
fn it_runs_in_a_task_as_well() {
    let task = greenloom::spawn(|| on_greenloom::program::run().unwrap());
    assert_eq!(task.join().unwrap().join("\n"), EXPECTED);
}
