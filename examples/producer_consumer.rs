//! A producer and a consumer that take turns by explicit switches, with values both ways and no queue.
//!
//! ```sh
//! cargo run --release --example producer_consumer
//! ```
//!
//! ```text
//! made 1
//!   took 1
//! made 2
//!   took 2
//! made 3
//!   took 3
//! the consumer counted 3 items, sum 6
//! ```
//!
//! The consumer's inbox takes `Option<u32>` (`None`: no more), the producer's takes what the consumer knows so far.
//! Both types are checked when this compiles. What the consumer returns in the end goes to its parent, the
//! producer, which is waiting in its last switch.
#![forbid(unsafe_code)]

use greenloom::greenlet::{self, Current};

/// What the consumer tells the producer.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    items: u32,
    sum: u32,
}

fn main() {
    let tally = greenlet::scope(|s, me: &Current<Tally>| {
        let producer = me.handle();
        let consumer = s.spawn(me, move |me: &Current<Option<u32>, Tally>, first| {
            let (mut next, mut tally) = (first, Tally::default());
            while let Some(item) = next {
                println!("  took {item}");
                tally = Tally {
                    items: tally.items + 1,
                    sum: tally.sum + item,
                };
                next = me.switch(&producer, tally).expect("the producer waits");
            }
            tally
        });

        for item in 1..=3 {
            println!("made {item}");
            let so_far = me
                .switch(&consumer, Some(item))
                .expect("the consumer waits");
            assert_eq!(so_far.items, item);
        }
        me.switch(&consumer, None)
            .expect("the consumer returns its tally")
    });
    println!(
        "the consumer counted {} items, sum {}",
        tally.items, tally.sum
    );
}
