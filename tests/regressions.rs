//! Bugs that were there once.
#![forbid(unsafe_code)]

use std::cell::Cell;
use std::rc::Rc;

use greenloom::greenlet::{Current, scope};
use greenloom::{spawn, yield_now};

/// Notes that its destructor, which gives way many times, has come to its end.
struct SlowDrop(Rc<Cell<bool>>);

impl Drop for SlowDrop {
    fn drop(&mut self) {
        for _ in 0..20 {
            yield_now();
        }
        self.0.set(true);
    }
}

/// The value of a greenlet whose parent is dead is dropped on the greenlet's own stack. The scope used to forget such a
/// greenlet before that, and could end while the destructor was parked, with what it borrowed.
#[test]
fn a_scope_waits_for_the_destructor_of_a_value_that_goes_nowhere() {
    let dropped = Rc::new(Cell::new(false));
    let theirs = dropped.clone();
    let opener = spawn(move || {
        scope(|s, me: &Current<()>| {
            let parent = s.spawn(me, |_: &Current<SlowDrop, ()>, _: SlowDrop| ());
            let child = s.spawn(&parent, |_: &Current<(), SlowDrop>, ()| SlowDrop(theirs));
            s.reap(&parent);
            let _ = me.switch(&child, ());
        });
    });
    yield_now();
    assert!(!dropped.get());
    opener.kill();
    assert!(opener.join().unwrap_err().is_killed());
    assert!(dropped.get(), "the scope ended before the destructor");
}
