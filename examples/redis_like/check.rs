//! The client of the self-check: asks, and prints what was said as redis-cli would.
#![forbid(unsafe_code)]

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::time::Duration;

use greenloom::net::TcpStream;
use greenloom::sleep;

const PIPELINED: usize = 1000;

/// Has the conversation that the header of `main.rs` shows.
pub(crate) fn run(addr: SocketAddr) -> io::Result<()> {
    let stream = TcpStream::connect(addr)?;
    let mut replies = BufReader::new(&stream);
    let mut ask = |said: &str, words: &[&str]| -> io::Result<()> {
        send(&stream, &[words])?;
        println!("> {said}\n{}", receive(&mut replies)?);
        Ok(())
    };
    ask("PING", &["PING"])?;
    ask("ECHO \"hello world\"", &["ECHO", "hello world"])?;
    for line in [
        "SET greeting hi",
        "SET greeting again NX",
        "SET greeting again XX",
        "GET greeting",
        "EXISTS greeting nobody",
        "TTL greeting",
        "EXPIRE greeting 100",
        "TTL greeting",
        "SET brief 1 PX 1",
    ] {
        ask(line, &words(line))?;
    }
    sleep(Duration::from_millis(20));
    ask("GET brief, 20 ms later", &["GET", "brief"])?;
    for line in [
        "INCR hits",
        "INCRBY hits 41",
        "DECR hits",
        "INCR greeting",
        "DEL greeting hits nobody",
    ] {
        ask(line, &words(line))?;
    }
    // What nobody asks for is swept away in a moment, if `GET` has not seen to it.
    sleep(Duration::from_millis(300));
    ask("DBSIZE", &["DBSIZE"])?;
    ask("NONSENSE", &["NONSENSE"])?;

    let numbers: Vec<String> = (0..PIPELINED / 2).map(|i| i.to_string()).collect();
    let commands: Vec<Vec<&str>> = numbers
        .iter()
        .flat_map(|i| [vec!["SET", i, i], vec!["GET", i]])
        .collect();
    let commands: Vec<&[&str]> = commands.iter().map(Vec::as_slice).collect();
    send(&stream, &commands)?;
    let mut right = 0;
    for i in &numbers {
        right += usize::from(receive(&mut replies)? == "OK");
        right += usize::from(receive(&mut replies)? == format!("{i:?}"));
    }
    println!("{PIPELINED} pipelined: {right} right");

    // As a person with nc would.
    (&stream).write_all(b"quit\r\n")?;
    let last = receive(&mut replies)?;
    match (last.as_str(), replies.read(&mut [0])?) {
        ("OK", 0) => Ok(()),
        (last, _) => Err(io::Error::other(format!("QUIT was answered with {last}"))),
    }
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

/// Sends commands with one write.
fn send(mut stream: &TcpStream, commands: &[&[&str]]) -> io::Result<()> {
    let mut bytes = Vec::new();
    for words in commands {
        write!(bytes, "*{}\r\n", words.len())?;
        for word in *words {
            write!(bytes, "${}\r\n{word}\r\n", word.len())?;
        }
    }
    stream.write_all(&bytes)
}

/// A reply as redis-cli shows it.
fn receive(replies: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    replies.read_line(&mut line)?;
    let (kind, rest) = line
        .trim_end()
        .split_at_checked(1)
        .ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(match (kind, rest) {
        ("+", text) => text.to_owned(),
        ("-", text) => format!("(error) {text}"),
        (":", number) => format!("(integer) {number}"),
        ("$", "-1") => "(nil)".to_owned(),
        ("$", length) => {
            let mut text = vec![0; length.parse::<usize>().map_err(io::Error::other)? + 2];
            replies.read_exact(&mut text)?;
            format!("{:?}", String::from_utf8_lossy(&text[..text.len() - 2]))
        }
        (_, _) => return Err(io::Error::other(format!("not understood: {line:?}"))),
    })
}
