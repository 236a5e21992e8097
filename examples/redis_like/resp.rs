//! RESP2, the protocol: commands out of a buffer, without copying them, and replies into one.
//!
//! ```text
//! *2\r\n $3\r\n GET\r\n $5\r\n hello\r\n        an array of bulk strings
//! GET hello\r\n                                 an inline command, for people with nc
//! ```
#![forbid(unsafe_code)]

use std::fmt;
use std::io::Write;
use std::ops::Range;

/// The most arguments of a command, and the longest argument.
const MOST_ARGS: usize = 1 << 20;
const LONGEST: usize = 64 << 20;

/// The longest line: of an inline command, or a length.
const LONGEST_LINE: usize = 64 << 10;

/// What the beginning of a buffer is.
pub(crate) enum Parsed {
    /// A command of so many bytes.
    Command(usize),
    /// Not all of a command; at least so many bytes are needed.
    More(usize),
}

/// The arguments of a command, in the buffer it came in.
pub(crate) struct Command<'a> {
    buffer: &'a [u8],
    args: &'a [Range<usize>],
}

impl<'a> Command<'a> {
    pub(crate) fn new(buffer: &'a [u8], args: &'a [Range<usize>]) -> Self {
        Self { buffer, args }
    }

    /// How many there are, the command's name included.
    pub(crate) fn len(&self) -> usize {
        self.args.len()
    }

    pub(crate) fn get(&self, at: usize) -> Option<&'a [u8]> {
        self.args.get(at).map(|range| &self.buffer[range.clone()])
    }

    /// The arguments from there on.
    pub(crate) fn from(&self, at: usize) -> impl Iterator<Item = &'a [u8]> {
        let rest = self.args.get(at..).unwrap_or_default();
        rest.iter().map(|range| &self.buffer[range.clone()])
    }
}

/// Looks for a command at the beginning of `buffer`, and puts where its arguments are into `args`.
pub(crate) fn parse(buffer: &[u8], args: &mut Vec<Range<usize>>) -> Result<Parsed, &'static str> {
    args.clear();
    match buffer.first() {
        None => Ok(Parsed::More(1)),
        Some(b'*') => parse_array(buffer, args),
        Some(_) => parse_inline(buffer, args),
    }
}

fn parse_array(buffer: &[u8], args: &mut Vec<Range<usize>>) -> Result<Parsed, &'static str> {
    let Some((count, mut at)) = number(buffer, 1, "invalid multibulk length")? else {
        return Ok(Parsed::More(buffer.len() + 1));
    };
    // A negative count is an empty command, as Redis has it.
    let count = usize::try_from(count).unwrap_or(0);
    if count > MOST_ARGS {
        return Err("invalid multibulk length");
    }
    for _ in 0..count {
        match buffer.get(at) {
            None => return Ok(Parsed::More(at + 1)),
            Some(b'$') => {}
            Some(_) => return Err("expected '$'"),
        }
        let Some((length, begin)) = number(buffer, at + 1, "invalid bulk length")? else {
            return Ok(Parsed::More(buffer.len() + 1));
        };
        let length = usize::try_from(length).map_err(|_| "invalid bulk length")?;
        if length > LONGEST {
            return Err("invalid bulk length");
        }
        at = begin + length + 2;
        if buffer.len() < at {
            return Ok(Parsed::More(at));
        }
        args.push(begin..begin + length);
    }
    Ok(Parsed::Command(at))
}

/// A number and the end of its line: its value, and where the next line begins.
fn number(
    buffer: &[u8],
    at: usize,
    wrong: &'static str,
) -> Result<Option<(i64, usize)>, &'static str> {
    let mut value = 0_i64;
    let mut end = at;
    let negative = buffer.get(at) == Some(&b'-');
    if negative {
        end += 1;
    }
    let digits = end;
    while let Some(&byte) = buffer.get(end) {
        match byte {
            b'0'..=b'9' if end - digits < 10 => value = value * 10 + i64::from(byte - b'0'),
            b'\r' if end > digits => {
                return match buffer.get(end + 1) {
                    Some(b'\n') => Ok(Some((if negative { -value } else { value }, end + 2))),
                    Some(_) => Err(wrong),
                    None => Ok(None),
                };
            }
            _ => return Err(wrong),
        }
        end += 1;
    }
    Ok(None)
}

fn parse_inline(buffer: &[u8], args: &mut Vec<Range<usize>>) -> Result<Parsed, &'static str> {
    let Some(end) = buffer.iter().position(|&byte| byte == b'\n') else {
        return if buffer.len() > LONGEST_LINE {
            Err("too big inline request")
        } else {
            Ok(Parsed::More(buffer.len() + 1))
        };
    };
    let mut at = 0;
    for word in buffer[..end].split(u8::is_ascii_whitespace) {
        if !word.is_empty() {
            args.push(at..at + word.len());
        }
        at += word.len() + 1;
    }
    Ok(Parsed::Command(end + 1))
}

/// `+OK`, and the like.
pub(crate) fn simple(output: &mut Vec<u8>, text: &str) {
    output.push(b'+');
    output.extend_from_slice(text.as_bytes());
    output.extend_from_slice(b"\r\n");
}

pub(crate) fn error(output: &mut Vec<u8>, text: fmt::Arguments<'_>) {
    // Writing to a `Vec` cannot fail. Lines end where the protocol says.
    let _ = write!(output, "-{text}\r\n");
}

pub(crate) fn integer(output: &mut Vec<u8>, value: i64) {
    output.push(b':');
    decimal(output, value);
    output.extend_from_slice(b"\r\n");
}

pub(crate) fn bulk(output: &mut Vec<u8>, value: &[u8]) {
    output.push(b'$');
    decimal(output, value.len() as i64);
    output.extend_from_slice(b"\r\n");
    output.extend_from_slice(value);
    output.extend_from_slice(b"\r\n");
}

pub(crate) fn nil(output: &mut Vec<u8>) {
    output.extend_from_slice(b"$-1\r\n");
}

/// The head of an array of `n`: its items follow.
pub(crate) fn array(output: &mut Vec<u8>, n: usize) {
    output.push(b'*');
    decimal(output, n as i64);
    output.extend_from_slice(b"\r\n");
}

/// A number in digits, without the machinery of `format!`.
pub(crate) fn decimal(output: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        output.push(b'-');
    }
    output.extend_from_slice(&digits[at..]);
}
