//! Three stages, each a task, with a queue of one place between them: talk, format, save. A stage that has no more to do closes the
//! queue behind it.
//!
//! ```sh
//! cargo run --release --example pipeline
//! ```
//!
//! ```text
//! talk: hello
//! talk: how are you
//! save: 1. Hello.
//! save: 2. How are you.
//! talk: goodbye
//! save: 3. Goodbye.
//! saved: 3
//! ```
#![forbid(unsafe_code)]

use std::rc::Rc;

use greenloom::queue::Queue;
use greenloom::spawn;

fn talk(said: &Queue<String>) {
    for words in ["hello", "how are you", "goodbye"] {
        println!("talk: {words}");
        if said.put(words.to_owned()).is_err() {
            return;
        }
    }
    said.close();
}

fn format(said: &Queue<String>, formatted: &Queue<String>) {
    for words in said.iter() {
        let (first, rest) = words.split_at(1);
        if formatted
            .put(format!("{}{rest}.", first.to_uppercase()))
            .is_err()
        {
            return;
        }
    }
    formatted.close();
}

fn save(formatted: &Queue<String>) -> usize {
    formatted
        .iter()
        .enumerate()
        .map(|(i, line)| println!("save: {}. {line}", i + 1))
        .count()
}

fn main() {
    let said = Rc::new(Queue::bounded(1));
    let formatted = Rc::new(Queue::bounded(1));
    let talker = spawn({
        let said = Rc::clone(&said);
        move || talk(&said)
    });
    let formatter = spawn({
        let formatted = Rc::clone(&formatted);
        move || format(&said, &formatted)
    });
    let saver = spawn(move || save(&formatted));
    talker.join().expect("it does not panic");
    formatter.join().expect("it does not panic");
    println!("saved: {}", saver.join().expect("it does not panic"));
}
