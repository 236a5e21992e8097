//! What the commands do, and what they reply.
#![forbid(unsafe_code)]

use std::time::Duration;

use greenloom::time::Instant;

use crate::resp::{Command, array, bulk, decimal, error, integer, nil, simple};
use crate::store::Store;

/// Longer than any name below.
const LONGEST_NAME: usize = 16;

const NO_INTEGER: &str = "ERR value is not an integer or out of range";

/// Why a command was not executed: the text of its reply.
type Refused = String;

/// Executes a command and appends its reply. True if the client is to be left.
pub(crate) fn execute(command: &Command<'_>, store: &mut Store, output: &mut Vec<u8>) -> bool {
    let Some(name) = command.get(0) else {
        // An empty line.
        return false;
    };
    let mut upper = [0; LONGEST_NAME];
    let upper = &mut upper[..name.len().min(LONGEST_NAME)];
    upper.copy_from_slice(&name[..upper.len()]);
    upper.make_ascii_uppercase();
    // The most frequent ones first, without a detour.
    match (&*upper, command.len()) {
        (b"GET", 2) => match store.get(key(command)) {
            Some(entry) => bulk(output, &entry.value),
            None => nil(output),
        },
        (b"SET", 3) => {
            store.set(key(command), command.get(2).unwrap_or_default(), None);
            simple(output, "OK");
        }
        (b"QUIT", _) => {
            simple(output, "OK");
            return true;
        }
        (upper, _) => {
            if let Err(text) = others(upper, command, store, output) {
                error(output, format_args!("{text}"));
            }
        }
    }
    false
}

/// The first argument; the arms below have looked that there is one.
fn key<'a>(command: &Command<'a>) -> &'a [u8] {
    command.get(1).unwrap_or_default()
}

fn others(
    upper: &[u8],
    command: &Command<'_>,
    store: &mut Store,
    output: &mut Vec<u8>,
) -> Result<(), Refused> {
    match (upper, command.len()) {
        (b"PING", 1) => simple(output, "PONG"),
        (b"PING" | b"ECHO", 2) => bulk(output, key(command)),
        (b"SET", 4..) => return set(command, store, output),
        (b"DEL" | b"UNLINK", 2..) => {
            let removed = command.from(1).filter(|key| store.remove(key)).count();
            integer(output, removed as i64);
        }
        (b"EXISTS", 2..) => {
            let found = command.from(1).filter(|key| store.get(key).is_some());
            integer(output, found.count() as i64);
        }
        (b"EXPIRE", 3) => {
            let seconds = number(command.get(2))?;
            let there = match u64::try_from(seconds) {
                Ok(seconds) if seconds > 0 => {
                    store.expire(key(command), Duration::from_secs(seconds))
                }
                // Its time is over already.
                _ => store.remove(key(command)),
            };
            integer(output, i64::from(there));
        }
        (b"TTL", 2) => {
            let left = match store.get(key(command)).map(|entry| entry.ends) {
                None => -2,
                Some(None) => -1,
                Some(Some(at)) => {
                    let left = at.saturating_duration_since(Instant::now());
                    // Rounded: a key that was just given 100 s has 100.
                    (left + Duration::from_millis(500)).as_secs() as i64
                }
            };
            integer(output, left);
        }
        (b"INCR", 2) => return add(command, 1, store, output),
        (b"DECR", 2) => return add(command, -1, store, output),
        (b"INCRBY", 3) => return add(command, number(command.get(2))?, store, output),
        (b"DBSIZE", 1) => integer(output, store.len() as i64),
        (b"FLUSHALL" | b"FLUSHDB", _) => {
            store.clear();
            simple(output, "OK");
        }
        _ => return at_connect(upper, command, output),
    }
    Ok(())
}

/// What clients say before they come to the point.
fn at_connect(upper: &[u8], command: &Command<'_>, output: &mut Vec<u8>) -> Result<(), Refused> {
    match (upper, command.len()) {
        (b"SELECT", 2) if key(command) == b"0" => simple(output, "OK"),
        (b"SELECT", 2) => return Err("ERR DB index is out of range".into()),
        (b"COMMAND", _) => array(output, 0),
        (b"CONFIG", 3) if key(command).eq_ignore_ascii_case(b"GET") => {
            array(output, 2);
            bulk(output, command.get(2).unwrap_or_default());
            bulk(output, b"");
        }
        (b"CLIENT", 2) if key(command).eq_ignore_ascii_case(b"ID") => integer(output, 1),
        (b"CLIENT", 2) if key(command).eq_ignore_ascii_case(b"GETNAME") => nil(output),
        (b"CLIENT", 2..) => simple(output, "OK"),
        (b"HELLO", 1) => hello(output),
        (b"HELLO", 2) if key(command) == b"2" => hello(output),
        (b"HELLO", _) => return Err("NOPROTO unsupported protocol version".into()),
        (b"INFO", _) => bulk(
            output,
            b"# Server\r\nredis_version:7.0.0\r\nredis_mode:standalone\r\n",
        ),
        _ => {
            let name = String::from_utf8_lossy(command.get(0).unwrap_or_default());
            const KNOWN: &[&[u8]] = &[
                b"GET", b"SET", b"PING", b"ECHO", b"DEL", b"UNLINK", b"EXISTS", b"EXPIRE", b"TTL",
                b"INCR", b"DECR", b"INCRBY", b"DBSIZE", b"SELECT", b"CONFIG", b"CLIENT",
            ];
            return Err(if KNOWN.contains(&upper) {
                let name = name.to_lowercase();
                format!("ERR wrong number of arguments for '{name}' command")
            } else {
                // A reply is one line, whatever the name.
                let name: String = name.chars().filter(|c| !c.is_control()).take(128).collect();
                format!("ERR unknown command '{name}'")
            });
        }
    }
    Ok(())
}

fn hello(output: &mut Vec<u8>) {
    array(output, 6);
    bulk(output, b"server");
    bulk(output, b"redis");
    bulk(output, b"proto");
    integer(output, 2);
    bulk(output, b"mode");
    bulk(output, b"standalone");
}

/// `SET key value [NX | XX] [EX seconds | PX milliseconds]`.
fn set(command: &Command<'_>, store: &mut Store, output: &mut Vec<u8>) -> Result<(), Refused> {
    const SYNTAX: &str = "ERR syntax error";
    let (mut only_new, mut only_old, mut life) = (false, false, None);
    let mut options = command.from(3);
    while let Some(option) = options.next() {
        match &*option.to_ascii_uppercase() {
            b"NX" if !only_old => only_new = true,
            b"XX" if !only_new => only_old = true,
            unit @ (b"EX" | b"PX") if life.is_none() => {
                let amount = number(Some(options.next().ok_or(SYNTAX)?))?;
                let amount = u64::try_from(amount).unwrap_or(0);
                if amount == 0 {
                    return Err("ERR invalid expire time in 'set' command".into());
                }
                life = Some(match unit {
                    b"EX" => Duration::from_secs(amount),
                    _ => Duration::from_millis(amount),
                });
            }
            _ => return Err(SYNTAX.into()),
        }
    }
    let is_there = (only_new || only_old) && store.get(key(command)).is_some();
    if only_new && is_there || only_old && !is_there {
        nil(output);
    } else {
        store.set(key(command), command.get(2).unwrap_or_default(), life);
        simple(output, "OK");
    }
    Ok(())
}

fn add(
    command: &Command<'_>,
    amount: i64,
    store: &mut Store,
    output: &mut Vec<u8>,
) -> Result<(), Refused> {
    let old = match store.get(key(command)) {
        Some(entry) => number(Some(&entry.value))?,
        None => 0,
    };
    let new = old
        .checked_add(amount)
        .ok_or("ERR increment or decrement would overflow")?;
    store.update(key(command), |value| {
        value.clear();
        decimal(value, new);
    });
    integer(output, new);
    Ok(())
}

fn number(text: Option<&[u8]>) -> Result<i64, Refused> {
    std::str::from_utf8(text.unwrap_or_default())
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| NO_INTEGER.into())
}
