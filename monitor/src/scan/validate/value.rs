//! Values that are passwords by their place or their name only: what is surely none is rejected here.
//!
//! Invariant: total and linear. The list of placeholders is the project's own, of what installation guides write.

use base64::Engine as _;
use zeroize::Zeroizing;

use super::pem::LENIENT;
use super::token::distinct;

const WORDS: &[&str] = &[
    "admin",
    "any",
    "bar",
    "changeit",
    "changeme",
    "community",
    "change-me",
    "change_me",
    "default",
    "disabled",
    "dummy",
    "empty",
    "enabled",
    "example",
    "false",
    "foo",
    "foobar",
    "foobared",
    "hidden",
    "insert",
    "mypass",
    "mypassword",
    "mysecret",
    "nil",
    "no",
    "none",
    "null",
    "optional",
    "pass",
    "passwd",
    "password",
    "placeholder",
    "prompt",
    "private",
    "public",
    "pwd",
    "redacted",
    "replaceme",
    "replace_me",
    "required",
    "sample",
    "secret",
    "string",
    "test",
    "testing",
    "testing123",
    "todo",
    "token",
    "true",
    "undefined",
    "unset",
    "user",
    "username",
    "value",
    "yes",
    "your-password",
    "your_password",
    "yourpassword",
];
const PARTS: &[&[u8]] = &[
    b"example",
    b"changeme",
    b"change-me",
    b"change_me",
    b"placeholder",
    b"redacted",
    b"your_",
    b"your-",
    b"yourpass",
    b"xxxx",
    b"****",
    b"....",
    b"0123456789abcdef",
    b"replace",
    b"insert_",
    b"<password",
    b"dummy",
    b"unique phrase",
];

/// What stands where a value will be put later, or is a documented sample.
pub(super) fn is_placeholder(value: &[u8]) -> bool {
    let lower = value.to_ascii_lowercase();
    let is_word = WORDS.iter().any(|word| word.as_bytes() == lower);
    let has_part = PARTS.iter().any(|part| super::pem::find(&lower, part).is_some());
    is_word || has_part || distinct(value) <= 2 || is_reference(value)
}

/// `${NAME}`, `$NAME`, `{{ name }}`, `%(name)s`, `<name>`, `@NAME@`, `%s`.
fn is_reference(value: &[u8]) -> bool {
    let pairs: [(&[u8], &[u8]); 9] = [
        (b"${", b""),
        (b"$(", b""),
        (b"{", b"}"),
        (b"%(", b""),
        (b"%{", b""),
        (b"<", b""),
        (b"@", b"@"),
        (b"[", b"]"),
        (b"`", b"`"),
    ];
    let is_variable = value.strip_prefix(b"$").is_some_and(|name| {
        !name.is_empty()
            && name
                .iter()
                .all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || *b == b'_')
    });
    is_variable
        || value.starts_with(b"%s")
        || super::pem::find(value, b"${").is_some()
        || super::pem::find(value, b"{{").is_some()
        || pairs
            .iter()
            .any(|(open, close)| value.starts_with(open) && value.ends_with(close))
}

/// Anything but nothing and a placeholder.
pub(super) fn is_password(value: &[u8]) -> bool {
    value.len() >= 3 && !is_placeholder(value)
}

/// A value that only its name makes suspicious: also no path, address, number, or piece of code, and not one word.
pub(super) fn is_generic(value: &[u8]) -> bool {
    let has = |test: fn(&u8) -> bool| value.iter().any(test);
    let is_code = has(|b| {
        matches!(
            b,
            b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b'|' | b'`'
        )
    });
    let is_path = matches!(value.first(), Some(b'/' | b'.' | b'~' | b'*' | b'-'))
        || super::pem::find(value, b"://").is_some();
    let is_name = value
        .iter()
        .all(|b| b.is_ascii_lowercase() || matches!(b, b'_' | b'-' | b'.' | b':'))
        || value
            .iter()
            .all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-'));
    let is_variable = value.starts_with(b"$") && value.get(1).is_some_and(u8::is_ascii_alphabetic);
    let is_number = value
        .iter()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b':' | b'-'));
    let has_letter = has(u8::is_ascii_alphabetic);
    // Names of variables and the last word of a sentence have none.
    let has_other = has(|b| !b.is_ascii_alphabetic() && !matches!(b, b'_' | b'-' | b'.' | b':'));
    let is_field = has(|b| *b == b'.')
        && value
            .iter()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    value.len() >= 6
        && is_password(value)
        && distinct(value) >= 5
        && has_letter
        && has_other
        && !is_filler(value)
        && !encodes_placeholder(value)
        && !(is_code || is_path || is_name || is_number || is_field || is_variable)
}

/// One character takes more than half of it, as in a field that was filled up.
fn is_filler(value: &[u8]) -> bool {
    let mut counts = [0; 256];
    for byte in value {
        if let Some(count) = counts.get_mut(usize::from(*byte)) {
            *count += 1;
        }
    }
    value.len() >= 12 && counts.iter().any(|count| count * 2 > value.len())
}

/// Base64 of a placeholder, as it stands in a Kubernetes `Secret`.
fn encodes_placeholder(value: &[u8]) -> bool {
    let decoded = LENIENT.decode(value).map(Zeroizing::new);
    decoded.is_ok_and(|text| text.iter().all(u8::is_ascii_graphic) && is_placeholder(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_no_passwords() {
        for (value, password, generic) in [
            ("Tr0ub4dor&3", true, true),
            ("s3cr3t-Pa55", true, true),
            ("hunter", true, false),
            ("${DB_PASSWORD}", false, false),
            ("$DB_PASSWORD", false, false),
            ("pa$$w0rd1", true, true),
            ("$mavenSecret1", true, false),
            ("{{ password }}", false, false),
            ("%(password)s", false, false),
            ("<password>", false, false),
            ("xxxxxxxx", false, false),
            ("changeme", false, false),
            ("/run/secrets/db1", true, false),
            ("get_password(1)", true, false),
            ("user.password_field", true, false),
            ("oauth2.access_token", true, false),
            ("self.accessToken", true, false),
            ("Optional.", true, false),
            ("shopper2024", true, true),
            ("1234567890", true, false),
            ("Y2hhbmdlbWU=", true, false),
            ("a1Y5LXUzZ1VCTUE2", true, true),
            ("A35C0000000000000000000000000000", true, false),
            ("true", false, false),
            ("", false, false),
        ] {
            assert_eq!(
                (is_password(value.as_bytes()), is_generic(value.as_bytes())),
                (password, generic),
                "{value}"
            );
        }
    }
}
