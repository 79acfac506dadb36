//! A client's ID in its two spellings. Lines have bytes without white space; a path, a query and JSON have text. What
//! a line cannot hold, and what is no text, is percent-encoded: one spelling, whichever door it comes by.

/// What follows a `%` that stands for a byte.
fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |byte: &u8| (*byte as char).to_digit(16);
    let [high, low] = pair else { return None };
    Some((digit(high)? * 16 + digit(low)?) as u8)
}

/// Undoes percent-encoding; None where a `%` stands for nothing.
pub fn decode(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, behind)) = rest.split_first() {
        if byte == b'%' {
            decoded.push(hex(behind.get(..2)?)?);
            rest = &behind[2..];
        } else {
            decoded.push(byte);
            rest = behind;
        }
    }
    Some(decoded)
}

/// The same of a query or a form, where `+` is a space.
pub fn decode_form(text: &[u8]) -> Option<Vec<u8>> {
    let spaced: Vec<u8> = text.iter().map(|&byte| if byte == b'+' { b' ' } else { byte }).collect();
    decode(&spaced)
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    out.extend_from_slice(&[b'%', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
}

const HEX: &[u8; 16] = b"0123456789ABCDEF";

/// The ID in lines of a client whom somebody calls this.
pub fn of_client(name: &[u8]) -> Vec<u8> {
    let mut id = Vec::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        for character in chunk.valid().chars() {
            // Unicode's white space is none for lines, but looks like it.
            if character.is_whitespace() || character.is_control() || matches!(character, '%' | '/') {
                let mut bytes = [0; 4];
                character.encode_utf8(&mut bytes).bytes().for_each(|byte| escape(byte, &mut id));
            } else {
                let mut bytes = [0; 4];
                id.extend_from_slice(character.encode_utf8(&mut bytes).as_bytes());
            }
        }
        chunk.invalid().iter().for_each(|&byte| escape(byte, &mut id));
    }
    id
}

/// Appends an ID as a string of JSON, with its quotes. Bytes that are no text stand as `%FF`.
pub fn write_json(id: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    for chunk in id.utf8_chunks() {
        write_json_text(chunk.valid(), out);
        chunk.invalid().iter().for_each(|&byte| escape(byte, out));
    }
    out.push(b'"');
}

/// Appends a text as it stands within the quotes of JSON.
pub fn write_json_text(text: &str, out: &mut Vec<u8>) {
    let mut rest = text.as_bytes();
    // Nearly always all of it stands as it is.
    while let Some(at) = rest.iter().position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let byte = rest[at];
        rest = &rest[at + 1..];
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(b"\\n"),
            byte => {
                out.extend_from_slice(b"\\u00");
                out.extend_from_slice(&[HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
            }
        }
    }
    out.extend_from_slice(rest);
}

/// A text as a segment of a path or a value of a query.
pub fn path_segment(text: &str) -> String {
    let mut segment = Vec::with_capacity(text.len());
    write_segment(text.as_bytes(), &mut segment);
    String::from_utf8_lossy(&segment).into_owned()
}

/// Appends an ID as a segment of a path or a value of a query.
pub fn write_segment(id: &[u8], out: &mut Vec<u8>) {
    for &byte in id {
        if byte.is_ascii_alphanumeric() || b"-._~!$'()*,:@".contains(&byte) {
            out.push(byte)
        } else {
            escape(byte, out)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_id_and_an_id_a_path_that_leads_back() {
        let check = |name: &[u8], id: &str| {
            let found = of_client(name);
            assert_eq!(String::from_utf8_lossy(&found), id);
            assert!(found.iter().all(|byte| !byte.is_ascii_whitespace()));
            let mut path = Vec::new();
            write_segment(name, &mut path);
            assert_eq!(decode(&path).as_deref(), Some(name));
        };
        check(b"kiwi.cs.ucla.edu", "kiwi.cs.ucla.edu");
        check(b"iPhone 12", "iPhone%2012");
        check(b"a/b%c\n", "a%2Fb%25c%0A");
        check(b"\xffx", "%FFx");
        check("Zoë\u{a0}".as_bytes(), "Zoë%C2%A0");
    }

    #[test]
    fn percent_encoding_is_undone_or_refused() {
        assert_eq!(decode(b"a%20b%ff+"), Some(b"a b\xff+".to_vec()));
        assert_eq!(decode_form(b"a+b%2B"), Some(b"a b+".to_vec()));
        for text in [&b"%"[..], b"%1", b"%zz", b"a%+1"] {
            assert_eq!(decode(text), None);
        }
    }

    #[test]
    fn an_id_is_a_string_of_json_whatever_its_bytes() {
        let mut json = Vec::new();
        write_json(b"a\"\\\x01\n\xff\xc3\xa9", &mut json);
        assert_eq!(String::from_utf8(json).expect("text"), "\"a\\\"\\\\\\u0001\\n%FFé\"");
    }
}
