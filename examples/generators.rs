//! Generators: iterators written as plain loops that yield, at any depth of calls.
//!
//! ```sh
//! cargo run --release --example generators
//! ```
//!
//! ```text
//! fibonacci: 1 1 2 3 5 8 13 21
//! chunks: [1, 1, 2] [3, 5, 8] [13, 21, 34]
//! in order: a b c d e f g
//! ```
//!
//! The first owns what it needs and never ends; dropping it unwinds it. The second is a generator that draws from
//! another. The third yields from within a recursion, and borrows the tree from the caller's stack.
#![forbid(unsafe_code)]

use greenloom::greenlet::{self, Current, Generator, Yield};

fn fibonacci() -> Generator<'static, u64> {
    Generator::new(|out: &Yield<u64>| {
        let (mut a, mut b) = (1, 1);
        loop {
            out.yield_(a);
            (a, b) = (b, a + b);
        }
    })
}

/// Groups of `n`: a generator inside a generator.
fn chunks(mut source: Generator<'static, u64>, n: usize) -> Generator<'static, Vec<u64>> {
    Generator::new(move |out: &Yield<Vec<u64>>| {
        loop {
            let chunk: Vec<u64> = source.by_ref().take(n).collect();
            if chunk.is_empty() {
                return;
            }
            out.yield_(chunk);
        }
    })
}

struct Tree {
    left: Option<Box<Tree>>,
    label: char,
    right: Option<Box<Tree>>,
}

/// A balanced tree of the labels.
fn tree(labels: &[char]) -> Option<Box<Tree>> {
    let (left, rest) = labels.split_at(labels.len() / 2);
    let (&label, right) = rest.split_first()?;
    Some(Box::new(Tree {
        left: tree(left),
        label,
        right: tree(right),
    }))
}

/// Yields every label, left to right. No frame of this recursion knows how far the consumer is.
fn walk(node: Option<&Tree>, out: &Yield<char>) {
    if let Some(node) = node {
        walk(node.left.as_deref(), out);
        out.yield_(node.label);
        walk(node.right.as_deref(), out);
    }
}

fn main() {
    print!("fibonacci:");
    for n in fibonacci().take(8) {
        print!(" {n}");
    }

    print!("\nchunks:");
    for chunk in chunks(fibonacci(), 3).take(3) {
        print!(" {chunk:?}");
    }

    print!("\nin order:");
    let tree = tree(&['a', 'b', 'c', 'd', 'e', 'f', 'g']);
    greenlet::scope(|s, _: &Current<()>| {
        for label in s.generator(|out: &Yield<char>| walk(tree.as_deref(), out)) {
            print!(" {label}");
        }
    });
    println!();
}
