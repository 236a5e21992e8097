//! Two greenlets that hand control to each other by name: the classic first program.
//!
//! ```sh
//! cargo run --release --example switch_classic
//! ```
//!
//! ```text
//! 12
//! 56
//! 34
//! 78
//! ```
//!
//! Each needs the other's handle before either has a body, so both are made unbound and bound afterwards.
//! `test2` is the one that returns; its parent, `main`, goes on. `test1` is still suspended then, and the
//! scope's end unwinds it.
#![forbid(unsafe_code)]

use greenloom::greenlet::{self, Current};

fn main() {
    greenlet::scope(|s, main: &Current<()>| {
        let (one, two) = (s.unbound::<(), ()>(main), s.unbound::<(), ()>(main));
        let (test1, test2) = (one.handle(), two.handle());
        let start = one.handle();

        one.bind(move |me, ()| {
            println!("12");
            me.switch(&test2, ()).expect("test2 starts");
            println!("34");
            me.switch(&test2, ()).expect("test2 goes on");
        });
        two.bind(move |me, ()| {
            println!("56");
            me.switch(&test1, ()).expect("test1 goes on");
            println!("78");
        });

        main.switch(&start, ()).expect("test1 starts");
    });
}
