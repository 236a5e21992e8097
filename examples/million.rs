//! A million parked greenlets on one thread: what each costs in memory, and what it costs to wake them.
//!
//! ```sh
//! cargo run --release --example million            # or a smaller number: … --example million 10000
//! ```
//!
//! ```text
//! greenlets          …
//! bytes each         …  (resident … + page tables …)
//! mappings           …  in the process
//! create and park    … ns each
//! resume in order    … ns each
//! resume at random   … ns each
//! finish             … ns each
//! ```
//!
//! Each greenlet has a guarded stack of its own, of which one page is resident. The numbers are the differences of
//! `VmRSS` and `VmPTE` in `/proc/self/status` before the first greenlet and with all of them parked.
#![forbid(unsafe_code)]

use std::time::Instant;
use std::{env, fs, io};

use greenloom::greenlet::{self, Current, Greenlet};

fn main() -> io::Result<()> {
    let n: usize = match env::args().nth(1).map(|n| n.replace('_', "").parse()) {
        None => 1_000_000,
        Some(Ok(n)) if n > 0 => n,
        Some(_) => {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "usage: million [N]",
            ));
        }
    };
    greenlet::scope(|s, me: &Current<()>| {
        // Our own tables are filled first, so that they do not count.
        let order = shuffled(n);
        let mut parked: Vec<Option<Greenlet<()>>> = Vec::new();
        parked.resize_with(n, || None);
        let (resident, tables) = (status_bytes("VmRSS:")?, status_bytes("VmPTE:")?);

        let start = Instant::now();
        for place in &mut parked {
            let main = me.handle();
            let greenlet = s.try_spawn(me, move |me: &Current<(), ()>, ()| {
                // Parked after its creation, after the resumes in order and at random; then it ends.
                for _ in 0..3 {
                    me.switch(&main, ()).expect("main waits");
                }
            })?;
            resume(me, place.insert(greenlet));
        }
        let create = start.elapsed();
        let resident = status_bytes("VmRSS:")?.saturating_sub(resident) / n;
        let tables = status_bytes("VmPTE:")?.saturating_sub(tables) / n;
        let mappings = fs::read_to_string("/proc/self/maps")?.lines().count();

        let start = Instant::now();
        parked
            .iter()
            .flatten()
            .for_each(|greenlet| resume(me, greenlet));
        let in_order = start.elapsed();

        // The handles in the other order, so that it is the greenlets that are at random places and not our table.
        let shuffled: Vec<Greenlet<()>> =
            order.iter().filter_map(|&i| parked[i as usize]).collect();
        let start = Instant::now();
        for (at, greenlet) in shuffled.iter().enumerate() {
            // The one four ahead: its page is on the way while the next three run. The hub does so for its tasks.
            if let Some(ahead) = shuffled.get(at + 4) {
                ahead.prefetch();
            }
            resume(me, greenlet);
        }
        let at_random = start.elapsed();

        let start = Instant::now();
        parked
            .iter()
            .flatten()
            .for_each(|greenlet| resume(me, greenlet));
        let finish = start.elapsed();

        println!("greenlets          {n}");
        println!(
            "bytes each         {}  (resident {resident} + page tables {tables})",
            resident + tables
        );
        println!("mappings           {mappings}  in the process");
        let times = [
            ("create and park", create),
            ("resume in order", in_order),
            ("resume at random", at_random),
            ("finish", finish),
        ];
        for (what, time) in times {
            println!("{what:<18} {} ns each", time.as_nanos() / n as u128);
        }
        Ok(())
    })
}

fn resume(me: &Current<()>, greenlet: &Greenlet<()>) {
    me.switch(greenlet, ())
        .expect("it is parked, and comes back here");
}

/// A line of `/proc/self/status`, which are in KiB.
fn status_bytes(field: &str) -> io::Result<usize> {
    let status = fs::read_to_string("/proc/self/status")?;
    let kib = status.lines().find_map(|line| {
        line.strip_prefix(field)?
            .split_whitespace()
            .next()?
            .parse()
            .ok()
    });
    kib.map(|kib: usize| kib * 1024)
        .ok_or_else(|| io::Error::other(format!("no {field} in /proc/self/status")))
}

/// The numbers below `n` in an order that the caches cannot foresee, the same in each run.
fn shuffled(n: usize) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(n).expect("fewer than 2^32")).collect();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    for last in (1..n).rev() {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        order.swap(last, (state % (last as u64 + 1)) as usize);
    }
    order
}
