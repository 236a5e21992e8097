//! Benchmarks of greenloom beside their references.
//!
//! One binary plays six parts, chosen by its arguments (see [`cli`]):
//!
//! ```text
//!   bench CASE                   the parent: launches itself, takes medians, prints the table
//!    └─ bench --child CASE       one launch: measures value and reference in alternate rounds
//!        ├─ bench --serve KIND   an echo server on core 0
//!        └─ bench --drive ADDR   its client on core 1
//!   bench plot --from FILE       draws what `--json` wrote; bench summary --from FILE: a table of it
//!   bench --load ADDR            such a client alone, for `syscalls.sh`
//! ```
//!
//! Several launches are needed because the layout of one process (addresses of stacks, alignment of a
//! loop) can shift a result by a factor of two for as long as the process lives; alternate rounds are
//! needed because the machine's speed drifts while it lives. Every process but the parent ends with the one that
//! started it, and after ten minutes in any case. What a number means is said in `README.md`.

mod about;
mod alloc;
mod cases;
mod cli;
mod echo;
mod foreign;
mod launch;
mod load;
mod measure;
mod memory;
mod peers;
mod plot;
mod processes;
mod reference;
mod report;
mod servers;
mod slots;
mod spin;
mod stats;
mod suite;
mod sys;
mod timers;

use std::process::ExitCode;

use cli::{Mode, Options};

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("bench: {message}\n\n{}", cli::USAGE);
            return ExitCode::from(2);
        }
    };
    if !matches!(
        options.mode,
        Mode::Help | Mode::Parent(_) | Mode::Plot(_) | Mode::Summary(_)
    ) && let Err(error) = sys::live_at_most(options.seconds)
    {
        eprintln!("bench: {error}");
        return ExitCode::FAILURE;
    }
    let outcome = match &options.mode {
        Mode::Help => {
            println!("{}", cli::USAGE);
            Ok(())
        }
        Mode::Parent(case) => launch::run(case, &options),
        Mode::Plot(file) => launch::plot(file, &options),
        Mode::Summary(file) => launch::sum_up(file),
        Mode::Child(case) => suite::run_child(case, &options),
        Mode::Serve(kind) => echo::serve(*kind, &options),
        Mode::Load(address) => load::run_alone(*address, &options),
        Mode::Drive(address) => load::run_on_demand(*address, &options),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}
