//! The head of a request: as much of it as matters for replies that are always the same.
#![forbid(unsafe_code)]

/// The longest head.
pub(crate) const MOST_HEAD: usize = 8 << 10;

pub(crate) struct Request<'a> {
    pub(crate) method: &'a [u8],
    /// The path is `/`, whatever the query.
    pub(crate) is_root: bool,
    /// It is of HTTP/1.0.
    pub(crate) is_old: bool,
    /// The connection ends with its reply.
    pub(crate) closes: bool,
    /// Bytes of the head.
    pub(crate) length: usize,
}

/// What the beginning of a buffer is.
pub(crate) enum Parsed<'a> {
    Request(Request<'a>),
    /// Not all of a head.
    More,
    /// No request; the status that says so.
    Wrong(&'static str),
}

const BAD: Parsed<'static> = Parsed::Wrong("400 Bad Request");

/// Looks for a request at the beginning of `buffer`.
pub(crate) fn parse(buffer: &[u8]) -> Parsed<'_> {
    // Empty lines before a request are left over from a body, says the RFC.
    let mut at = 0;
    while let [b'\r', b'\n', ..] = &buffer[at..] {
        at += 2;
    }
    let Some(first) = line(buffer, &mut at) else {
        return Parsed::More;
    };
    let mut words = first.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (words.next(), words.next(), words.next(), words.next())
    else {
        return BAD;
    };
    let is_token = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'-';
    if method.is_empty() || !method.iter().all(is_token) || target.is_empty() {
        return BAD;
    }
    let is_old = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Parsed::Wrong("505 HTTP Version Not Supported");
        }
        _ => return BAD,
    };
    let (mut hosts, mut closes) = (0, is_old);
    loop {
        let Some(header) = line(buffer, &mut at) else {
            return Parsed::More;
        };
        if header.is_empty() {
            break;
        }
        let Some(colon) = header.iter().position(|&byte| byte == b':') else {
            return BAD;
        };
        let (name, value) = (&header[..colon], header[colon + 1..].trim_ascii());
        // A space before the colon, or a folded line: both have been used to smuggle requests.
        if name.is_empty() || name.iter().any(u8::is_ascii_whitespace) {
            return BAD;
        }
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => hosts += 1,
            10 if name.eq_ignore_ascii_case(b"connection") => {
                for word in value.split(|&byte| byte == b',') {
                    let word = word.trim_ascii();
                    if word.eq_ignore_ascii_case(b"close") {
                        closes = true;
                    } else if is_old && word.eq_ignore_ascii_case(b"keep-alive") {
                        closes = false;
                    }
                }
            }
            // A body is not read, so nothing can follow it.
            14 if name.eq_ignore_ascii_case(b"content-length") => closes |= value != b"0",
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => closes = true,
            _ => {}
        }
    }
    if hosts != 1 && !is_old {
        return BAD;
    }
    Parsed::Request(Request {
        method,
        is_root: matches!(target, [b'/'] | [b'/', b'?', ..]),
        is_old,
        closes,
        length: at,
    })
}

/// The line that begins at `at`, without its end; `at` is moved behind that. `None` if it has none yet.
fn line<'a>(buffer: &'a [u8], at: &mut usize) -> Option<&'a [u8]> {
    let rest = &buffer[*at..];
    let end = rest.iter().position(|&byte| byte == b'\n')?;
    *at += end + 1;
    Some(rest[..end].strip_suffix(b"\r").unwrap_or(&rest[..end]))
}
