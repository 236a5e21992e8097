//! Child processes: three at once, a filter that is fed and read, and one that has to be ended.
//!
//! ```sh
//! cargo run --release --example subprocesses
//! ```
//!
//! ```text
//! slow says 30, exit code 0
//! quick says 10, exit code 0
//! failing says 20, exit code 3
//! the filter made HELLO of hello
//! the stubborn one still runs after 50 ms
//! asked to end, it still runs
//! killed by signal 9
//! ```
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use greenloom::process::{Command, Stdio};
use greenloom::spawn;

const PATIENCE: Duration = Duration::from_millis(50);

fn sh(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}

fn main() -> io::Result<()> {
    // A task for each child; all three run at the same time, and are told of in this order.
    let children = [
        ("slow", "sleep 0.3; echo 30"),
        ("quick", "echo 10"),
        ("failing", "sleep 0.1; echo 20; exit 3"),
    ];
    let tasks = children.map(|(name, script)| (name, spawn(move || sh(script).output())));
    for (name, task) in tasks {
        let output = task.join().expect("no task panics")?;
        let text = String::from_utf8_lossy(&output.stdout);
        let code = output.status.code().expect("it was not killed");
        println!("{name} says {}, exit code {code}", text.trim());
    }

    // One task writes while another reads, so that neither pipe fills up.
    let mut filter = Command::new("tr");
    filter
        .args(["a-z", "A-Z"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut filter = filter.spawn()?;
    let mut input = filter.stdin.take().expect("a pipe");
    let writer = spawn(move || input.write_all(b"hello"));
    let output = filter.wait_with_output()?;
    writer.join().expect("no task panics")?;
    println!(
        "the filter made {} of hello",
        String::from_utf8_lossy(&output.stdout)
    );

    // One that does not end when it is asked to.
    let script = "trap '' TERM; echo ready; while :; do sleep 1; done";
    let mut stubborn = sh(script).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(stubborn.stdout.take().expect("a pipe")).read_line(&mut line)?;
    if stubborn.wait_timeout(PATIENCE)?.is_none() {
        println!(
            "the stubborn one still runs after {} ms",
            PATIENCE.as_millis()
        );
        stubborn.terminate()?;
    }
    if stubborn.wait_timeout(PATIENCE)?.is_none() {
        println!("asked to end, it still runs");
        stubborn.kill()?;
    }
    let signal = stubborn.wait()?.signal().expect("it was killed");
    println!("killed by signal {signal}");
    Ok(())
}
